"""Commands about machines: who is there and how they are; adding one is a line in inventory.yml."""

from pathlib import Path
from typing import Any, Final

import click

from orchestrator.cli.output import Column, Row, format_options, how_of, show_rows
from orchestrator.cli.shell import USAGE, Where, Wrong, client_of, note


def _cpu(row: Row) -> str:
    ratio = row.get("cpu_ratio")
    return "" if ratio is None else f"{ratio:.0%}"


def _gigabytes(key: str) -> Any:
    def show(row: Row) -> str:
        megabytes = row.get(key)
        return "" if megabytes is None else f"{megabytes / 1024:.1f}G"

    return show


COLUMNS: Final = (
    Column("MACHINE", lambda row: row["machine_id"]),
    Column("STATE", lambda row: row.get("state", "")),
    Column("RUNNING", lambda row: f"{row.get('running', 0)}/{row.get('limit_process', '?')}", right=True),
    Column("CPU", _cpu, right=True),
    Column("MEMORY FREE", _gigabytes("memory_free_mb"), right=True, spare=True),
    Column("DISK FREE", _gigabytes("disk_free_mb"), right=True, spare=True),
    Column("PYTHON", lambda row: row.get("python") or "", spare=True),
    Column("TAGS", lambda row: ",".join(row.get("tags") or []), spare=True),
    Column("NOTE", lambda row: row.get("text") or "", wide=True),
)


@click.group()
def machine() -> None:
    """List and add machines."""


@machine.command(name="list")
@format_options
@click.pass_context
def list_(ctx: click.Context, /) -> None:
    """List the machines as last seen."""
    empty = "No machines yet. Add one:  mj machine add me@host"
    show_rows(client_of(ctx).machines(), COLUMNS, how_of(ctx), empty=empty)


@machine.command()
@click.argument("address", metavar="[USER@]HOST[:PORT]")
@click.option("--name", metavar="ID", help="The machine's id in the inventory (default: HOST).")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag it carries; may be given again.")
@click.option("--limit-process", "-p", type=click.IntRange(1), metavar="N", help="Jobs at once.")
@click.pass_context
def add(
    ctx: click.Context, /, address: str, name: str | None, tags: tuple[str, ...], limit_process: int | None
) -> None:
    """Append a machine to inventory.yml.

    The inventory is the one in the server's home on this machine; a running server takes it up within seconds.

    HOST may be an alias of ~/.ssh/config. What you wrote in the file stays as it is.
    """
    from inventory.file import InventoryInvalid, append_machine

    mapping = machine_mapping(address)
    mapping.update({"tag": list(tags)} if tags else {})
    mapping.update({"limit_process": limit_process} if limit_process else {})
    path = inventory_path(ctx)
    machine_id = name or machine_id_of(str(mapping["host"]))
    try:
        append_machine(path, machine_id, mapping)
    except InventoryInvalid as error:
        raise Wrong(str(error)) from error
    note(f"added {machine_id} to {path}; see how it does:  mj machine list")


def machine_mapping(address: str) -> dict[str, Any]:
    """``me@host:2222`` as the inventory writes it."""
    user, _, rest = address.rpartition("@")
    host, colon, port = rest.rpartition(":") if not rest.startswith("[") else _bracketed(rest)
    if not colon:
        host, port = rest, ""
    if not host or (colon and not port.isdecimal()):
        raise click.BadParameter(f"{address!r} is not [USER@]HOST[:PORT]", param_hint="ADDRESS")
    return {"host": host, **({"port": int(port)} if port else {}), **({"user": user} if user else {})}


def machine_id_of(host: str) -> str:
    """A host's name as an id: what ids may not hold becomes a dash."""
    return (
        "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in host).strip("-.")[:64] or "machine"
    )


def _bracketed(text: str) -> tuple[str, str, str]:
    host, _, rest = text[1:].partition("]")
    return host, rest[:1], rest[1:]


def inventory_path(ctx: click.Context, /) -> Path:
    """The inventory in the server's home on this machine."""
    from multijob.place import home_folder

    where: Where = ctx.obj
    return home_folder(where.home) / "inventory.yml"


@click.group()
def inventory() -> None:
    """Look at inventory.yml."""


@inventory.command()
@click.argument("path", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.pass_context
def check(ctx: click.Context, /, path: Path | None) -> None:
    """Check an inventory, without a server.

    Shows all mistakes at once, with their lines. PATH is the home's inventory.yml if left out.
    """
    from inventory.file import InventoryInvalid, load

    chosen = path or inventory_path(ctx)
    if not chosen.exists():
        raise Wrong(f"there is no {chosen}; make one:  mj init")
    try:
        found = load(chosen)
    except InventoryInvalid as error:
        click.echo(str(error), err=True)
        ctx.exit(USAGE)
    count = len(found.machines)
    click.echo(f"{chosen}: fine, {count} {'machine' if count == 1 else 'machines'}")


COMMANDS: Final = (machine, inventory)
