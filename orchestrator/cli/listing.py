"""Commands that look: the list of jobs, one job, counts."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.cli import names
from orchestrator.cli.filters import filter_options, filters_of
from orchestrator.cli.output import (
    STATUS_WORDS,
    Column,
    Row,
    aged,
    format_options,
    how_of,
    show_rows,
    show_table,
    show_value,
    status_of,
    title,
)
from orchestrator.cli.shell import Command, client_of, note
from orchestrator.cli.text import ago, call_text, duration, json_text, last_line, moment, one_line

if TYPE_CHECKING:
    from multijob import Client

SORTS: Final = ("id", "-id", "updated_at", "-updated_at", "spend_s", "-spend_s")


def type_of(row: Row) -> str:
    """A job's type, and its version once that is known."""
    version = row.get("version")
    return str(row["job_type"]) + (f"@{version}" if version is not None and version >= 0 else "")


def why(row: Row) -> str:
    """What a person should know about how a job is: why it waits or failed, how far it is, that nobody hears of it."""
    if row.get("unreachable"):
        return "unreachable"
    if row.get("kill_requested") and row["status"] == 1:
        return "being killed"
    waiting = row.get("waiting_because") or {}
    said = last_line(row.get("error") or row.get("return_error") or row.get("excerpt"))
    words = [progress_of(row) or row.get("reason") or waiting.get("text") or "", said]
    return ": ".join(filter(None, words))


def progress_of(row: Row) -> str | None:
    """How far a running job says it is: ``45% (45 of 100), 12 s left``."""
    from multijob import Reached  # not before it is needed: completions are quick

    return str(Reached(**row["progress"])) if row.get("progress") else None


#: All columns of ``mj ls`` by the names of ``--columns``.
COLUMNS: Final[Mapping[str, Column]] = {
    "id": Column("ID", lambda row: str(row["id"]), right=True),
    "type": Column("TYPE", type_of),
    "batch": Column("BATCH", lambda row: row["batch"], spare=True),
    "status": Column("STATUS", status_of),
    "machine": Column("MACHINE", lambda row: row.get("machine_id") or ""),
    "try": Column("TRY", lambda row: str(row["attempt"] or ""), right=True, spare=True),
    "took": Column("TOOK", lambda row: duration(row.get("spend_s")), right=True, spare=True),
    "updated": Column("UPDATED", lambda row: moment(row.get("updated_at")), spare=True, brief=aged("updated_at")),
    "why": Column("WHY", why, wide=True),
    "tag": Column("TAG", lambda row: row.get("tag") or ""),
    "priority": Column("PRIORITY", lambda row: str(row.get("priority", 0)), right=True),
    "limit_count": Column("RETRIES", lambda row: str(row.get("limit_count", "")), right=True),
    "count": Column("COUNT", lambda row: str(row.get("count", "")), right=True),
    "created": Column("CREATED", lambda row: moment(row.get("created_at"))),
    "started": Column("STARTED", lambda row: moment(row.get("started_at"))),
}
USUAL: Final = ("id", "type", "status", "updated", "machine", "batch", "took", "try", "why")


def _columns(_ctx: click.Context, _param: click.Parameter, given: str | None) -> Sequence[Column]:
    chosen = [name.strip() for name in given.split(",")] if given else USUAL
    wrong = [name for name in chosen if name not in COLUMNS]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is no column; there are {', '.join(COLUMNS)}")
    return [COLUMNS[name] for name in chosen]


@click.command(cls=Command)
@filter_options
@click.option("--size", "-n", type=click.IntRange(1), default=20, metavar="N", help="How many at most (default 20).")
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@click.option("--after", metavar="CURSOR", help="Go on where an earlier list ended.")
@click.option("--sort", type=click.Choice(SORTS), metavar="KEY", help="id, updated_at or spend_s; -KEY: falling.")
@click.option("--columns", metavar="NAMES", callback=_columns, help=f"Of {', '.join(COLUMNS)}.")
@format_options
@click.pass_context
def ls(
    ctx: click.Context,
    /,
    size: int,
    everything: bool,
    after: str | None,
    sort: str | None,
    columns: Sequence[Column],
    **chosen: Any,
) -> None:
    """List jobs, newest first.

    In a filter a comma means "or", and a ! in front "none of these".

    \b
    mj ls -s failed -b monday
    mj ls -f 'machine_id=!gpu-3' --since 2h
    mj ls --all --jsonl > jobs.jsonl
    """
    filters = filters_of(chosen)
    rows = _Rows(client_of(ctx), {**filters, "sort": sort}, None if everything else size, after)
    how = how_of(ctx)
    empty = "Nothing matches these filters." if filters else "No jobs yet. Insert one:  mj submit TYPE NAME=VALUE"
    show_rows(rows, columns, how, empty=empty)
    if rows.next is not None and how == "table":
        note(f"There are more:  mj ls … --after {rows.next}   (or --all)")


class _Rows:
    """Jobs page by page, as they are needed; ``next`` is where those begin that were not asked for."""

    def __init__(self, client: "Client", asked: Mapping[str, Any], limit: int | None, after: str | None) -> None:
        self._client = client
        self._asked = {key: value for key, value in asked.items() if value is not None}
        self._left = limit
        self.next: int | str | None = int(after) if after and after.isdecimal() else after

    def __iter__(self) -> Iterator[Row]:
        while True:
            page_size = 1000 if self._left is None else min(self._left, 1000)
            after: Any = self.next
            page = self._client.jobs_page(size=page_size, after=after, **self._asked)
            self.next = page.get("next")
            yield from page["jobs"]
            self._left = None if self._left is None else self._left - len(page["jobs"])
            if self.next is None or self._left == 0:
                return


ATTEMPT_COLUMNS: Final = (
    Column("TRY", lambda row: str(row["attempt"]), right=True),
    Column("MACHINE", lambda row: row.get("machine_id") or ""),
    Column("VERSION", lambda row: str(row.get("version", "")), right=True, spare=True),
    Column("TOOK", lambda row: duration(row.get("spend_s")), right=True, spare=True),
    Column("ENDED", lambda row: moment(row.get("ended_at")), spare=True),
    Column("REASON", lambda row: row.get("reason") or "done"),
    Column("ERROR", lambda row: last_line(row.get("error")), wide=True),
)


@click.command(cls=Command)
@click.argument("job_id", metavar="ID", type=int)
@format_options
@click.pass_context
def show(ctx: click.Context, /, job_id: int) -> None:
    """Show all about one job.

    Where it ran, what it was given, its result or its error, its attempts.

    \b
    mj show 12
    mj show 12 --json
    """
    client, how = client_of(ctx), how_of(ctx)
    job = client.job(job_id).refresh()
    if how in ("json", "jsonl"):
        show_value(job, how)
        return
    show_value(_readable(job, time.time()), how)
    attempts = client.attempts(job_id) if (job.get("attempt") or 0) > 1 else []
    if attempts and how == "table":
        click.echo(f"\n{title('attempts')}")
        show_table(attempts, ATTEMPT_COLUMNS)
    if job["status"] in (-1, -2, 3):
        note(f"\nWhat it printed:  mj logs {job_id}      Again:  mj rerun {job_id}")


def _readable(job: Row, now: float) -> dict[str, Any]:
    """A job for eyes: words instead of numbers, only what there is."""
    waiting = job.get("waiting_because") or {}
    tries = f"{job['attempt']}, run again after a failure up to {job['limit_count']}x" if job.get("attempt") else None
    return {
        "id": str(job["id"]),
        "call": one_line(call_text(job["job_type"], job.get("input") or {})),
        "status": status_of(job),
        "reason": job.get("reason"),
        "waits for": waiting.get("text"),
        "progress": progress_of(job),
        "unreachable": "its machine does not answer" if job.get("unreachable") else None,
        "killing": "asked for, not yet confirmed" if job.get("kill_requested") and job["status"] == 1 else None,
        "batch": job["batch"],
        "tag": job.get("tag"),
        "priority": job.get("priority") or None,
        "machine": job.get("machine_id"),
        "version": str(job["version"]) if job.get("version", -1) >= 0 else None,
        "attempt": tries,
        "took": duration(job.get("spend_s")),
        "created": _when(job.get("created_at"), now),
        "started": _when(job.get("started_at"), now),
        "updated": _when(job.get("updated_at"), now),
        "count": job.get("count") if job["status"] in (2, 3) else None,
        "result": _result(job),
        "error": job.get("error"),
        "return_main": job.get("return_error"),
    }


def _result(job: Row) -> str | None:
    if job["status"] not in (2, 3):
        return None
    return "(emptied)" if job.get("cleared") else json_text(job.get("result"), indent=2)


def _when(seconds: float | None, now: float) -> str:
    return f"{moment(seconds)} ({ago(seconds, now)})" if seconds else ""


def _counted(status: int) -> Callable[[Row], str]:
    return lambda row: f"{row['jobs'].get(str(status), 0):,}"


SUMMARY_COLUMNS: Final = (
    Column("TYPE", lambda row: row["job_type"]),
    Column("BATCH", lambda row: row["batch"] if row["batch"] is not None else "(all)"),
    *(Column(word.upper(), _counted(number), right=True) for number, word in STATUS_WORDS.items()),
    Column("RETURNED", lambda row: str(row["count"]), right=True, spare=True),
)


@click.command(cls=Command)
@click.option("--type", "-t", "job_type", metavar="TYPE", shell_complete=names.job_types, help="Only this job type.")
@click.option("--batch", "-b", metavar="BATCH", shell_complete=names.batches, help="Only this batch.")
@click.option("--by-batch", is_flag=True, help="A row for each batch.")
@format_options
@click.pass_context
def summary(ctx: click.Context, /, job_type: str | None, batch: str | None, by_batch: bool) -> None:
    """Count jobs by type or batch, and status.

    \b
    mj summary
    mj summary -t crawl --by-batch
    """
    rows = client_of(ctx).summary(job_type, batch, by_batch=by_batch)
    show_rows(rows, SUMMARY_COLUMNS, how_of(ctx), empty="No jobs yet. Insert one:  mj submit TYPE NAME=VALUE")


COMMANDS: Final = (ls, show, summary)
