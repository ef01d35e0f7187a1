"""What the demo shows of its jobs: progress while they run, tables when they are done. Tallies are pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from orchestrator.cli.text import clean, excerpt, one_line

if TYPE_CHECKING:
    from multijob import Result


@dataclass
class Tally:
    """What was counted so far."""

    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    machines: Counter[str] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: dict[str, "Result"] = field(default_factory=dict)

    def add(self, job_type: str, row: "Result") -> None:
        self.machines[row.machine_id or "none"] += 1
        if row.ok:
            self.done[job_type] += 1
            self.samples.setdefault(job_type, row)
        else:
            self.failed[job_type] += 1
            self.failures[job_type, last_line(row)] += 1


def last_line(row: "Result") -> str:
    """What a traceback ends with: what failures are grouped by here."""
    lines = (row.error or "").strip().splitlines()
    return lines[-1] if lines else row.reason


def following(console: Console, rows: Iterable["Result"], total: int) -> Iterator["Result"]:
    """The results as they come, with a moving bar meanwhile."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("jobs", total=total)
        for row in rows:
            progress.advance(task)
            yield row


def tables(tally: Tally, job_types: Mapping[str, Any]) -> Group:
    """Results by job type, the failures, and who did how much."""
    return Group(_results(tally, job_types), Text(), _failures(tally), Text(), _machines(tally))


def _results(tally: Tally, job_types: Mapping[str, Any]) -> Table:
    table = _table("job type", "version", "done", "failed", "a result")
    for job_type in sorted(tally.done | tally.failed):
        sample = tally.samples.get(job_type)
        shown = one_line(excerpt(sample.result, 60)) if sample else ""
        done, failed = tally.done[job_type], tally.failed[job_type]
        table.add_row(
            job_type,
            str(job_types.get(job_type, "")),
            Text(str(done), style="green"),
            Text(str(failed or ""), style="red"),
            Text(shown),
        )
    return table


def _failures(tally: Tally) -> Table:
    table = _table("failures", "job type", "the error")
    for (job_type, line), count in tally.failures.most_common():
        table.add_row(Text(str(count), style="red"), job_type, Text(clean(excerpt(line, 90))))
    return table


def _machines(tally: Tally) -> Table:
    table = _table("machine", "jobs finished")
    for machine_id, count in sorted(tally.machines.items()):
        table.add_row(Text(clean(machine_id)), str(count))
    return table


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), expand=True)
    for title in titles:
        # What does not fit is taken from the last column.
        table.add_column(title, no_wrap=True, overflow="ellipsis", ratio=1 if title == titles[-1] else None)
    return table
