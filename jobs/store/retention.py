"""Finished jobs that are past their time: which they are, and their removal with attempts and results.

Counters follow as with any deletion, but the history by the hour stays: what was done was done.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, select

from jobs import spends
from jobs.status import TERMINAL, Status
from jobs.store import actions, counters, durations, queue, schema
from jobs.store.tx import Tx

_J = schema.jobs.c
_C = schema.counters.c

_FINISHED = [int(status) for status in TERMINAL]

#: Jobs removed in one transaction, so that reports between two of them do not wait long.
PIECE = actions.PIECE


def finished(conn: Connection) -> int:
    """How many jobs are finished."""
    return int(conn.execute(select(func.sum(_C.jobs)).where(_C.status.in_(_FINISHED))).scalar() or 0)


def oldest(conn: Connection, after: int, limit: int, before: float | None = None) -> list[int]:
    """Ids of finished jobs, ascending, greater than ``after``; only those whose latest move was ``before`` a time."""
    query = select(_J.id).where(_J.status.in_(_FINISHED), _J.id > after).order_by(_J.id).limit(limit)
    if before is not None:
        query = query.where(_J.updated_at < before)
    return list(conn.execute(query).scalars())


def remove(tx: Tx, ids: Sequence[int]) -> int:
    """Delete those of them that are finished still; how many."""
    found = [row for some in queue.in_lists(ids) for row in tx.conn.execute(_facts(some))]
    _keep_history(tx, found)
    return actions.delete(tx, [row.id for row in found]).changed


def _facts(ids: Sequence[int]) -> Select[Any]:
    columns = (_J.id, _J.job_type, _J.status, _J.updated_at, _J.return_count, _J.spend_s)
    return select(*columns).where(_J.id.in_(ids), _J.status.in_(_FINISHED)).with_for_update()


def _keep_history(tx: Tx, rows: Sequence[schema.AnyRow]) -> None:
    sums: defaultdict[tuple[str, str, int, int], list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0.0])
    steps: Counter[tuple[int, str, int]] = Counter()
    for row in rows:
        hour = int(row.updated_at) // counters.HOUR_S
        one = sums[row.job_type, "", row.status, hour]
        one[0] += 1
        one[1] += row.return_count
        one[2] += row.spend_s
        if row.status == Status.DONE:
            steps[hour, row.job_type, spends.step_of(row.spend_s)] += 1
    if sums:
        counters.keep_hours(tx.conn, sums)
        durations.keep_hours(tx.conn, steps)
