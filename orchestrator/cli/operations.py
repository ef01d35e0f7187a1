"""Operations: changes to many jobs, which the server works through by itself. Look, wait, stop."""

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.cli.output import STATUS_WORDS, Column, Row, aged, format_options, how_of, show_rows, show_value
from orchestrator.cli.reading import ranges_text
from orchestrator.cli.shell import Command, Wrong, client_of, note, quiet
from orchestrator.cli.text import ago, counted, moment

if TYPE_CHECKING:
    from multijob.actions import Operation

#: How often a running operation is looked at: soon at first, then less and less.
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0

DONE_WORDS: Final = {
    "kill": "killed",
    "rerun": "set to run again:",
    "copy": "copied",
    "delete": "deleted",
    "clear": "emptied",
    "priority": "given another priority:",
}

COLUMNS: Final = (
    Column("ID", lambda row: str(row["operation_id"])),
    Column("ACTION", lambda row: row["action"]),
    Column("STATE", lambda row: row["state"]),
    Column("MATCHED", lambda row: f"{meant_by(row):,}", right=True),
    Column("CHANGED", lambda row: f"{row.get('changed') or 0:,}", right=True),
    Column("LEFT ALONE", lambda row: left_alone(row).removeprefix("; left alone: "), wide=True),
    Column("BEGUN", lambda row: moment(row.get("created_at")), spare=True, brief=aged("created_at")),
    Column("BY", lambda row: row.get("who") or "", spare=True),
)


@click.command(cls=Command)
@click.argument("operation_id", metavar="[ID]", required=False)
@click.option("--wait", "-w", is_flag=True, help="Wait until it is done.")
@click.option("--stop", is_flag=True, help="Stop it where it is; what is done stays done.")
@format_options
@click.pass_context
def operations(ctx: click.Context, /, operation_id: str | None, wait: bool, stop: bool) -> None:
    """Show changes to many jobs: how far they are.

    Kill, rerun, copy, delete and clear of more than one job are worked through by the server, also over a restart.

    \b
    mj operations
    mj operations 7 --wait
    mj operations 7 --stop
    """
    client, how = client_of(ctx), how_of(ctx)
    if operation_id is None:
        if wait or stop:
            raise Wrong("which operation? Name one:  mj operations ID --wait")
        show_rows(client.operations(), COLUMNS, how, empty="No operations yet.")
        return
    found = client.operation(operation_id)
    if stop:
        found.stop()
    show_value(_shown(follow(found) if wait else found, how), how)


def _shown(answer: Row, how: str) -> Row:
    if how in ("json", "jsonl"):
        return answer
    chosen = " ".join(f"{key}={value}" for key, value in (answer.get("filter") or {}).items())
    now = time.time()
    return {
        "operation": str(answer["operation_id"]),
        "action": answer["action"] + (", elsewhere" if answer.get("elsewhere") else ""),
        "jobs": chosen or (f"{counted(answer['named'])} by id" if answer.get("named") else ""),
        "state": answer["state"],
        "why": answer.get("why"),
        "changed": f"{answer['changed']:,} of {meant_by(answer):,}",
        "left alone": left_alone(answer).removeprefix("; left alone: "),
        "copies": ranges_text(answer["ids"]) if answer.get("ids") else "",
        "by": answer.get("who"),
        "begun": _when(answer.get("created_at"), now),
        "ended": _when(answer.get("ended_at"), now),
    }


def _when(seconds: float | None, now: float) -> str:
    return f"{moment(seconds)} ({ago(seconds, now)})" if seconds else ""


def follow(operation: "Operation") -> "Operation":
    """Wait until the operation an action began is no longer running, and show how far it is; its last state.

    Interrupting ends the waiting only.
    """
    pause_s = FIRST_PAUSE_S
    draws = sys.stderr.isatty() and not quiet()
    try:
        while operation.state == "running":
            if draws:
                click.echo(f"\r{operation.changed:,} of {meant_by(operation):,}\x1b[K", err=True, nl=False)
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
            operation.refresh()
    except KeyboardInterrupt:
        note(f"\nthe server goes on with it; look or stop it:  mj operations {operation.id} --stop")
        raise
    finally:
        if draws:
            click.echo("\r\x1b[K", err=True, nl=False)
    return operation


def meant_by(answer: Row) -> int:
    """How many jobs an operation is about, as far as that is known while it runs."""
    return int(answer.get("total") or answer["matched"])


def outcome(action: str, answer: Row) -> str:
    """What was done: ``deleted 10 of 12 jobs; left alone: 2 running``, and the ids of copies."""
    state, done = answer.get("state"), DONE_WORDS.get(action, action)
    if state == "running":
        return f"the server is at it; look:  mj operations {answer['operation_id']}"
    if not answer["matched"]:
        return f"nothing to {action}: no job matches"
    whole = answer["changed"] == answer["matched"]
    text = f"{done} {counted(answer['matched']) if whole else _partly(answer)}"
    if answer.get("ids"):
        text += f": {ranges_text(answer['ids'])}"
    why = f": {answer['why']}" if answer.get("why") else ""
    return text if state in (None, "done") else f"{text}; {state}{why}"


def _partly(answer: Row) -> str:
    return f"{answer['changed']:,} of {counted(answer['matched'])}{left_alone(answer)}"


def left_alone(answer: Row) -> str:
    """What an action does not fit, by status, after a semicolon; empty when it fits all."""
    skipped: dict[str, Any] = answer.get("skipped") or {}
    left = ", ".join(f"{number:,} {status_word(why)}" for why, number in skipped.items() if number)
    return f"; left alone: {left}" if left else ""


def status_word(status: str) -> str:
    """A status the server may call by its number, and any other reason, in words."""
    try:
        return STATUS_WORDS[int(status)]
    except (ValueError, KeyError):
        return str(status).replace("_", " ")


COMMANDS: Final = (operations,)
