"""How many jobs of each type and batch are in each status, what they returned and spent: kept, not counted.

Every operation notes what it moved; sums are written once a transaction. Reading costs a row a (type, batch, status).
The same jobs are kept by the hour of their latest move as well, so that a history costs a row a (hour, type, status),
and those that wait by lane.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Double, bindparam, case, delete, exists, func, insert, select, update

from jobs import spends
from jobs.model import HourRow, JobFilter, Summary
from jobs.status import TERMINAL, Status
from jobs.store import batches, durations, filters, schema
from jobs.store.bulk import Bulk
from jobs.store.driver import Query

if TYPE_CHECKING:
    from jobs.store.tx import Tx

_C = schema.counters.c
_H = schema.hours.c
_L = schema.lanes.c

HOUR_S: Final = 3600

_AT = bindparam("at", type_=Double)
_THIS = (
    (_C.job_type == bindparam("at_type")) & (_C.batch == bindparam("at_batch")) & (_C.status == bindparam("at_status"))
)
_ADD = Bulk(
    update(schema.counters)
    .where(_THIS)
    .values(
        jobs=_C.jobs + bindparam("add_jobs"),
        return_count=_C.return_count + bindparam("add_count"),
        spend_s=_C.spend_s + bindparam("add_spend"),
        updated_at=case((_C.updated_at < _AT, _AT), else_=_C.updated_at),
    ),
    ("add_jobs", "add_count", "add_spend", "at", "at_type", "at_batch", "at_status"),
)
_THERE = Query(select(_C.jobs).where(_THIS), ("at_type", "at_batch", "at_status"))
_THIS_HOUR = (
    (_H.hour == bindparam("at_hour")) & (_H.job_type == bindparam("at_type")) & (_H.status == bindparam("at_status"))
)
_ADD_HOUR = Bulk(
    update(schema.hours)
    .where(_THIS_HOUR)
    .values(
        jobs=_H.jobs + bindparam("add_jobs"),
        return_count=_H.return_count + bindparam("add_count"),
        spend_s=_H.spend_s + bindparam("add_spend"),
    ),
    ("add_jobs", "add_count", "add_spend", "at_hour", "at_type", "at_status"),
)
_ADD_WAITING = Bulk(
    update(schema.lanes)
    .where(_L.id == bindparam("at_lane"))
    .values(ready=_L.ready + bindparam("add_ready"), backing_off=_L.backing_off + bindparam("add_backing_off")),
    ("add_ready", "add_backing_off", "at_lane"),
)
_HOUR_THERE = Query(select(_H.jobs).where(_THIS_HOUR), ("at_hour", "at_type", "at_status"))
_OTHER = schema.counters.alias("other")
_IN_USE = exists().where(_OTHER.c.job_type == _C.job_type, _OTHER.c.batch == _C.batch, _OTHER.c.jobs != 0)


class Deltas:
    """What a transaction adds to the counters."""

    def __init__(self) -> None:
        #: (type, batch, status, hour) → jobs, return_count, spend_s, latest time.
        self._sums: defaultdict[tuple[str, str, int, int], list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0.0])
        self._tags: dict[tuple[str, str], str] = {}
        #: (type, batch, hour, step of ``jobs.spends``) → finished jobs.
        self._steps: Counter[tuple[str, str, int, int]] = Counter()
        #: Lane → jobs that can be claimed, jobs that back off.
        self._lanes: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])

    def add(
        self,
        job_type: str,
        batch: str,
        status: int,
        at: float,
        jobs: int,
        return_count: float = 0.0,
        spend_s: float = 0.0,
    ) -> None:
        """So many more jobs (fewer, when negative) whose latest move was ``at`` are in this status, with these sums."""
        sums = self._sums[job_type, batch, status, int(at) // HOUR_S]
        sums[0] += jobs
        sums[1] += return_count
        sums[2] += spend_s
        if at > sums[3]:
            sums[3] = at

    def spent(self, job_type: str, batch: str, at: float, spends_s: Iterable[float], jobs: int = 1) -> None:
        """Finished jobs whose latest move was ``at``: for each of these durations so many more (fewer, if negative)."""
        hour = int(at) // HOUR_S
        for step, count in Counter(map(spends.step_of, spends_s)).items():
            self._steps[job_type, batch, hour, step] += jobs * count

    def new_batch(self, job_type: str, batch: str, tag: str) -> None:
        """Should the batch be new, this is its tag."""
        self._tags.setdefault((job_type, batch), tag)

    def wait(self, lane_id: int, *, backing_off: bool, jobs: int = 1) -> None:
        """So many more waiting jobs in the lane (fewer, if negative), which can be claimed or back off."""
        self._lanes[lane_id][backing_off] += jobs

    def __bool__(self) -> bool:
        """Whether anything moved."""
        return bool(self._sums)

    def flush(self, conn: Connection) -> None:
        """Write the sums."""
        if self._sums:
            _write_batches(conn, self._sums, self._tags)
            _write_hours(conn, self._sums)
        if self._steps:
            durations.add(conn, self._steps)
        _ADD_WAITING.run(conn, [(*sums, lane_id) for lane_id, sums in sorted(self._lanes.items()) if any(sums)])


_Sums = Mapping[tuple[str, str, int, int], list[float]]


def _write_batches(conn: Connection, sums: _Sums, tags: Mapping[tuple[str, str], str]) -> None:
    totals: defaultdict[tuple[str, str, int], list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0.0])
    for (job_type, batch, status, _), (jobs, return_count, spend_s, at) in sums.items():
        total = totals[job_type, batch, status]
        total[0] += jobs
        total[1] += return_count
        total[2] += spend_s
        total[3] = max(total[3], at)
    moved = [(key, tuple(total)) for key, total in sorted(totals.items())]  # also what only moved in time
    if _ADD.run(conn, [(*total, *key) for key, total in moved]) < len(moved):
        _add_missing(conn, moved, tags)


def _add_missing(
    conn: Connection,
    moved: Sequence[tuple[tuple[str, str, int], tuple[float, ...]]],
    tags: Mapping[tuple[str, str], str],
) -> None:
    for (job_type, batch, status), (jobs, return_count, spend_s, at) in moved:
        if _THERE.first(conn, job_type, batch, status) is None:
            row = {"job_type": job_type, "batch": batch, "status": status, "begin_at": at, "updated_at": at}
            row |= {"jobs": jobs, "return_count": return_count, "spend_s": spend_s}
            row["tag"] = tags.get((job_type, batch), "") if status == Status.WAITING else ""
            conn.execute(insert(schema.counters), row)
            batches.begun(conn, batch, at)


def _write_hours(conn: Connection, sums: _Sums) -> None:
    totals: defaultdict[tuple[int, str, int], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for (job_type, _, status, hour), (jobs, return_count, spend_s, _at) in sums.items():
        total = totals[hour, job_type, status]
        total[0] += jobs
        total[1] += return_count
        total[2] += spend_s
    moved = [(key, tuple(total)) for key, total in sorted(totals.items()) if any(total)]
    if _ADD_HOUR.run(conn, [(*total, *key) for key, total in moved]) < len(moved):
        _add_missing_hours(conn, moved)


def _add_missing_hours(conn: Connection, moved: Sequence[tuple[tuple[int, str, int], tuple[float, ...]]]) -> None:
    for (hour, job_type, status), (jobs, return_count, spend_s) in moved:
        if _HOUR_THERE.first(conn, hour, job_type, status) is None:
            row = {"hour": hour, "job_type": job_type, "status": status}
            conn.execute(insert(schema.hours), row | {"jobs": jobs, "return_count": return_count, "spend_s": spend_s})


def keep_hours(conn: Connection, sums: _Sums) -> None:
    """Jobs that are being deleted stay in the history: add what the deletion is about to take away."""
    _write_hours(conn, sums)


def drop_empty(tx: "Tx") -> None:
    """Drop what came to hold no job, so that old batches leave nothing behind."""
    # A list, because MariaDB reads no table that it deletes from.
    empty = tx.conn.execute(select(_C.job_type, _C.batch).distinct().where(~_IN_USE)).all()
    for job_type, batch in empty:
        tx.conn.execute(delete(schema.counters).where(_C.job_type == job_type, _C.batch == batch))
    tx.conn.execute(delete(schema.hours).where(_H.jobs == 0))
    durations.drop_empty(tx.conn)
    batches.drop_empty(tx.conn)


# ------------------------------------------------------------------------------------------------------------ reading

_SUMMARY = select(
    _C.job_type, _C.batch, _C.status, _C.jobs, _C.return_count, _C.spend_s, _C.begin_at, _C.updated_at, _C.tag
)


def summary(conn: Connection, job_type: str | None, batch: str | None, by_batch: bool) -> list[Summary]:
    """One Summary a (type, batch), or a type over all batches."""
    groups: defaultdict[tuple[str, str | None], list[schema.AnyRow]] = defaultdict(list)
    for row in conn.execute(_SUMMARY.where(*filters.conditions(_C, JobFilter(job_type=job_type, batch=batch)))):
        groups[row.job_type, row.batch if by_batch or batch is not None else None].append(row)
    ordered = sorted(groups, key=lambda name: (name[0], name[1] or ""))
    return [one for name in ordered if (one := _one(name, groups[name])).jobs]


def _one(name: tuple[str, str | None], rows: Sequence[schema.AnyRow]) -> Summary:
    alive = {row.batch for row in rows if row.jobs}
    rows = [row for row in rows if row.batch in alive]
    done = [row for row in rows if row.status == Status.DONE]
    jobs: defaultdict[Status, int] = defaultdict(int)
    for row in rows:
        jobs[Status(row.status)] += int(row.jobs)
    return Summary(
        job_type=name[0],
        batch=name[1],
        jobs={status: count for status, count in jobs.items() if count},
        return_count=sum(float(row.return_count) for row in done),
        spend_s=sum(float(row.spend_s) for row in done),
        tag=",".join(sorted({row.tag for row in rows if row.tag})),
        begin_at=min((row.begin_at for row in rows), default=0.0),
        updated_at=max((row.updated_at for row in rows), default=0.0),
    )


def names(conn: Connection) -> tuple[list[str], list[str]]:
    """(job types that have jobs, by name; batches that have some, the newest first)."""
    types = select(_C.job_type).where(_C.jobs != 0).distinct().order_by(_C.job_type)
    newest = select(_C.batch).where(_C.jobs != 0).group_by(_C.batch).order_by(func.max(_C.begin_at).desc(), _C.batch)
    return list(conn.execute(types).scalars()), list(conn.execute(newest).scalars())


_HOURS = select(_H.hour, _H.job_type, _H.status, _H.jobs, _H.return_count, _H.spend_s)


def history(conn: Connection, first_hour: int) -> list[HourRow]:
    """The jobs whose latest move was in this hour (counted since the epoch) or later."""
    query = _HOURS.where(_H.hour >= first_hour, _H.jobs != 0).order_by(_H.hour, _H.job_type, _H.status)
    return [HourRow(row[0], row[1], Status(row[2]), int(row[3]), row[4], row[5]) for row in conn.execute(query)]


def count(conn: Connection, chosen: JobFilter) -> dict[Status, int]:
    """How many jobs a filter means that is ``on_counters``."""
    query = select(_C.status, func.sum(_C.jobs)).where(*filters.conditions(_C, chosen)).group_by(_C.status)
    return {Status(row[0]): int(row[1]) for row in conn.execute(query) if row[1]}


_BATCH_STATUS = select(_C.status, func.sum(_C.jobs)).where(_C.batch == bindparam("batch")).group_by(_C.status)


def batch_size(conn: Connection, batch: str) -> tuple[int, int]:
    """(jobs of the batch, those that are not finished)."""
    by_status = {row[0]: int(row[1]) for row in conn.execute(_BATCH_STATUS, {"batch": batch})}
    total = sum(by_status.values())
    return total, total - sum(by_status.get(int(status), 0) for status in TERMINAL)
