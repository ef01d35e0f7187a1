"""What people do to many jobs: kill, rerun, copy, delete (T9, T10, T15 to T17), clear, give another priority,
under the guards of each row.

Each function takes the ids of one piece and runs in one transaction: reads their rows, sorts them into those it may
change and those it skips, and changes the first with one statement.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, case, false, insert, null, select, true, update
from sqlalchemy import delete as sql_delete

from jobs.model import Action, ActionResult, AttemptKey, Census, JobFilter
from jobs.status import TERMINAL, Reason, Status
from jobs.store import events, failures, queue, schema
from jobs.store.bulk import Bulk
from jobs.store.tx import Tx

_J = schema.jobs.c
_A = schema.attempts.c

#: Rows that change in one transaction: short enough that reports between two pieces do not wait long.
PIECE = queue.IN_LIMIT


class _Row(NamedTuple):
    job_id: int
    status: int
    attempt: int
    machine_id: str
    rank: int
    job_type: str
    tag: str
    batch: str
    due_at: float | None
    return_count: float
    spend_s: float
    updated_at: float
    lane_id: int


_LOAD = (
    select(
        _J.id,
        _J.status,
        _J.attempt,
        _J.machine_id,
        _J.rank,
        _J.job_type,
        _J.tag,
        _J.batch,
        _J.due_at,
        _J.return_count,
        _J.spend_s,
        _J.updated_at,
        _J.lane_id,
    )
    .where(_J.id.in_(bindparam("ids", expanding=True)))
    .order_by(_J.id)
    .with_for_update()
)


def pieces(chosen: JobFilter) -> list[JobFilter]:
    """The filter as several whose ids fit a statement, no id in two of them."""
    if chosen.ids is None:
        return [chosen]
    return [replace(chosen, ids=some) for some in queue.in_lists(sorted(set(chosen.ids)))]


_FITS: Final[Mapping[Action, Callable[[Census], bool]]] = {
    Action.KILL: lambda at: at.status in (Status.WAITING, Status.RUNNING),
    Action.RERUN: lambda at: at.status in TERMINAL,
    Action.COPY: lambda _: True,
    Action.DELETE: lambda at: at.status != Status.RUNNING and not at.returning_now,
    Action.CLEAR: lambda at: at.status in TERMINAL,
    Action.PRIORITY: lambda at: at.status == Status.WAITING,
    Action.END_TYPE: lambda at: at.status == Status.WAITING,
}


def foresee(action: Action, counts: Iterable[Mapping[Census, int]]) -> ActionResult:
    """What an action would do to so many jobs of each kind."""
    total = ActionResult(0, 0, {})
    for at, count in (item for one in counts for item in one.items()):
        fits = _FITS[action](at)
        total = add(total, ActionResult(count, count if fits else 0, {} if fits else {at.status.name.lower(): count}))
    return total


def add(one: ActionResult, other: ActionResult) -> ActionResult:
    """Both together."""
    skipped = dict(Counter(one.skipped) + Counter(other.skipped))
    return ActionResult(one.matched + other.matched, one.changed + other.changed, skipped)


# --------------------------------------------------------------------------------------------------------------- kill


def kill(tx: Tx, ids: Sequence[int], now: float) -> tuple[ActionResult, dict[str, list[AttemptKey]]]:
    """End the waiting, mark the running; (what was done, {machine: its attempts to end})."""
    rows = _load(tx, ids)
    waiting = [row for row in rows if row.status == Status.WAITING]
    running = [row for row in rows if row.status == Status.RUNNING]
    _fail_waiting(tx, waiting, Reason.KILLED, now)
    _ask_to_end(tx, running, now)
    attempts: defaultdict[str, list[AttemptKey]] = defaultdict(list)
    for row in running:
        attempts[row.machine_id].append((row.job_id, row.attempt))
    return _result(rows, waiting + running), dict(attempts)


def end_waiting(tx: Tx, ids: Sequence[int], reason: Reason, now: float) -> ActionResult:
    """End the waiting ones for this reason."""
    rows = _load(tx, ids)
    waiting = [row for row in rows if row.status == Status.WAITING]
    _fail_waiting(tx, waiting, reason, now)
    return _result(rows, waiting)


_FAIL = Bulk(
    update(schema.jobs)
    .where(_J.id == bindparam("at_id"), _J.status == int(Status.WAITING))
    .values(
        status=int(Status.FAILED),
        reason=bindparam("why"),
        kill_requested=true(),
        queued_lane=null(),
        due_at=null(),
        updated_at=bindparam("now"),
        done_seq=bindparam("done"),
    ),
    ("why", "now", "done", "at_id"),
)


def _fail_waiting(tx: Tx, rows: Sequence[_Row], reason: Reason, now: float) -> None:
    first = tx.take_numbers("done", len(rows))
    _FAIL.run(tx.conn, [(str(reason), now, done, row.job_id) for done, row in enumerate(rows, first)])
    for row in rows:
        _count(tx, row, -1)
        tx.deltas.add(row.job_type, row.batch, Status.FAILED, now, 1)


_ASK = (
    update(schema.jobs)
    .where(_J.id.in_(bindparam("ids", expanding=True)), _J.status == int(Status.RUNNING))
    .values(kill_requested=true(), updated_at=bindparam("now"))
)


def _ask_to_end(tx: Tx, rows: Sequence[_Row], now: float) -> None:
    if rows:
        tx.conn.execute(_ASK, {"ids": [row.job_id for row in rows], "now": now})
    _touch(tx, rows, now)


# -------------------------------------------------------------------------------------------------------------- rerun

_RERUN = (
    update(schema.jobs)
    .where(_J.id.in_(bindparam("ids", expanding=True)), _J.status.in_([int(status) for status in TERMINAL]))
    .values(
        status=int(Status.WAITING),
        lane_id=bindparam("lane"),
        reason="",
        starts=0,
        return_tries=0,
        return_interruptions=0,
        kill_requested=false(),
        cleared=false(),
        queued_lane=bindparam("lane"),
        due_at=null(),
        return_count=0,
        spend_s=0,
        started_at=null(),
        updated_at=bindparam("now"),
        done_seq=null(),
    )
)


#: Causes that speak against the machine an attempt was on; what people or the server ended does not.
_AGAINST_THE_MACHINE = [
    str(reason)
    for reason in (
        Reason.ERROR,
        Reason.BAD_RESULT,
        Reason.RESULT_TOO_LARGE,
        Reason.TIMEOUT,
        Reason.DIED,
        Reason.LOST,
        Reason.DISPATCH_FAILED,
    )
]
_FAILED_ON = (
    select(_A.job_id, _A.machine_id)
    .where(_A.job_id.in_(bindparam("ids", expanding=True)), _A.reason.in_(_AGAINST_THE_MACHINE))
    .distinct()
)


def rerun(tx: Tx, ids: Sequence[int], now: float, *, elsewhere: bool = False) -> tuple[ActionResult, dict[int, int]]:
    """Make finished jobs wait again; (what was done, {lane: highest priority}).

    ``elsewhere``: not on the machines that ever failed them; without it, they may go anywhere again.
    """
    rows = _load(tx, ids)
    finished = [row for row in rows if row.status in TERMINAL]
    avoid = _failed_on(tx, finished) if elsewhere else {}
    groups: defaultdict[int, list[_Row]] = defaultdict(list)
    for row in finished:
        groups[queue.lane_of(tx, row.job_type, row.tag, avoid.get(row.job_id, frozenset()))].append(row)
    failures.leave(tx, [row.job_id for row in finished if row.status != Status.DONE])
    lanes: dict[int, int] = {}
    for lane, members in groups.items():
        tx.conn.execute(_RERUN, {"ids": [row.job_id for row in members], "lane": lane, "now": now})
        queue.higher(lanes, {lane: max(-row.rank for row in members)})
        tx.deltas.wait(lane, backing_off=False, jobs=len(members))
    for row in finished:
        _count(tx, row, -1)
        tx.deltas.add(row.job_type, row.batch, Status.WAITING, now, 1)
    return _result(rows, finished), lanes


def _failed_on(tx: Tx, rows: Sequence[_Row]) -> dict[int, frozenset[str]]:
    found: defaultdict[int, set[str]] = defaultdict(set)
    for some in queue.in_lists([row.job_id for row in rows]):
        for job_id, machine_id in tx.conn.execute(_FAILED_ON, {"ids": some}):
            found[job_id].add(machine_id)
    return {job_id: frozenset(machines) for job_id, machines in found.items()}


# --------------------------------------------------------------------------------------------------------------- copy

_KEPT = ("job_type", "tag", "batch", "rank", "limit_count", "input")
_ORIGINALS = select(*(_J[name] for name in _KEPT)).where(_J.id.in_(bindparam("ids", expanding=True))).order_by(_J.id)
_COPY = Bulk(insert(schema.jobs), ("id", *_KEPT, "lane_id", "queued_lane", "created_at", "updated_at"))


def copy(tx: Tx, ids: Sequence[int], now: float) -> tuple[list[int], dict[int, int]]:
    """New jobs like these; (their ids, {lane: highest priority})."""
    rows = [tuple(row) for some in queue.in_lists(ids) for row in tx.conn.execute(_ORIGINALS, {"ids": some})]
    first = tx.take_numbers("job", len(rows))
    own = [queue.lane_of(tx, row[0], row[1]) for row in rows]  # an original's machines to avoid are its history
    given = enumerate(zip(rows, own, strict=True), first)
    _COPY.run(tx.conn, [(job_id, *row, lane_id, lane_id, now, now) for job_id, (row, lane_id) in given])
    lanes: dict[int, int] = {}
    for lane_id, (job_type, tag, batch, rank, *_rest) in zip(own, rows, strict=True):
        tx.deltas.new_batch(job_type, batch, tag)
        tx.deltas.add(job_type, batch, Status.WAITING, now, 1)
        tx.deltas.wait(lane_id, backing_off=False)
        queue.higher(lanes, {lane_id: -rank})
    return list(range(first, first + len(rows))), lanes


# ----------------------------------------------------------------------------------------------------- delete and clear

_DELETE = sql_delete(schema.jobs).where(_J.id.in_(bindparam("ids", expanding=True)), _J.status != int(Status.RUNNING))
_DELETE_ATTEMPTS = sql_delete(schema.attempts).where(_A.job_id.in_(bindparam("ids", expanding=True)))


def delete(tx: Tx, ids: Sequence[int]) -> ActionResult:
    """Forget jobs and their history."""
    rows = _load(tx, ids)
    free = [row for row in rows if row.status != Status.RUNNING and not _returning_now(row)]
    failures.leave(tx, [row.job_id for row in free if row.status in TERMINAL and row.status != Status.DONE])
    if free:
        these = {"ids": [row.job_id for row in free]}
        tx.conn.execute(_DELETE, these)
        tx.conn.execute(_DELETE_ATTEMPTS, these)
    for row in free:
        _count(tx, row, -1)
    return _result(rows, free)


def _returning_now(row: _Row) -> bool:
    return row.status == Status.RETURNING and row.due_at is None


_CLEAR = (
    update(schema.jobs)
    .where(_J.id.in_(bindparam("ids", expanding=True)))
    .values(cleared=true(), updated_at=bindparam("now"))
)
_CLEAR_ATTEMPTS = (
    update(schema.attempts)
    .where(_A.job_id.in_(bindparam("ids", expanding=True)))
    .values(result=null(), error=case((_A.reason == "", null()), else_=_A.error))
)


def clear(tx: Tx, ids: Sequence[int], now: float) -> ActionResult:
    """Empty the results of finished jobs."""
    rows = _load(tx, ids)
    finished = [row for row in rows if row.status in TERMINAL]
    if finished:
        these: dict[str, Any] = {"ids": [row.job_id for row in finished]}
        tx.conn.execute(_CLEAR, these | {"now": now})
        tx.conn.execute(_CLEAR_ATTEMPTS, these)
    _touch(tx, finished, now)
    return _result(rows, finished)


# ----------------------------------------------------------------------------------------------------------- priority

_RANK = (
    update(schema.jobs)
    .where(_J.id.in_(bindparam("ids", expanding=True)), _J.status == int(Status.WAITING))
    .values(rank=bindparam("to_rank"))
)


def prioritise(tx: Tx, ids: Sequence[int], priority: int) -> tuple[ActionResult, dict[int, int]]:
    """Waiting jobs get this priority; (what was done, {lane: a priority above all that it had and has}).

    This is no move, so its time stays. The priority told makes whoever keeps the head of a lane look at it anew.
    """
    rows = _load(tx, ids)
    waiting = [row for row in rows if row.status == Status.WAITING]
    lanes: dict[int, int] = {}
    if waiting:
        tx.conn.execute(_RANK, {"ids": [row.job_id for row in waiting], "to_rank": -priority})
        tx.happened(events.JOBS)
    for row in waiting:
        queue.higher(lanes, {row.lane_id: max(priority, -row.rank) + 1})
    return _result(rows, waiting), lanes


# -------------------------------------------------------------------------------------------------------------- tools


def _load(tx: Tx, ids: Sequence[int]) -> list[_Row]:
    return [_Row._make(row) for some in queue.in_lists(ids) for row in tx.conn.execute(_LOAD, {"ids": some})]


def _count(tx: Tx, row: _Row, jobs: int, at: float | None = None) -> None:
    sums = (jobs, jobs * row.return_count, jobs * row.spend_s)
    at = row.updated_at if at is None else at
    tx.deltas.add(row.job_type, row.batch, row.status, at, *sums)
    if row.status == Status.DONE:
        tx.deltas.spent(row.job_type, row.batch, at, [row.spend_s], jobs)
    if row.status == Status.WAITING:
        tx.deltas.wait(row.lane_id, backing_off=row.due_at is not None, jobs=jobs)


def _touch(tx: Tx, rows: Iterable[_Row], now: float) -> None:
    """They stay where they are, but this is their latest move."""
    for row in rows:
        _count(tx, row, -1)
        _count(tx, row, 1, now)


def _result(rows: Sequence[_Row], changed: Sequence[_Row]) -> ActionResult:
    done = {row.job_id for row in changed}
    skipped = Counter(Status(row.status).name.lower() for row in rows if row.job_id not in done)
    return ActionResult(len(rows), len(changed), dict(skipped))
