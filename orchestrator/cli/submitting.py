"""``mj submit``: one job from words, or many from a file."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, Final

import click

from orchestrator.cli import names
from orchestrator.cli.output import how_of, json_option
from orchestrator.cli.reading import arguments, csv_rows, json_lines, keyword_arguments
from orchestrator.cli.results import follow
from orchestrator.cli.shell import Command, Wrong, client_of, note, quiet
from orchestrator.cli.text import counted, json_text

if TYPE_CHECKING:
    from multijob import Client, JobSet

#: The line that counts what is being sent is drawn this often, at most.
DRAW_S: Final = 0.1


@click.command(cls=Command)
@click.argument("job_type", metavar="TYPE", shell_complete=names.job_types)
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--args", "args_text", metavar="JSON", help="Arguments: a JSON list by position, an object by name.")
@click.option(
    "--csv",
    "csv_file",
    metavar="FILE",
    type=click.File(encoding="utf-8-sig"),
    help="A job a line; line 1 names the arguments. - is stdin.",
)
@click.option(
    "--jsonl", "jsonl_file", metavar="FILE", type=click.File(encoding="utf-8"), help="A job a line of JSON. - is stdin."
)
@click.option("--text", "as_text", is_flag=True, help="Values are text, whatever they look like.")
@click.option(
    "--batch",
    "-b",
    metavar="BATCH",
    shell_complete=names.batches,
    help="Group the jobs under this name (default: today).",
)
@click.option("--tag", metavar="TAG", help="Only machines with this tag.")
@click.option("--priority", "-p", type=int, metavar="N", help="Higher goes first (default 0).")
@click.option(
    "--limit-count", type=click.IntRange(0), metavar="N", help="Runs after a failed one (the type's, else 1)."
)
@click.option("--watch", "-w", is_flag=True, help="Wait, print each result, exit 1 if a job failed.")
@json_option
@click.pass_context
def submit(
    ctx: click.Context,
    /,
    job_type: str,
    words: tuple[str, ...],
    args_text: str | None,
    csv_file: IO[str] | None,
    jsonl_file: IO[str] | None,
    as_text: bool,
    watch: bool,
    **options: Any,
) -> None:
    """Insert jobs, one or many.

    NAME=VALUE are keyword arguments of work(); a value that reads as JSON is taken as JSON, so n=3 is a number and
    id='"3"' a text. With --csv or --jsonl each line is one job, and NAME=VALUE goes to all of them.

    \b
    mj submit crawl url=http://a.b depth=2 --watch
    mj submit save_stock_data --csv stocks.csv time_sep=30
    cat urls.jsonl | mj submit crawl --jsonl - -b monday
    """
    if sum(given is not None for given in (args_text, csv_file, jsonl_file)) > 1:
        raise Wrong("--args, --csv and --jsonl exclude each other; give one of them")
    items, total = _source(words, args_text, csv_file, jsonl_file, as_text)
    client, how = client_of(ctx), how_of(ctx)
    jobs = _submitted(client, job_type, items, total, options)
    if watch and jobs:
        note(_accepted(jobs))
        follow(ctx, client, jobs, how)
    elif how == "json":
        click.echo(json_text({"job_type": job_type, "count": len(jobs), "ids": jobs.ranges}, indent=2))
    elif how == "table" or not jobs:
        note(f"{_accepted(jobs)}{_next_step(jobs)}")
    else:
        for first, last in jobs.ranges:
            click.echo(f"{first}-{last}" if last > first else first)


def _source(
    words: tuple[str, ...],
    args_text: str | None,
    csv_file: IO[str] | None,
    jsonl_file: IO[str] | None,
    as_text: bool,
) -> tuple[Iterable[Any], int | None]:
    """The inputs, and how many; None where only reading them all would tell."""
    if csv_file is None and jsonl_file is None:
        return [arguments(args_text, words, as_text=as_text)], 1
    constants = keyword_arguments(words, as_text=as_text)
    if csv_file is not None:
        return _checked(csv_file, lambda: csv_rows(csv_file, constants, as_text=as_text))
    if jsonl_file is not None:
        return _checked(jsonl_file, lambda: json_lines(jsonl_file, constants))
    raise AssertionError("one of them is given")


def _checked(file: IO[str], rows: Callable[[], Iterator[Any]]) -> tuple[Iterator[Any], int | None]:
    """A file that can be read twice is judged as a whole, so that a bad last line inserts nothing."""
    if not file.seekable():
        return rows(), None
    total = sum(1 for _ in rows())
    file.seek(0)
    return rows(), total


def _submitted(
    client: "Client", job_type: str, items: Iterable[Any], total: int | None, options: Mapping[str, Any]
) -> "JobSet":
    """Insert them; what stops midway, a bad line or the server, says what is stored already."""
    from multijob import MultiJobError

    try:
        return client.submit_many(job_type, items if total == 1 else _drawn(items, total), **options)
    except MultiJobError as error:
        if error.submitted:
            note(f"stopped after {_accepted(error.submitted)}; these are stored and will run")
        raise
    except click.ClickException:
        if total is None:
            note("lines before that one may have been inserted already; look:  mj ls")
        raise


def _drawn(items: Iterable[Any], total: int | None) -> Iterator[Any]:
    """The same items, with a line on the terminal that counts them."""
    from multijob.progress import line_of
    from multijob.values import Progress

    draws = sys.stderr.isatty() and not quiet()
    drawn_at = time.monotonic()
    try:
        for number, item in enumerate(items, 1):
            yield item
            if draws and time.monotonic() - drawn_at > DRAW_S:
                drawn_at = time.monotonic()
                line = line_of(Progress(number, 0, None, total)) if total else f"{number:,}"
                click.echo(f"\rinserting {line}\x1b[K", err=True, nl=False)
    finally:
        if draws:
            click.echo("\r\x1b[K", err=True, nl=False)


def _accepted(jobs: "JobSet") -> str:
    shown = ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in jobs.ranges[:5])
    more = ", …" if len(jobs.ranges) > 5 else ""
    return f"{counted(len(jobs))}: {shown}{more}" if jobs else "no jobs: there was no line to make one of"


def _next_step(jobs: "JobSet") -> str:
    first, last = (jobs.ranges[0][0], jobs.ranges[-1][1]) if jobs else (0, 0)
    return f"   results:  mj results {first}{f'-{last}' if last > first else ''}" if jobs else ""


COMMANDS: Final = (submit,)
