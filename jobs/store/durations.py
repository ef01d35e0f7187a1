"""How long finished jobs took, as numbers of jobs by step (``jobs.spends``): by batch, and by hour. Kept, not counted.

A transaction adds what it moved; a percentile reads a few dozen rows a batch, whatever the number of jobs.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update

from jobs.model import JobFilter
from jobs.spends import Percentiles, percentiles
from jobs.store import filters, schema
from jobs.store.bulk import Bulk
from jobs.store.driver import Query

_B = schema.batch_spends.c
_H = schema.hour_spends.c


class _Histogram:
    """One of the two tables: adds to its rows, and makes those that are missing."""

    def __init__(self, table: Table, key: Sequence[str]) -> None:
        at = [f"at_{name}" for name in key]
        these = [table.c[name] == bindparam(f"at_{name}") for name in key]
        self._there = Query(select(table.c.jobs).where(*these), at)
        add = update(table).where(*these).values(jobs=table.c.jobs + bindparam("add_jobs"))
        self._add = Bulk(add, ("add_jobs", *at))
        self._make = Bulk(insert(table), (*key, "jobs"))

    def add(self, conn: Connection, moved: Mapping[tuple[Any, ...], int]) -> None:
        rows = [(key, jobs) for key, jobs in moved.items() if jobs]
        if self._add.run(conn, [(jobs, *key) for key, jobs in rows]) < len(rows):
            self._make.run(conn, [(*key, jobs) for key, jobs in rows if self._there.first(conn, *key) is None])


_BATCHES = _Histogram(schema.batch_spends, ("job_type", "batch", "step"))
_HOURS = _Histogram(schema.hour_spends, ("hour", "job_type", "step"))


def add(conn: Connection, steps: Mapping[tuple[str, str, int, int], int]) -> None:
    """Add what a transaction moved: (type, batch, hour, step) → jobs."""
    batches: Counter[tuple[str, str, int]] = Counter()
    hours: Counter[tuple[int, str, int]] = Counter()
    for (job_type, batch, hour, step), jobs in steps.items():
        batches[job_type, batch, step] += jobs
        hours[hour, job_type, step] += jobs
    _BATCHES.add(conn, batches)
    _HOURS.add(conn, hours)


def keep_hours(conn: Connection, hours: Mapping[tuple[int, str, int], int]) -> None:
    """Jobs that are being deleted stay in the history by the hour: (hour, type, step) → jobs."""
    _HOURS.add(conn, hours)


def drop_empty(conn: Connection) -> None:
    """Drop what came to hold no job."""
    conn.execute(delete(schema.batch_spends).where(_B.jobs == 0))
    conn.execute(delete(schema.hour_spends).where(_H.jobs == 0))


def of_batches(conn: Connection, job_type: str | None, batch: str | None, by_batch: bool) -> dict[Any, Percentiles]:
    """{(type, batch): percentiles}, the batch None where all are taken together."""
    grouping = (_B.job_type, _B.batch, _B.step) if by_batch else (_B.job_type, _B.step)
    asked = filters.conditions(_B, JobFilter(job_type=job_type, batch=batch))
    query = select(*grouping, func.sum(_B.jobs)).where(*asked).group_by(*grouping)
    return _grouped(conn, query, lambda row: (row[0], row[1] if by_batch else None))


def by_batch(conn: Connection, batches: Sequence[str]) -> dict[Any, Percentiles]:
    """{batch: percentiles}, over all job types."""
    query = select(_B.batch, _B.step, func.sum(_B.jobs)).where(_B.batch.in_(batches)).group_by(_B.batch, _B.step)
    return _grouped(conn, query, lambda row: row[0])


def of_hours(conn: Connection, first_hour: int) -> dict[Any, Percentiles]:
    """{hour: percentiles} over all job types, from this hour (since the epoch) on."""
    query = select(_H.hour, _H.step, func.sum(_H.jobs)).where(_H.hour >= first_hour).group_by(_H.hour, _H.step)
    return _grouped(conn, query, lambda row: row[0])


def _grouped(conn: Connection, query: Any, name: Callable[[schema.AnyRow], Any]) -> dict[Any, Percentiles]:
    """The query gives the step and the number of jobs last."""
    groups: defaultdict[Any, dict[int, int]] = defaultdict(dict)
    for row in conn.execute(query):
        groups[name(row)][row[-2]] = int(row[-1])
    return {key: percentiles(steps) for key, steps in groups.items()}
