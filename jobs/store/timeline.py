"""Attempts in a window of time, by machine: each as a bar, or summed up where there are too many to draw.

Ended attempts come from the index over their ends, which holds all that the sums need; running ones from the jobs.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Integer, Select, bindparam, case, func, select

from jobs.status import Status
from jobs.store import schema
from jobs.views import Bar, Bucket, Timeline

_A = schema.attempts.c
_J = schema.jobs.c

#: More than can be told apart on a screen.
BARS_LIMIT: Final = 5000
#: Stretches of time that a window is cut into, and what the shortest is.
BUCKETS: Final = 120
LEAST_BUCKET_S: Final = 1.0
#: Attempts that began in a window of the past and ended after it are looked for among so many.
LOOK_BEYOND: Final = 20_000

_began = func.coalesce(_A.started_at, _A.claimed_at, _A.ended_at)
_BARS = (
    select(
        _A.machine_id,
        _A.job_id,
        _A.attempt,
        _J.job_type,
        _A.version,
        _A.reason,
        _began.label("begin_at"),
        _A.ended_at,
    )
    .select_from(schema.attempts.join(schema.jobs, _J.id == _A.job_id))
    .where(_A.started.is_(True))
    .order_by(_A.ended_at)
)
_OPEN = (
    select(
        _J.machine_id,
        _J.id,
        _J.attempt,
        _J.job_type,
        _J.version,
        _J.started_at,
    )
    .where(_J.status == int(Status.RUNNING), _J.started_at <= bindparam("until"))
    .order_by(_J.machine_id, _J.id)
    .limit(bindparam("most", type_=Integer))
)


def window(conn: Connection, since: float, until: float, now: float, machine_id: str | None) -> Timeline:
    """What ran between these times, on one machine or on all."""
    ended = _count(conn, since, until, machine_id)
    running = _open_bars(conn, until, machine_id)
    if ended + len(running) > BARS_LIMIT:
        bucket_s = max((until - since) / BUCKETS, LEAST_BUCKET_S)
        buckets = _buckets(conn, since, until, bucket_s, machine_id)
        return Timeline(since=since, until=until, bars=[], buckets=buckets, bucket_s=bucket_s, ended=ended)
    within = _BARS.where(_A.ended_at.between(since, until))
    bars = _bars(conn, within.limit(BARS_LIMIT), machine_id)
    if until < now:
        bars += _bars(conn, _beyond(conn, until), machine_id)[: BARS_LIMIT - len(bars)]
    return Timeline(since=since, until=until, bars=bars + running, buckets=[], bucket_s=None, ended=ended)


def _count(conn: Connection, since: float, until: float, machine_id: str | None) -> int:
    query = select(func.count()).select_from(schema.attempts).where(_A.ended_at.between(since, until))
    if machine_id is not None:
        query = query.where(_A.machine_id == machine_id)
    return int(conn.execute(query).scalar_one())


def _beyond(conn: Connection, until: float) -> Select[Any]:
    """Attempts that ended after the window and began within it or before."""
    later = select(_A.ended_at).where(_A.ended_at > until).order_by(_A.ended_at).limit(1).offset(LOOK_BEYOND)
    last = conn.execute(later).scalar()
    query = _BARS.where(_A.ended_at > until, _began <= until).limit(BARS_LIMIT)
    return query if last is None else query.where(_A.ended_at <= last)


def _bars(conn: Connection, query: Select[Any], machine_id: str | None) -> list[Bar]:
    if machine_id is not None:
        query = query.where(_A.machine_id == machine_id)
    return [_ended_bar(row) for row in conn.execute(query)]


def _ended_bar(row: schema.AnyRow) -> Bar:
    status = Status.FAILED if row.reason else Status.DONE
    named = (row.machine_id, row.job_id, row.attempt, row.job_type, row.version)
    return Bar(*named, status, row.reason, row.begin_at, row.ended_at)


def _open_bars(conn: Connection, until: float, machine_id: str | None) -> list[Bar]:
    """One more than can be drawn, at most: then there are too many."""
    query = _OPEN if machine_id is None else _OPEN.where(_J.machine_id == machine_id)
    rows = conn.execute(query, {"until": until, "most": BARS_LIMIT + 1})
    return [Bar(*row[:5], Status.RUNNING, "", row.started_at, None) for row in rows]


_SUMS = (
    select(_A.machine_id, func.count(), func.sum(case((_A.reason != "", 1), else_=0)), func.sum(_A.spend_s))
    .where(_A.ended_at >= bindparam("begin"), _A.ended_at < bindparam("end"))
    .group_by(_A.machine_id)
    .order_by(_A.machine_id)
)


def _buckets(conn: Connection, since: float, until: float, bucket_s: float, machine_id: str | None) -> Sequence[Bucket]:
    """A statement a stretch: its rows lie side by side in the index, and few are sorted at a time."""
    query = _SUMS if machine_id is None else _SUMS.where(_A.machine_id == machine_id)
    found: list[Bucket] = []
    for place in range(math.ceil((until - since) / bucket_s)):
        begin = since + place * bucket_s
        rows = conn.execute(query, {"begin": begin, "end": min(begin + bucket_s, until)})
        found += [Bucket(row[0], begin, int(row[1]), int(row[2]), float(row[3])) for row in rows]
    return found
