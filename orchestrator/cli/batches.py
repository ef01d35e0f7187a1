"""``mj batch`` and ``mj failures``: many jobs at a glance, how far they are and why they fail."""

import time
from itertools import islice
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.cli import asks, names
from orchestrator.cli.filters import when
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
    title,
)
from orchestrator.cli.shell import Command, Group, Wrong, client_of, note
from orchestrator.cli.text import clean, counted, duration, moment, one_line

_UNITS: Final = ((1, "s"), (60, "min"), (3600, "h"), (86400, "d"))

if TYPE_CHECKING:
    from multijob.summaries import FailureGroup


def _number(word: str) -> Any:
    return lambda row: f"{jobs_of(row).get(word, 0) or 0:,}"


def jobs_of(row: Row) -> dict[str, int]:
    """Counts by status word, also where the server says them by number."""
    return {STATUS_WORDS.get(_as_int(key), key): number for key, number in row["jobs"].items()}


def _as_int(key: str) -> int:
    return int(key) if key.removeprefix("-").isdecimal() else 99


def progress_text(row: Row) -> str:
    """How much of a batch has ended, in per cent."""
    jobs = jobs_of(row)
    total = sum(jobs.values())
    ended = sum(jobs.get(word, 0) for word in ("done", "failed", "return_failed"))
    return f"{ended / total:.0%}" if total else ""


def _rate(row: Row) -> str:
    """Jobs in the unit of time in which there are some."""
    rate = row.get("rate_per_s") or 0
    per_s, unit = next(((rate * seconds, unit) for seconds, unit in _UNITS if rate * seconds >= 1), (0, ""))
    return f"{per_s:.3g}/{unit}" if unit else ""


COLUMNS: Final = (
    Column("BATCH", lambda row: row["batch"], wide=True),
    Column("ENDED", progress_text, right=True),
    Column("WAITING", _number("waiting"), right=True),
    Column("RUNNING", lambda row: f"{_running(row):,}", right=True),
    Column("DONE", _number("done"), right=True),
    Column("FAILED", lambda row: f"{_failed(row):,}", right=True),
    Column("RATE", _rate, right=True, spare=True),
    Column("LEFT", lambda row: duration(row.get("eta_s")), right=True, spare=True),
    Column("P50", lambda row: duration(row.get("p50_s")), right=True, spare=True),
    Column("P95", lambda row: duration(row.get("p95_s")), right=True, spare=True),
    Column("UPDATED", lambda row: moment(row.get("updated_at")), spare=True, brief=aged("updated_at")),
)


def _running(row: Row) -> int:
    return jobs_of(row).get("running", 0) + jobs_of(row).get("returning", 0)


def _failed(row: Row) -> int:
    return jobs_of(row).get("failed", 0) + jobs_of(row).get("return_failed", 0)


@click.group(cls=Group)
def batch() -> None:
    """Batches of jobs: how far they are.

    To change a batch, name it in a filter: mj rerun -b NAME, mj kill -b NAME.
    """


@batch.command(name="list")
@click.option("--size", "-n", type=click.IntRange(1), default=20, metavar="N", help="How many at most (default 20).")
@click.option("--match", metavar="TEXT", help="Only batches with TEXT in their name.")
@format_options
@click.pass_context
def list_(ctx: click.Context, /, size: int, match: str | None) -> None:
    """List the batches, newest first.

    \b
    mj batch list
    mj batch list --match 2026-11 --json
    """
    rows = islice(client_of(ctx).batches(size=min(size, 1000), q=match), size)
    show_rows(rows, COLUMNS, how_of(ctx), empty="No batches yet. Jobs of one submit share one:  mj submit TYPE -b NAME")


SHARE_COLUMNS: Final = (
    Column("MACHINE", lambda row: row["machine_id"]),
    Column("JOBS", lambda row: f"{row['jobs']:,}", right=True),
    Column("TIME SPENT", lambda row: duration(row.get("spend_s")), right=True),
)


@batch.command()
@click.argument("name", metavar="BATCH", shell_complete=names.batches)
@format_options
@click.pass_context
def show(ctx: click.Context, /, name: str) -> None:
    """Show one batch: counts, speed, and which machine did how much.

    \b
    mj batch show monday
    mj batch show monday --json
    """
    how, found = how_of(ctx), client_of(ctx).batch(name).refresh()
    if how in ("json", "jsonl"):
        show_value(found, how)
        return
    show_value(_readable(found), how)
    shares = [{"machine_id": machine, **share} for machine, share in (found.get("machines") or {}).items()]
    if shares and how == "table":
        click.echo(f"\n{title('machines')}")
        show_table(shares, SHARE_COLUMNS)
    if _failed(found):
        name = quote(name)
        note(f"\nWhich:  mj ls -b {name} -s failed,return_failed\nAgain:  mj rerun -b {name} -s failed,return_failed")


def _readable(row: Row) -> dict[str, str]:
    counts = ", ".join(f"{number:,} {word}" for word, number in jobs_of(row).items() if number)
    median, slow = duration(row.get("p50_s")), duration(row.get("p95_s"))
    return {
        "batch": row["batch"],
        "jobs": counts,
        "ended": progress_text(row),
        "rate": _rate(row),
        "left": duration(row.get("eta_s")),
        "a job takes": f"{median}, 1 in 20 over {slow}" if median and slow else median,
        "begun": moment(row.get("begin_at")),
        "updated": moment(row.get("updated_at")),
    }


FAILURE_COLUMNS: Final = (
    Column("GROUP", lambda row: row["fingerprint"]),
    Column("COUNT", lambda row: f"{row['count']:,}", right=True),
    Column("TYPE", lambda row: row["job_type"]),
    Column("LAST", lambda row: moment(row.get("last_at")), brief=aged("last_at")),
    Column("MACHINES", lambda row: str(len(row.get("machines") or ())), right=True, spare=True),
    Column("WHAT", lambda row: failure_text(row) + (" (muted)" if row.get("muted") else ""), wide=True),
)


def failure_text(row: Row) -> str:
    """What a group of failures has in common."""
    return ": ".join(filter(None, [row.get("exception"), row.get("message")]))


@click.command(cls=Command)
@click.argument("fingerprint", metavar="[GROUP]", required=False)
@click.option("--since", metavar="TIME", help="Since when: 2h, 3d, 2026-11-22, …")
@click.option("--until", metavar="TIME", help="Until when.")
@click.option("--type", "-t", "job_type", metavar="TYPE", shell_complete=names.job_types, help="Only this job type.")
@click.option("--mute", is_flag=True, help="Do not show GROUP again before the job type's next version.")
@format_options
@click.pass_context
def failures(
    ctx: click.Context,
    /,
    fingerprint: str | None,
    since: str | None,
    until: str | None,
    job_type: str | None,
    mute: bool,
) -> None:
    """Show why jobs fail, the same cause as one group.

    \b
    mj failures --since 1d
    mj failures 3f0a91
    mj rerun -f q=3f0a91 --elsewhere
    """
    client, how, now = client_of(ctx), how_of(ctx), time.time()
    times = {key: when(text, now, key) for key, text in (("since", since), ("until", until)) if text}
    if mute and not fingerprint:
        raise Wrong("which group? Name one:  mj failures GROUP --mute")
    groups = client.failures(job_type=job_type, **times)
    if not fingerprint:
        show_rows(groups, FAILURE_COLUMNS, how, empty="Nothing has failed.")
        return
    group = _named(groups, fingerprint)
    if mute:
        group.mute()
        note(f"muted until the next version of {group['job_type']}")
        return
    detail = asks.failure(client, group["fingerprint"])
    if how in ("json", "jsonl"):
        show_value(detail, how)
    else:
        show_value(_group_text(detail), how)
        _show_sample(detail)


def _named(groups: "list[FailureGroup]", fingerprint: str) -> "FailureGroup":
    """The group whose fingerprint begins so."""
    found = [group for group in groups if str(group["fingerprint"]).startswith(fingerprint)]
    if len(found) == 1:
        return found[0]
    said = "there is no group of failures" if not found else "there are several groups of failures that begin with"
    raise Wrong(f"{said} {fingerprint}; what there is:  mj failures")


def _group_text(group: Row) -> dict[str, str]:
    machines = ", ".join(f"{name} {number:,}" for name, number in (group.get("machines") or {}).items())
    return {
        "group": group["fingerprint"],
        "type": group["job_type"],
        "what": one_line(failure_text(group)),
        "where": one_line(group.get("frame") or ""),
        "count": f"{group['count']:,}",
        "first": moment(group.get("first_at")),
        "last": moment(group.get("last_at")),
        "machines": machines,
        "versions": ", ".join(map(str, group.get("versions") or ())),
        "muted": "until the next version" if group.get("muted") else "",
    }


def _show_sample(group: Row) -> None:
    sample = group.get("sample") or {}
    head = f"the latest: job {sample.get('job_id')}, attempt {sample.get('attempt')}, {sample.get('machine_id') or '?'}"
    click.echo(f"\n{title(one_line(head))}")
    click.echo(clean((sample.get("error") or "(its error is not kept)").rstrip()))
    fp = group["fingerprint"]
    note(f"\nAll {counted(group['count'])}:  mj ls -f q={fp}\nAgain:   mj rerun -f q={fp} --elsewhere")


COMMANDS: Final = (batch, failures)
