"""The group ``mj machine``: who is there and how they are; what is set on top of inventory.yml; the levers."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.cli import asks, names
from orchestrator.cli.adding import add
from orchestrator.cli.commands import answer_of, finished, say_step
from orchestrator.cli.output import Column, Row, aged, format_options, how_of, json_option, show_rows, show_value
from orchestrator.cli.shell import Command, Group, Wrong, client_of, confirm, note
from orchestrator.cli.text import ago, clean, counted, json_text, moment, size

if TYPE_CHECKING:
    from multijob import Client

MIB: Final = 1024 * 1024


def _cpu(row: Row) -> str:
    ratio = row.get("cpu_ratio")
    return "" if ratio is None else f"{ratio:.0%}"


def _megabytes(key: str) -> Callable[[Row], str]:
    def show(row: Row) -> str:
        return "" if row.get(key) is None else size(row[key] * MIB)

    return show


COLUMNS: Final = (
    Column("MACHINE", lambda row: row["machine_id"]),
    Column("STATE", lambda row: row.get("state", "")),
    Column("RUNNING", lambda row: f"{row.get('running', 0)}/{row.get('limit_process', '?')}", right=True),
    Column("CPU", _cpu, right=True),
    Column("MEM FREE", _megabytes("memory_free_mb"), right=True, spare=True),
    Column("DISK FREE", _megabytes("disk_free_mb"), right=True, spare=True),
    Column("SEEN", lambda row: moment(row.get("contact_at")), spare=True, brief=aged("contact_at")),
    Column("TAGS", lambda row: ",".join(row.get("tags") or []), spare=True),
    Column("PYTHON", lambda row: row.get("python") or "", spare=True),
    Column("NOTE", lambda row: row.get("text") or "", wide=True),
)

machine_argument: Final = click.argument("machine_id", metavar="MACHINE", shell_complete=names.machines)


@click.group(cls=Group)
def machine() -> None:
    """Machines: how they are, what they may take."""


@machine.command(name="list")
@format_options
@click.pass_context
def list_(ctx: click.Context, /) -> None:
    """List the machines as last seen.

    \b
    mj machine list
    """
    empty = "No machines yet. Add one:  mj machine add me@host"
    show_rows(client_of(ctx).machines(), COLUMNS, how_of(ctx), empty=empty)


@machine.command()
@machine_argument
@json_option
@click.pass_context
def show(ctx: click.Context, /, machine_id: str) -> None:
    """Show one machine: what it is, how busy, what is wrong.

    \b
    mj machine show lab-1
    """
    row, how = _one(client_of(ctx), machine_id), how_of(ctx)
    show_value(row if how == "json" else _readable(row, time.time()), how)


def _one(client: "Client", machine_id: str) -> Row:
    rows = client.machines()
    found = [row for row in rows if row["machine_id"] == machine_id]
    if not found:
        known = ", ".join(sorted(row["machine_id"] for row in rows)[:10])
        raise Wrong(f"there is no machine {machine_id}; there are: {known or 'none yet (mj machine add me@host)'}")
    return found[0]


def _readable(row: Row, now: float) -> dict[str, Any]:
    used, free = row.get("memory_used_mb"), row.get("memory_free_mb")
    return {
        "machine": row["machine_id"],
        "name": row.get("name") if row.get("name") != row["machine_id"] else None,
        "state": row.get("state"),
        "note": row.get("text"),
        "address": row.get("address"),
        "host key": row.get("fingerprint"),
        "seen": f"{moment(row['contact_at'])} ({ago(row['contact_at'], now)})" if row.get("contact_at") else "never",
        "tags": ", ".join(row.get("tags") or []),
        "jobs": f"{row.get('running', 0)} running, {row.get('assigned', 0)} assigned, at most {row['limit_process']}",
        "cpu": f"{_cpu(row)} of {row['cpu_cores']} cores, load {row['load1']}" if row.get("cpu_cores") else None,
        "memory": f"{_megabytes('memory_free_mb')(row)} free of {size((used + free) * MIB)}" if used and free else None,
        "disk": f"{_megabytes('disk_free_mb')(row)} free" if row.get("disk_free_mb") else None,
        "python": row.get("python"),
        "platform": row.get("platform"),
    }


@machine.command(name="set")
@machine_argument
@click.option("--name", metavar="TEXT", help="How pages call it.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="The tags it carries now; may be given again.")
@click.option("--no-tags", is_flag=True, help="It carries no tags.")
@click.option("--limit-process", "-p", type=click.IntRange(1), metavar="N", help="Jobs at once.")
@json_option
@click.pass_context
def set_(
    ctx: click.Context,
    /,
    machine_id: str,
    name: str | None,
    tags: tuple[str, ...],
    no_tags: bool,
    limit_process: int | None,
) -> None:
    """Set values on top of inventory.yml; in force within seconds.

    A value holds until the file's own value for that key changes. Running jobs are not touched.

    \b
    mj machine set lab-1 -p 8
    mj machine set lab-1 --tag gpu --tag crawl
    """
    changes: dict[str, Any] = {"name": name, "limit_process": limit_process}
    changes["tag"] = list(tags) if tags else [] if no_tags else None
    changes = {key: value for key, value in changes.items() if value is not None}
    if not changes:
        raise Wrong("say what to set: --name, --tag, --no-tags or --limit-process")
    changed = client_of(ctx).change_machine(machine_id, **changes)
    if how_of(ctx) == "json":
        click.echo(json_text({"machine_id": machine_id, "changed": list(changed)}))
    else:
        note(f"{machine_id}: set {', '.join(changed)}")


def _lever(verb: str, done: str, words: str) -> click.Command:
    @click.command(verb, cls=Command, help=words)
    @click.argument("machine_ids", metavar="MACHINE...", nargs=-1, required=True, shell_complete=names.machines)
    @click.pass_context
    def pull(ctx: click.Context, /, machine_ids: tuple[str, ...]) -> None:
        client = client_of(ctx)
        for machine_id in machine_ids:
            getattr(client.machine(machine_id), verb)()
            note(f"{machine_id}: {done}")

    return pull


machine.add_command(
    _lever(
        "pause",
        "no new jobs; running ones go on",
        """Give machines no new jobs; running ones go on.

        Jobs that wait there come back and go elsewhere.

        \b
        mj machine pause lab-1
        """,
    )
)
machine.add_command(
    _lever(
        "resume",
        "takes jobs again",
        """Let machines take jobs again, after pause, drain or close.

        \b
        mj machine resume lab-1 lab-2
        """,
    )
)
machine.add_command(
    _lever(
        "drain",
        "no new jobs; disconnects when it is idle",
        """Give machines no new jobs, and disconnect when they are idle.

        \b
        mj machine drain lab-1
        """,
    )
)
machine.add_command(
    _lever(
        "close",
        "disconnects when it is idle, and stays away until resumed",
        """Drain machines, and stay away until they are resumed.

        \b
        mj machine close lab-1
        """,
    )
)
machine.add_command(add)


@machine.command()
@machine_argument
@click.option("--fingerprint", metavar="SHA256:…", help="The one that was compared; without it you are asked.")
@click.pass_context
def trust(ctx: click.Context, /, machine_id: str, fingerprint: str | None) -> None:
    """Accept a machine's host key, once its fingerprint was compared.

    On the machine itself, ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub prints the fingerprint.

    \b
    mj machine trust lab-1
    """
    client = client_of(ctx)
    shown = fingerprint or _one(client, machine_id).get("fingerprint")
    if not shown:
        raise Wrong(f"{machine_id} shows no unknown host key; how it is:  mj machine show {machine_id}")
    if not fingerprint:
        confirm(f"{machine_id} shows the host key {shown}. Is that the machine's own?")
    client.machine(machine_id).trust(shown)
    note(f"{machine_id}: its host key is trusted")


@machine.command()
@machine_argument
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def purge(ctx: click.Context, /, machine_id: str, yes: bool) -> None:
    """Remove everything of ours from a machine, and show what it was.

    Only the server's own folder there is touched. Afterwards the machine is closed, until it is resumed.

    \b
    mj machine purge lab-1
    """
    client = client_of(ctx)
    if not yes:
        row = _one(client, machine_id)
        running = f" {row['running']} running jobs end with it." if row.get("running") else ""
        confirm(f"Remove everything of ours from {machine_id}?{running}")
    answer = answer_of(finished(client, asks.purge(client, machine_id), say_step), f"{machine_id} was not purged")
    if how_of(ctx) == "json":
        click.echo(json_text(answer, indent=2))
    else:
        click.echo(clean(removed_text(machine_id, answer)))


def removed_text(machine_id: str, answer: Mapping[str, Any]) -> str:
    """What a purge took away, as far as the server says it."""
    removed, left = answer.get("removed") or [], answer.get("left") or []
    lines = (
        [f"removed from {machine_id}:", *map(_part_text, removed)] if removed else [f"{machine_id}: nothing was there"]
    )
    return "\n".join([*lines, *(["still there:", *map(_part_text, left)] if left else [])])


def _part_text(part: Any) -> str:
    """One folder or file: where it was, and how much."""
    if not isinstance(part, dict):
        return f"  {part}"
    return f"  {part.get('path')}  {counted(part.get('files', 0), 'file')}, {size(part.get('bytes', 0))}"


COMMANDS: Final = (machine,)
