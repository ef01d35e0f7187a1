"""Commands about jobs: submit, list, look into, read results, act on them."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Final

import click

from orchestrator.cli.filters import filter_options, filters_of
from orchestrator.cli.output import (
    Column,
    Row,
    clean,
    duration,
    excerpt,
    format_options,
    how_of,
    json_text,
    moment,
    one_line,
    show_rows,
    show_value,
)
from orchestrator.cli.reading import (
    csv_rows,
    ids_of,
    json_lines,
    keyword_arguments,
    positional_arguments,
)
from orchestrator.cli.shell import JOB_FAILED, NoAnswer, Wrong, client_of, note

if TYPE_CHECKING:
    from multijob import Client, JobSet, Progress, Result

STATUS_WORDS: Final = {0: "waiting", 1: "running", 2: "returning", 3: "done", -1: "failed", -2: "return_failed"}

#: What ``--watch`` and ``results`` can be told to follow.
Followed = Any


def _status(row: Row) -> str:
    return STATUS_WORDS.get(row["status"], str(row["status"]))


COLUMNS: Final = (
    Column("ID", lambda row: str(row["id"]), right=True),
    Column("TYPE", lambda row: row["job_type"] + (f"@{row['version']}" if row.get("version", -1) >= 0 else "")),
    Column("BATCH", lambda row: row["batch"], spare=True),
    Column("STATUS", _status),
    Column("MACHINE", lambda row: row.get("machine_id") or ""),
    Column("TRY", lambda row: str(row["attempt"] or ""), right=True, spare=True),
    Column("TOOK", lambda row: duration(row.get("spend_s")), right=True, spare=True),
    Column("UPDATED", lambda row: moment(row.get("updated_at"))),
    Column("REASON", lambda row: row.get("reason") or ("unreachable" if row.get("unreachable") else ""), wide=True),
)


@click.command()
@click.argument("job_type")
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--args", "args_text", metavar="JSON", help="Positional arguments, as a JSON list.")
@click.option(
    "--csv",
    "csv_file",
    metavar="FILE",
    type=click.File(encoding="utf-8-sig"),
    help="A job a line; line 1 names them. - is stdin.",
)
@click.option(
    "--jsonl", "jsonl_file", metavar="FILE", type=click.File(encoding="utf-8"), help="A job a line of JSON. - is stdin."
)
@click.option("--text", "as_text", is_flag=True, help="Values are text, whatever they look like.")
@click.option("--batch", "-b", metavar="BATCH", help="Group the jobs under this name (today's date).")
@click.option("--tag", metavar="TAG", help="Only machines with this tag.")
@click.option("--priority", "-p", type=int, metavar="N", help="Higher goes first (default 0).")
@click.option(
    "--limit-count", type=click.IntRange(0), metavar="N", help="Runs after a failed one (the type's, else 1)."
)
@click.option("--watch", "-w", is_flag=True, help="Wait, print each result, exit 1 if a job failed.")
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
        raise Wrong("--args, --csv and --jsonl exclude each other")
    constants = keyword_arguments(words, as_text=as_text)
    items = _items(args_text, csv_file, jsonl_file, constants, as_text)
    client = client_of(ctx)
    jobs = _submitted(client, job_type, items, options)
    if watch:
        note(_accepted(jobs))
        _follow(ctx, client, jobs, jsonl=False)
    elif sys.stdout.isatty():
        click.echo(_accepted(jobs))
    else:
        for first, last in jobs.ranges:
            click.echo(f"{first}-{last}" if last > first else first)


def _items(
    args_text: str | None,
    csv_file: IO[str] | None,
    jsonl_file: IO[str] | None,
    constants: dict[str, Any],
    as_text: bool,
) -> Iterable[Any]:
    from multijob import call

    if csv_file is not None:
        return csv_rows(csv_file, constants, as_text=as_text)
    if jsonl_file is not None:
        return json_lines(jsonl_file, constants)
    return [call(*positional_arguments(args_text), **constants)]


def _submitted(client: "Client", job_type: str, items: Iterable[Any], options: Mapping[str, Any]) -> "JobSet":
    from multijob import MultiJobError

    try:
        return client.submit_many(job_type, items, **options)
    except MultiJobError as error:
        if error.submitted:
            note(f"stopped after {_accepted(error.submitted)}")
        raise


def _accepted(jobs: "JobSet") -> str:
    shown = ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in jobs.ranges[:5])
    more = ", …" if len(jobs.ranges) > 5 else ""
    return f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}: {shown}{more}"


@click.command()
@filter_options
@click.option("--size", "-n", type=click.IntRange(1), default=20, metavar="N", help="How many at most (default 20).")
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@click.option("--after", type=int, metavar="ID", help="Go on below this id.")
@format_options
@click.pass_context
def ls(ctx: click.Context, /, size: int, everything: bool, after: int | None, **chosen: Any) -> None:
    """List jobs, newest first.

    \b
    mj ls -s failed -b monday
    mj ls --filter machine_id=lab-1 --jsonl
    """
    filters = filters_of(chosen)
    rows = _listed(client_of(ctx), filters, None if everything else size, after)
    empty = "Nothing matches these filters." if filters else "No jobs yet. Insert one:  mj submit TYPE NAME=VALUE"
    show_rows(rows, COLUMNS, how_of(ctx), empty=empty)


def _listed(client: "Client", filters: Mapping[str, str], size: int | None, after: int | None) -> Iterator[Row]:
    page_size = min(size or 1000, 1000)
    rows = client.jobs(size=page_size, after=after, **filters)
    return islice(rows, size)


@click.command()
@click.argument("job_id", type=int)
@format_options
@click.pass_context
def show(ctx: click.Context, /, job_id: int) -> None:
    """Show all about one job.

    Where it ran, what it was given, its result or its error.
    """
    job = client_of(ctx).job(job_id)
    how = how_of(ctx)
    show_value(job if how in ("json", "jsonl") else _readable(job), how)


def _readable(job: Row) -> dict[str, Any]:
    """A job for eyes: words instead of numbers, only what there is."""
    waiting = job.get("waiting_because") or {}
    shown = {
        "id": job["id"],
        "type": f"{job['job_type']}@{job['version']}" if job.get("version", -1) >= 0 else job["job_type"],
        "status": _status(job),
        "reason": job.get("reason"),
        "waits for": waiting.get("text"),
        "batch": job["batch"],
        "tag": job.get("tag"),
        "machine": job.get("machine_id"),
        "attempt": job.get("attempt"),
        "took": duration(job.get("spend_s")),
        "created": moment(job.get("created_at")),
        "started": moment(job.get("started_at")),
        "updated": moment(job.get("updated_at")),
        "input": job.get("input"),
        "result": job.get("result"),
        "error": job.get("error"),
        "return_main": job.get("return_error"),
    }
    return {name: value for name, value in shown.items() if value not in (None, "", 0) or name == "id"}


@click.command()
@click.argument("job_id", type=int)
@click.option("--attempt", type=int, metavar="N", help="Which try (default: the latest).")
@click.option("--stderr", "stream", flag_value="stderr", help="Only what went to stderr.")
@click.option("--stdout", "stream", flag_value="stdout", help="Only what went to stdout.")
@click.pass_context
def logs(ctx: click.Context, /, job_id: int, attempt: int | None, stream: str | None) -> None:
    """Print what a finished job printed.

    The first 64 KiB and the last 192 KiB of each stream are kept.
    """
    client = client_of(ctx)
    for name in [stream] if stream else ["stdout", "stderr"]:
        log = client.log(job_id, attempt=attempt, stream=name)
        kept = log["head"] + _gap(log) + log["tail"]
        click.echo(clean(kept), nl=bool(kept) and not kept.endswith("\n"), err=name == "stderr" and not stream)


def _gap(log: Row) -> str:
    left_out = log["total"] - len(log["head"].encode()) - len(log["tail"].encode())
    return f"\n… {left_out} bytes left out …\n" if log["tail"] and left_out > 0 else ""


@click.command()
@click.argument("ids", nargs=-1)
@click.option("--batch", "-b", metavar="BATCH", help="The jobs of this batch instead of IDS.")
@click.option("--no-wait", is_flag=True, help="Only those that have finished already.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), metavar="S", help="Seconds to wait at most.")
@format_options
@click.pass_context
def results(
    ctx: click.Context, /, ids: tuple[str, ...], batch: str | None, no_wait: bool, timeout_s: float | None
) -> None:
    """Print results as jobs finish.

    One line each; JSON lines where the output is no terminal.

    \b
    mj results 12 15-20
    mj results -b monday > monday.jsonl
    """
    if bool(ids) == bool(batch):
        raise Wrong("give either job ids or --batch")
    followed: Followed = batch or ids_of(ids)
    _follow(ctx, client_of(ctx), followed, wait=not no_wait, timeout_s=timeout_s, jsonl=True)


def _follow(
    ctx: click.Context,
    /,
    client: "Client",
    followed: Followed,
    *,
    jsonl: bool,
    wait: bool = True,
    timeout_s: float | None = None,
) -> None:
    """Print results as they come; ends the command with 1 if a job failed, and with 3 when the time was over."""
    from multijob import WaitTimeout

    how = how_of(ctx)
    how = "jsonl" if how == "plain" and jsonl else how
    failed, held = 0, []
    with _progress(followed) as advance:
        try:
            for row in client.results(followed, wait=wait, timeout_s=timeout_s):
                failed += not row.ok
                advance(row)
                if how == "json":
                    held.append(row._asdict())
                else:
                    click.echo(json_text(row._asdict()) if how == "jsonl" else _line(row, how == "table"))
        except WaitTimeout as error:
            raise NoAnswer(str(error)) from error
        finally:
            if how == "json":
                click.echo(json_text(held))
    if failed:
        note(f"{failed} failed")
        ctx.exit(JOB_FAILED)


def _line(row: "Result", coloured: bool) -> str:
    word = row.status_word
    said = excerpt(row.result) if row.ok else f"{row.reason}: {_last_line(row.error)}"
    if coloured:
        word = click.style(word, fg="green" if row.ok else "red")
    return f"{row.id}\t{word}\t{one_line(row.machine_id or '')}\t{duration(row.spend_s)}\t{one_line(said)}"


def _last_line(error: str | None) -> str:
    lines = (error or "").strip().splitlines()
    return excerpt(lines[-1]) if lines else ""


def _progress(followed: Followed) -> AbstractContextManager[Callable[["Result"], None]]:
    """A bar on stderr for sets of known size, where results do not go to the same terminal."""
    from multijob import JobSet

    if not isinstance(followed, JobSet) or not sys.stderr.isatty() or sys.stdout.isatty():
        return nullcontext(lambda _: None)
    return _bar(len(followed))


def _bar(total: int) -> AbstractContextManager[Callable[["Result"], None]]:
    from contextlib import contextmanager

    from multijob import Progress
    from multijob.progress import line_on

    @contextmanager
    def showing() -> Iterator[Callable[["Result"], None]]:
        tell, state = line_on(sys.stderr), Progress(0, 0, total, total)

        def advance(row: "Result") -> None:
            nonlocal state
            state = _next(state, row.ok)
            tell(state)

        yield advance

    return showing()


def _next(state: "Progress", ok: bool) -> "Progress":
    left = None if state.pending is None else state.pending - 1
    return state._replace(done=state.done + ok, failed=state.failed + (not ok), pending=left)


def _counted(status: int) -> Callable[[Row], str]:
    return lambda row: str(row["jobs"].get(str(status), 0))


SUMMARY_COLUMNS: Final = (
    Column("TYPE", lambda row: row["job_type"]),
    Column("BATCH", lambda row: row["batch"] if row["batch"] is not None else "(all)"),
    *(Column(word.upper(), _counted(number), right=True) for number, word in STATUS_WORDS.items()),
    Column("RETURNED", lambda row: str(row["count"]), right=True),
)


@click.command()
@click.option("--type", "-t", "job_type", metavar="TYPE", help="Only this job type.")
@click.option("--batch", "-b", metavar="BATCH", help="Only this batch.")
@click.option("--by-batch", is_flag=True, help="A row for each batch.")
@format_options
@click.pass_context
def summary(ctx: click.Context, /, job_type: str | None, batch: str | None, by_batch: bool) -> None:
    """Count jobs by type or batch, and status."""
    rows = client_of(ctx).summary(job_type, batch, by_batch=by_batch)
    show_rows(rows, SUMMARY_COLUMNS, how_of(ctx), empty="No jobs yet.")


COMMANDS: Final = (submit, ls, show, logs, results, summary)
