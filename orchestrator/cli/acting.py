"""Commands that change jobs: kill, rerun, copy, delete, clear. By ids or by filter, never without either.

What is meant is counted first, by the server, and done only if it is still that many. More than one job is an operation
of the server, which goes on whatever becomes of this command.
"""

from collections.abc import Mapping
from typing import Any, Final

import click

from orchestrator.cli import asks
from orchestrator.cli.filters import filter_options, filters_of
from orchestrator.cli.operations import follow, left_alone, outcome, status_word
from orchestrator.cli.output import Row, how_of, json_option
from orchestrator.cli.reading import ids_of
from orchestrator.cli.shell import Command, Wrong, client_of, confirm, confirm_number
from orchestrator.cli.text import counted, json_text

#: From here on what is final is confirmed by typing its number.
MANY: Final = 1000


def _action(name: str, words: str, *, final: bool = False) -> click.Command:
    """The command of one action; ``final``: what it takes away does not come back."""

    @click.command(name, cls=Command, help=words)
    @click.argument("ids", metavar="[ID]...", nargs=-1)
    @filter_options
    @click.option("--dry-run", is_flag=True, help="Only say what would happen.")
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @click.option("--no-wait", is_flag=True, help="Do not wait until the server is done with it.")
    @json_option
    @click.pass_context
    def act(
        ctx: click.Context,
        /,
        ids: tuple[str, ...],
        dry_run: bool,
        yes: bool,
        no_wait: bool,
        elsewhere: bool = False,
        **chosen: Any,
    ) -> None:
        which = _which(name, ids, chosen)
        client, is_json = client_of(ctx), how_of(ctx) == "json"
        asks_first = not yes and (final or not ids)
        foreseen: Row = client.bulk(name, dry_run=True, elsewhere=elsewhere, **which)
        if dry_run or (asks_first and foreseen["matched"]):
            foreseen = {**foreseen, "counts": asks.census(client, which)}
        if ids and not foreseen["matched"]:
            raise Wrong(f"there is no such job: {' '.join(ids)}; what there is:  mj ls")
        if dry_run:
            click.echo(json_text(foreseen, indent=2) if is_json else f"would {name} {meant(foreseen)}")
            return
        if asks_first and foreseen["matched"]:
            _ask(name, foreseen, final=final)
        answer = foreseen
        if foreseen["matched"]:
            expect = None if ids else foreseen["matched"]
            begun = client.bulk(name, expect=expect, elsewhere=elsewhere, wait=False, **which)
            answer = begun if no_wait else follow(begun)
        click.echo(json_text(answer, indent=2) if is_json else outcome(name, answer))

    return act


def _which(name: str, ids: tuple[str, ...], chosen: Mapping[str, Any]) -> dict[str, Any]:
    filters = filters_of(chosen)
    if bool(ids) != bool(filters):
        return {"jobs": ids_of(ids)} if ids else filters
    said = "both were given" if ids else "nothing was given"
    raise Wrong(
        f"say which jobs to {name}, either by ids or by filters; {said}\n"
        f"    mj {name} 3 5-9\n"
        f"    mj {name} -s failed -b monday --dry-run"
    )


def _ask(name: str, foreseen: Row, *, final: bool) -> None:
    question = f"{name.capitalize()} {meant(foreseen)}?"
    if final and foreseen["matched"] > MANY:
        confirm_number(f"{question} This is final.", foreseen["matched"])
    else:
        confirm(question)


def meant(foreseen: Row) -> str:
    """What is meant, in numbers: ``12 jobs (10 failed, 2 running)``, and what of it is left alone."""
    counts = foreseen.get("counts") or {}
    split = ", ".join(f"{number:,} {status_word(status)}" for status, number in counts.items() if number)
    return counted(foreseen["matched"]) + (f" ({split})" if split else "") + left_alone(foreseen)


kill: Final = _action(
    "kill",
    """Stop waiting and running jobs for good.

    Their whole process trees end; jobs that have finished are left alone.

    \b
    mj kill 12 15-20
    mj kill -b monday -s waiting --dry-run
    """,
)
rerun: Final = _action(
    "rerun",
    """Run finished jobs again, under their ids.

    They get the newest version of their job type and all their retries; results so far stay in their history.

    \b
    mj rerun 12
    mj rerun -s failed -b monday --elsewhere
    """,
)
rerun.params.append(click.Option(["--elsewhere"], is_flag=True, help="Not on the machines that failed them."))
copy: Final = _action(
    "copy",
    """Insert the same jobs anew, under new ids.

    \b
    mj copy 12
    mj copy -b monday --yes
    """,
)
delete: Final = _action(
    "delete",
    """Delete jobs and their history for good.

    Running jobs are left alone.

    \b
    mj delete 12 15-20
    mj delete -s done --until 30d
    """,
    final=True,
)
clear: Final = _action(
    "clear",
    """Empty the results of finished jobs for good.

    The jobs stay, with their counts and times; unfinished ones are left alone.

    \b
    mj clear 12 15-20
    mj clear -b monday --yes
    """,
    final=True,
)

COMMANDS: Final = (kill, rerun, copy, delete, clear)
