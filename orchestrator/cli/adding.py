"""``mj machine add``: a line in inventory.yml, by the server that answers, or by hand where none runs here."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.cli import asks
from orchestrator.cli.commands import answer_of, finished, say_step
from orchestrator.cli.shell import Command, JobFailed, Where, Wrong, client_of, confirm, is_unknown_path, note

if TYPE_CHECKING:
    from multijob import Client

_WILD: Final = re.compile(r"[*?!]")


@click.command(cls=Command)
@click.argument("addresses", metavar="[[USER@]HOST[:PORT]]...", nargs=-1)
@click.option("--name", metavar="ID", help="The machine's id in the inventory (default: HOST).")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag it carries; may be given again.")
@click.option("--limit-process", "-p", type=click.IntRange(1), metavar="N", help="Jobs at once.")
@click.option("--from-ssh-config", is_flag=True, help="Each host of ~/.ssh/config that is not there yet.")
@click.option("--force", is_flag=True, help="Add it also when it was found wanting.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_context
def add(
    ctx: click.Context,
    /,
    addresses: tuple[str, ...],
    name: str | None,
    tags: tuple[str, ...],
    limit_process: int | None,
    from_ssh_config: bool,
    force: bool,
    yes: bool,
) -> None:
    """Add machines to inventory.yml.

    HOST may be an alias of ~/.ssh/config. A running server looks the machine over first, and shows its host key; where
    none answers, the inventory in the home on this machine gets the line. What you wrote there stays as it is.

    \b
    mj machine add me@10.0.0.5 --tag gpu -p 8
    mj machine add --from-ssh-config
    """
    if bool(addresses) == from_ssh_config or (name and len(addresses) != 1):
        raise Wrong("name machines (mj machine add me@host), or say --from-ssh-config; --name fits one machine")
    common = {**({"tag": list(tags)} if tags else {}), **({"limit_process": limit_process} if limit_process else {})}
    entries = [machine_mapping(address) for address in addresses]
    if from_ssh_config:
        entries = [{"host": alias} for alias in _unknown_aliases(ctx)]
        if not entries:
            raise Wrong("~/.ssh/config names no host that is not in the inventory already")
        if not yes:
            confirm(f"Add {', '.join(entry['host'] for entry in entries)}?")
    for entry in entries:
        _add(ctx, name or machine_id_of(str(entry["host"])), {**entry, **common}, force=force, yes=yes)


def _add(ctx: click.Context, /, machine_id: str, entry: Mapping[str, Any], *, force: bool, yes: bool) -> None:
    """By the server where one answers that can; else by hand."""
    from multijob import MultiJobError, Unreachable

    try:
        _by_server(client_of(ctx), machine_id, {**entry, **({"force": True} if force else {})}, yes=yes)
        return
    except Unreachable:
        if not inventory_path(ctx).exists():
            raise
    except MultiJobError as error:
        if not is_unknown_path(error):
            raise
    _by_hand(inventory_path(ctx), machine_id, entry)


def _by_server(client: "Client", machine_id: str, entry: Mapping[str, Any], *, yes: bool) -> None:
    asked = {"machine_id": machine_id, **entry}
    ended = finished(client, asks.add_machine(client, asked), say_step)
    fingerprint = (ended.get("answer") or {}).get("fingerprint")
    if ended["state"] == "failed" and fingerprint:
        if yes:
            raise JobFailed(f"{machine_id} shows the unknown host key {fingerprint}; --yes does not accept it for you")
        confirm(f"{machine_id} shows the host key {fingerprint}. Is that the machine's own?")
        ended = finished(client, asks.add_machine(client, {**asked, "accept": fingerprint}), say_step)
    answer_of(ended, "")
    note(f"added {machine_id}; how it does:  mj machine show {machine_id}")


def _by_hand(path: Path, machine_id: str, entry: Mapping[str, Any]) -> None:
    from inventory.file import InventoryInvalid, append_machine

    try:
        append_machine(path, machine_id, entry)
    except InventoryInvalid as error:
        raise Wrong(str(error)) from error
    note(f"added {machine_id} to {path}; how it does, once the server runs:  mj machine list")


def _unknown_aliases(ctx: click.Context, /) -> list[str]:
    """Hosts that ~/.ssh/config names one by one and the inventory here does not have."""
    from inventory.file import InventoryInvalid, load

    config = Path("~/.ssh/config").expanduser()
    if not config.is_file():
        raise Wrong(f"there is no {config}")
    try:
        known = load(inventory_path(ctx)).machines
    except InventoryInvalid as error:
        raise Wrong(str(error)) from error
    hosts = {machine.host for machine in known.values()}
    found = aliases_of(config.read_text("utf-8", "replace"))
    return [alias for alias in found if alias not in hosts and machine_id_of(alias) not in known]


def aliases_of(text: str) -> Iterator[str]:
    """The names after ``Host`` that are no patterns, each once."""
    seen = set()
    for line in text.splitlines():
        keyword, *words = line.replace("=", " ", 1).split() or [""]
        for word in words if keyword.lower() == "host" else ():
            alias = word.strip('"')
            if not _WILD.search(alias) and alias not in seen:
                seen.add(alias)
                yield alias


def machine_mapping(address: str) -> dict[str, Any]:
    """``me@host:2222`` as the inventory writes it."""
    user, _, rest = address.rpartition("@")
    host, colon, port = rest.rpartition(":") if not rest.startswith("[") else _bracketed(rest)
    if not colon:
        host, port = rest, ""
    if not host or (colon and not port.isdecimal()):
        raise click.BadParameter(f"{address!r} is not [USER@]HOST[:PORT]", param_hint="ADDRESS")
    return {"host": host, **({"port": int(port)} if port else {}), **({"user": user} if user else {})}


def _bracketed(text: str) -> tuple[str, str, str]:
    host, _, rest = text[1:].partition("]")
    return host, rest[:1], rest[1:]


def machine_id_of(host: str) -> str:
    """A host's name as an id: what ids may not hold becomes a dash."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in host)
    return kept.strip("-.")[:64] or "machine"


def inventory_path(ctx: click.Context, /) -> Path:
    """The inventory in the server's home on this machine."""
    from multijob.place import home_folder

    where: Where = ctx.obj
    return home_folder(where.home) / "inventory.yml"
