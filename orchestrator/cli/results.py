"""Results as jobs finish: ``mj results``, and what ``mj submit --watch`` shows."""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.cli import names
from orchestrator.cli.output import How, Row, format_options, how_of, show_csv, styled
from orchestrator.cli.reading import ids_of
from orchestrator.cli.shell import JOB_FAILED, Command, NoAnswer, Wrong, client_of, note, quiet
from orchestrator.cli.text import counted, duration, excerpt, json_text, last_line, one_line

if TYPE_CHECKING:
    from multijob import Client, Progress, Result

#: What can be followed: a JobSet, ids, or the name of a batch.
Followed = Any

CSV_NAMES: Final = (
    "id",
    "status",
    "reason",
    "attempt",
    "machine_id",
    "version",
    "count",
    "spend_s",
    "result",
    "error",
)


@click.command(cls=Command)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--batch", "-b", metavar="BATCH", shell_complete=names.batches, help="The jobs of this batch instead of IDs."
)
@click.option("--no-wait", is_flag=True, help="Only those that have finished already.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), metavar="S", help="Seconds to wait at most.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated, for spreadsheets.")
@format_options
@click.pass_context
def results(
    ctx: click.Context, /, ids: tuple[str, ...], batch: str | None, no_wait: bool, timeout_s: float | None, as_csv: bool
) -> None:
    """Print results as jobs finish.

    A line each, in the order they finish; JSON lines where the output is no terminal. Exit code 1 if a job failed.

    \b
    mj results 12 15-20
    mj results -b monday > monday.jsonl
    mj results -b monday --csv --no-wait > monday.csv
    """
    if bool(ids) == bool(batch):
        raise Wrong("give either job ids or a batch:  mj results 3 5-9   or   mj results -b monday")
    followed: Followed = batch or ids_of(ids)
    how = how_of(ctx)
    how = "jsonl" if how == "plain" else how
    follow(ctx, client_of(ctx), followed, how, wait=not no_wait, timeout_s=timeout_s, as_csv=as_csv)


def follow(
    ctx: click.Context,
    /,
    client: "Client",
    followed: Followed,
    how: How,
    *,
    wait: bool = True,
    timeout_s: float | None = None,
    as_csv: bool = False,
) -> None:
    """Print results as they come; ends the command with 1 if a job failed, and with 3 when the time was over."""
    from multijob import WaitTimeout

    tally = _Tally(client.results(followed, wait=wait, timeout_s=timeout_s))
    try:
        with _progress(followed) as advance:
            tally.tell = advance
            if as_csv:
                show_csv(tally, CSV_NAMES)
            else:
                _print(tally, how)
    except WaitTimeout as error:
        raise NoAnswer(f"{error}; look at them later:  mj results … --no-wait") from error
    if tally.failed:
        note(f"{tally.failed:,} of {counted(tally.finished)} failed; why:  {tally.why}")
        ctx.exit(JOB_FAILED)
    if how == "table" and not tally.finished:
        note("No results yet." if not wait else "There is nothing to wait for.")


class _Tally:
    """Results on their way, counted."""

    def __init__(self, rows: "Iterable[Result]") -> None:
        self._rows = rows
        self.finished = self.failed = 0
        self._last_failed = 0
        self.tell: Callable[[Result], None] = lambda _: None

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.finished += 1
            if not row.ok:
                self.failed, self._last_failed = self.failed + 1, row.id
            self.tell(row)
            yield row._asdict()

    @property
    def why(self) -> str:
        """The command that tells why they failed."""
        return f"mj show {self._last_failed}" if self.failed == 1 else "mj failures"


def _print(rows: Iterable[Row], how: How) -> None:
    if how == "json":
        held: list[Row] = []
        try:
            held.extend(rows)
        finally:  # also when the time is over, or someone has seen enough
            click.echo(json_text(held, indent=2))
        return
    for row in rows:
        click.echo(json_text(row) if how == "jsonl" else _line(row))


def _line(row: Row) -> str:
    ok = row["status"] == 3
    word = styled("done") if ok else styled("failed" if row["status"] == -1 else "return_failed")
    said = excerpt(row["result"]) if ok else ": ".join(filter(None, [row["reason"], last_line(row["error"])]))
    head = f"{row['id']}\t{word}\t{one_line(row['machine_id'] or '')}\t{duration(row['spend_s'])}\t"
    room = shutil.get_terminal_size().columns - len(click.unstyle(head).expandtabs()) if sys.stdout.isatty() else 200
    return head + excerpt(one_line(said), max(room, 20))


def _progress(followed: Followed) -> AbstractContextManager[Callable[["Result"], None]]:
    """A bar on stderr for sets of known size, where results do not go to the same terminal."""
    from multijob import JobSet

    if not isinstance(followed, JobSet) or not sys.stderr.isatty() or sys.stdout.isatty() or quiet():
        return nullcontext(lambda _: None)
    return _bar(len(followed))


@contextmanager
def _bar(total: int) -> Iterator[Callable[["Result"], None]]:
    from multijob import Progress
    from multijob.progress import line_on

    tell, state = line_on(sys.stderr), Progress(0, 0, total, total)

    def advance(row: "Result") -> None:
        nonlocal state
        state = _next(state, row.ok)
        tell(state)

    yield advance


def _next(state: "Progress", ok: bool) -> "Progress":
    left = None if state.pending is None else state.pending - 1
    return state._replace(done=state.done + ok, failed=state.failed + (not ok), pending=left)


COMMANDS: Final = (results,)
