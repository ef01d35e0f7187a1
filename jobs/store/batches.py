"""Batches as people look at them: which there are, how far each is, how fast it goes, which machines did it.

``batches`` has a row for every batch that has jobs, made when its first counter is; all else is read from counters,
from the newest part of the stream of results, and (who did it) from the jobs themselves, never from more than a few
thousand of them.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    delete,
    distinct,
    exists,
    func,
    insert,
    literal_column,
    select,
)

from jobs.spends import NONE
from jobs.status import TERMINAL, Status
from jobs.store import durations, schema
from jobs.views import BatchPlace, BatchView, Share, Shares

_B = schema.batches.c
_C = schema.counters.c
_J = schema.jobs.c

#: The rate is that of so many seconds, or of so many finished jobs where they are more.
RATE_S: Final = 300.0
RATE_JOBS: Final = 5000
#: Fewer finishes than this say little about when they began.
_SOME: Final = 10
#: A batch up to this size is counted by machine; of a larger one, so many jobs at so many places.
COUNTED: Final = 20_000
_PLACES: Final = 40
_AT_A_PLACE: Final = 250

_OPEN: Final = tuple(int(status) for status in Status if status not in TERMINAL)
#: Of these, a machine has done its part.
_WORKED: Final = tuple(int(status) for status in Status if status not in (Status.WAITING, Status.RUNNING))

# ---------------------------------------------------------------------------------------------------------- maintained


def begun(conn: Connection, batch: str, at: float) -> None:
    """A batch got a counter it had not; write the batch down if it is new."""
    if conn.execute(select(_B.begin_at).where(_B.batch == batch)).scalar() is None:
        conn.execute(insert(schema.batches), {"batch": batch, "begin_at": at})


def drop_empty(conn: Connection) -> None:
    """Forget batches that have no counter any more."""
    used = exists(select(literal_column("1")).select_from(schema.counters).where(_C.batch == _B.batch))
    conn.execute(delete(schema.batches).where(~used))


# ------------------------------------------------------------------------------------------------------------ reading


def page(
    conn: Connection, now: float, size: int, after: BatchPlace | None = None, q: str = ""
) -> tuple[list[BatchView], BatchPlace | None]:
    """(Batches whose name holds ``q``, the newest first; where the next page begins)."""
    query = select(_B.begin_at, _B.batch).order_by(_B.begin_at.desc(), _B.batch.desc()).limit(size)
    if q:
        query = query.where(_B.batch.contains(q, autoescape=True))
    if after is not None:
        same = and_(_B.begin_at == after.begin_at, _B.batch < after.batch)
        query = query.where((_B.begin_at < after.begin_at) | same)
    places = [BatchPlace(*row) for row in conn.execute(query)]
    found = named(conn, [place.batch for place in places], now)
    return found, places[-1] if len(places) == size else None


_RUNNING: Final = (_C.status.in_(_OPEN)) & (_C.jobs > 0)


def running(conn: Connection, now: float, size: int) -> tuple[list[BatchView], int]:
    """(Those with unfinished jobs, the latest to move first; how many such there are in all)."""
    latest = func.max(_C.updated_at)
    query = select(_C.batch).where(_RUNNING).group_by(_C.batch).order_by(latest.desc(), _C.batch).limit(size)
    names = list(conn.execute(query).scalars())
    count = len(names) if len(names) < size else conn.execute(select(func.count(distinct(_C.batch))).where(_RUNNING))
    return named(conn, names, now), count if isinstance(count, int) else int(count.scalar_one())


def named(conn: Connection, names: Sequence[str], now: float) -> list[BatchView]:
    """These batches, in this order; those without jobs are left out."""
    if not names:
        return []
    rows: defaultdict[str, list[schema.AnyRow]] = defaultdict(list)
    for row in conn.execute(select(schema.counters).where(_C.batch.in_(names))):
        rows[row.batch].append(row)
    begins = {row[0]: row[1] for row in conn.execute(select(_B.batch, _B.begin_at).where(_B.batch.in_(names)))}
    took = durations.by_batch(conn, names)
    rates = recent_rates(conn, now)
    found = []
    for name in names:
        p50_s, p95_s, _ = took.get(name, NONE)
        one = _view(name, rows[name], begins.get(name, 0.0), rates.get(name), (p50_s, p95_s))
        if one.jobs:
            found.append(one)
    return found


def _view(
    name: str,
    rows: Sequence[schema.AnyRow],
    begin_at: float,
    rate_per_s: float | None,
    took: tuple[float | None, float | None],
) -> BatchView:
    jobs: Counter[Status] = Counter()
    for row in rows:
        jobs[Status(row.status)] += int(row.jobs)
    unfinished = sum(count for status, count in jobs.items() if status not in TERMINAL)
    done = [row for row in rows if row.status == Status.DONE]
    return BatchView(
        batch=name,
        jobs={status: count for status, count in jobs.items() if count},
        return_count=sum(float(row.return_count) for row in done),
        spend_s=sum(float(row.spend_s) for row in done),
        begin_at=begin_at,
        updated_at=max((row.updated_at for row in rows), default=0.0),
        rate_per_s=rate_per_s,
        eta_s=unfinished / rate_per_s if rate_per_s and unfinished else None,
        p50_s=took[0],
        p95_s=took[1],
    )


# --------------------------------------------------------------------------------------------------------------- rate

_LAST_DONE = select(schema.sequences.c.next - 1).where(schema.sequences.c.name == "done")
#: The batch, hidden from the planner: it must not leave the stream for the index over batches.
_BATCH = func.coalesce(_J.batch, None)
_RECENT = (
    select(_BATCH, func.count(), func.min(_J.updated_at))
    .where(_J.done_seq > bindparam("beyond"), _J.updated_at >= bindparam("since"))
    .group_by(_BATCH)
)


def recent_rates(conn: Connection, now: float) -> dict[str, float]:
    """{batch: jobs that finished a second} of the batches in which some did lately."""
    beyond = int(conn.execute(_LAST_DONE).scalar_one()) - RATE_JOBS
    rows = conn.execute(_RECENT, {"beyond": beyond, "since": now - RATE_S}).all()
    in_all = sum(row[1] for row in rows)
    first = min((row[2] for row in rows), default=now)
    since = first if in_all >= RATE_JOBS else now - RATE_S
    return {row[0]: row[1] / _elapsed_s(row[1], row[2], since, now) for row in rows}


def _elapsed_s(count: int, first: float, since: float, now: float) -> float:
    """Since its first finish where there are enough of them, else since the window began."""
    return max(now - (first if count >= _SOME else since), 1.0)


# ------------------------------------------------------------------------------------------------------------- shares

_BY_MACHINE = (
    select(_J.machine_id, func.count(), func.sum(_J.spend_s))
    .where(_J.batch == bindparam("batch"), _J.status.in_(_WORKED), _J.machine_id != "")
    .group_by(_J.machine_id)
)
_ENDS = select(
    select(func.min(_J.id)).where(_J.batch == bindparam("batch")).scalar_subquery(),
    select(func.max(_J.id)).where(_J.batch == bindparam("batch")).scalar_subquery(),
)
_SOME_JOBS: Final[Select[Any]] = (
    select(_J.id, _J.status, _J.machine_id, _J.spend_s)
    .where(_J.batch == bindparam("batch"), _J.id >= bindparam("first"))
    .order_by(_J.id)
    .limit(bindparam("most", type_=Integer))
)


def shares(conn: Connection, batch: str, total: int) -> Shares:
    """Which machines did how much of a batch of so many jobs."""
    if total > COUNTED:
        return _reckoned(conn, batch, total)
    rows = conn.execute(_BY_MACHINE, {"batch": batch}).all()
    return Shares({row[0]: Share(int(row[1]), float(row[2])) for row in rows}, total, True)


def _reckoned(conn: Connection, batch: str, total: int) -> Shares:
    """From jobs at places spread evenly over the batch."""
    first, last = conn.execute(_ENDS, {"batch": batch}).one()
    if first is None:
        return Shares({}, 0, True)
    looked = 0
    jobs: Counter[str] = Counter()
    spend: defaultdict[str, float] = defaultdict(float)
    beyond = first
    for place in range(_PLACES):
        at = max(beyond, first + (last - first) * place // _PLACES)
        for job_id, status, machine_id, spend_s in conn.execute(
            _SOME_JOBS, {"batch": batch, "first": at, "most": _AT_A_PLACE}
        ):
            looked += 1
            beyond = job_id + 1
            if machine_id and status in _WORKED:
                jobs[machine_id] += 1
                spend[machine_id] += spend_s
    return Shares(_scaled(jobs, spend, total / max(looked, 1)), looked, looked >= total)


def _scaled(jobs: Mapping[str, int], spend: Mapping[str, float], by: float) -> dict[str, Share]:
    return {machine_id: Share(round(count * by), spend[machine_id] * by) for machine_id, count in jobs.items()}
