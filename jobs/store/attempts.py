"""Attempts from open to closed: what runners report, what the server gives up, and who is open where (T3 to T8).

The open attempt of a job lives in the job's own row, so there can be one only (G4); a closed one is a row of
``attempts``. A report is one read of the jobs it names, one update and one insert for all of them.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, false, insert, select, update

from jobs.failures import sign
from jobs.model import AttemptKey, OpenAttempt, Reported
from jobs.outcomes import Heard, Outcome
from jobs.rules import UNSPENT, Move, OpenJob
from jobs.status import TERMINAL, Reason, Status
from jobs.store import failures, queue, schema
from jobs.store.bulk import Bulk, ByIds
from jobs.store.counters import HOUR_S
from jobs.store.tx import Tx

_log = logging.getLogger(__name__)

_J = schema.jobs.c
_A = schema.attempts.c

Settle = Callable[[OpenJob, Outcome], Move | None]


class Settled(NamedTuple):
    """One end that changed its job."""

    reported: Reported
    #: The lane and priority where the job can be claimed again at once; None: it cannot.
    lane: tuple[int, int] | None


class Answer(NamedTuple):
    """What a report did."""

    settled: list[Settled]
    stop: list[AttemptKey]


class _Change(NamedTuple):
    job: OpenJob
    outcome: Outcome
    move: Move


# ------------------------------------------------------------------------------------------------------------- report


def report(tx: Tx, machine_id: str, runner_id: str, heard: Heard, settle: Settle, now: float) -> Answer:
    """Take in what a runner of this machine says; repeats change nothing, the first durable record wins."""
    jobs = _load(tx, {key[0] for key in heard.begun} | {key[0] for key, _ in heard.ended})
    ended, late = _sort_ends(jobs, machine_id, heard.ended)
    changes = _decide(jobs, ended, settle)
    changes += _decide_late(tx, jobs, machine_id, runner_id, late, settle)
    settled = _apply(tx, changes, now)
    begun, stop = _sort_begun(tx, jobs, machine_id, heard.begun)
    return Answer(_begin(tx, begun, now) + settled, stop)


def _sort_ends(
    jobs: dict[int, OpenJob], machine_id: str, ended: Sequence[tuple[AttemptKey, Outcome]]
) -> tuple[dict[int, Outcome], list[tuple[AttemptKey, Outcome]]]:
    """(ends of open attempts by job, the first of each; all others)."""
    first: dict[int, Outcome] = {}
    late: list[tuple[AttemptKey, Outcome]] = []
    for key, outcome in ended:
        job_id, attempt = key
        job = jobs.get(job_id)
        if job is not None and _is_open(job, attempt, machine_id) and job_id not in first:
            first[job_id] = outcome
        else:
            late.append((key, outcome))
    return first, late


def _is_open(job: OpenJob, attempt: int, machine_id: str) -> bool:
    return job.status == Status.RUNNING and job.attempt == attempt and job.machine_id == machine_id


def _decide(jobs: dict[int, OpenJob], ended: dict[int, Outcome], settle: Settle) -> list[_Change]:
    changes = []
    for job_id, outcome in ended.items():
        job = jobs[job_id]
        move = settle(job, outcome)
        if move is not None:
            changes.append(_Change(job, outcome, move))
    return changes


# ---------------------------------------------------------------------------------------------------- late and repeated

_CLOSED = ByIds(
    lambda ids: select(
        _A.job_id, _A.attempt, _A.machine_id, _A.reason, _A.result, _A.return_data, _A.return_count
    ).where(_A.job_id.in_(ids))
)


class _Closed(NamedTuple):
    job_id: int
    attempt: int
    machine_id: str
    reason: str
    result: str | None
    return_data: str | None
    return_count: float


def _closed(tx: Tx, keys: Iterable[AttemptKey]) -> dict[AttemptKey, _Closed]:
    ids = sorted({job_id for job_id, _ in keys})
    rows = [_Closed(*row) for some in queue.in_lists(ids) for row in _CLOSED.run(tx.conn, some)]
    return {(row.job_id, row.attempt): row for row in rows}


def _decide_late(
    tx: Tx,
    jobs: dict[int, OpenJob],
    machine_id: str,
    runner_id: str,
    late: Sequence[tuple[AttemptKey, Outcome]],
    settle: Settle,
) -> list[_Change]:
    """Adopt a success of a lost attempt (T8); of the rest, note what contradicts the stored record."""
    if not late:
        return []
    closed = _closed(tx, [key for key, _ in late])
    changes: dict[int, _Change] = {}
    for key, outcome in late:
        known, job = closed.get(key), jobs.get(key[0])
        if known is None or job is None or known.machine_id != machine_id:
            continue
        if known.reason == Reason.LOST:
            _adopt(changes, job, key, outcome, settle)
        elif _differs(known, outcome):
            facts = {"job": key[0], "attempt": key[1], "machine": machine_id, "runner": runner_id}
            _log.warning("a second, different end of an attempt was refused", extra=facts)
    return list(changes.values())


def _adopt(changes: dict[int, _Change], job: OpenJob, key: AttemptKey, outcome: Outcome, settle: Settle) -> None:
    if job.attempt != key[1] or job.job_id in changes:
        return
    job = job._replace(lost=True)
    move = settle(job, outcome)
    if move is not None:
        changes[job.job_id] = _Change(job, outcome, move)


def _differs(known: _Closed, outcome: Outcome) -> bool:
    stored = (known.reason, known.return_data, known.return_count)
    told = (str(outcome.reason), outcome.return_data, outcome.return_count)
    return stored != told or known.result not in (None, outcome.result)


# ---------------------------------------------------------------------------------------------------- begun, and stop

_BEGIN = Bulk(
    update(schema.jobs)
    .where(
        _J.id == bindparam("at_id"),
        _J.attempt == bindparam("at_attempt"),
        _J.status == int(Status.RUNNING),
        _J.started_at.is_(None),
    )
    .values(started_at=bindparam("started"), updated_at=bindparam("updated")),
    ("started", "updated", "at_id", "at_attempt"),
)


def _sort_begun(
    tx: Tx, jobs: dict[int, OpenJob], machine_id: str, begun: Sequence[AttemptKey]
) -> tuple[list[OpenJob], list[AttemptKey]]:
    """(jobs whose open attempt has begun, attempts that no longer count and should end)."""
    open_ones: list[OpenJob] = []
    others: list[AttemptKey] = []
    for key in begun:
        job = jobs.get(key[0])
        if job is not None and _is_open(job, key[1], machine_id):
            open_ones.append(job)
        else:
            others.append(key)
    return open_ones, _to_stop(tx, jobs, machine_id, others)


def superseded(tx: Tx, machine_id: str, keys: Sequence[AttemptKey]) -> list[AttemptKey]:
    """Those of a node's attempts that no longer count and should end there (G7)."""
    return _sort_begun(tx, _load(tx, {job_id for job_id, _ in keys}), machine_id, keys)[1]


def _to_stop(tx: Tx, jobs: dict[int, OpenJob], machine_id: str, keys: Sequence[AttemptKey]) -> list[AttemptKey]:
    """All of these but attempts declared lost whose success would still be adopted (T8)."""
    if not keys:
        return []
    closed = _closed(tx, keys)
    return [key for key in keys if not _still_welcome(jobs.get(key[0]), key, closed.get(key), machine_id)]


def _still_welcome(job: OpenJob | None, key: AttemptKey, known: _Closed | None, machine_id: str) -> bool:
    if job is None or known is None or job.attempt != key[1] or job.kill_requested:
        return False
    return known.reason == Reason.LOST and known.machine_id == machine_id


def _begin(tx: Tx, jobs: Sequence[OpenJob], now: float) -> list[Settled]:
    _BEGIN.run(tx.conn, [(now, now, job.job_id, job.attempt) for job in jobs])
    for job in jobs:
        if job.started_at is None:  # of a repeat, nothing was written
            tx.deltas.add(job.job_type, job.batch, job.status, job.updated_at, -1, -job.return_count, -job.spend_s)
            tx.deltas.add(job.job_type, job.batch, job.status, now, 1, job.return_count, job.spend_s)
    return [Settled(Reported(job.job_id, job.attempt, "start", 0.0), None) for job in jobs]


# ------------------------------------------------------------------------------------------------ ends the server makes


def end(
    tx: Tx, machine_id: str, keys: Sequence[AttemptKey], outcome: Outcome, settle: Settle, now: float
) -> list[Settled]:
    """End these attempts on the server's own word; those not open there any more are left alone."""
    jobs = _load(tx, {job_id for job_id, _ in keys})
    ended, _ = _sort_ends(jobs, machine_id, [(key, outcome) for key in keys])
    return _apply(tx, _decide(jobs, ended, settle), now)


# -------------------------------------------------------------------------------------------------- reading and writing

_LOAD = ByIds(
    lambda ids: (
        select(
            _J.id,
            _J.status,
            _J.attempt,
            _J.starts,
            _J.limit_count,
            _J.kill_requested,
            _J.machine_id,
            _J.version,
            _J.lane_id,
            _J.rank,
            _J.job_type,
            _J.batch,
            _J.claimed_at,
            _J.started_at,
            _J.return_count,
            _J.spend_s,
            false(),
            _J.updated_at,
        )
        .where(_J.id.in_(ids))
        .with_for_update()
    )
)


def _load(tx: Tx, ids: Iterable[int]) -> dict[int, OpenJob]:
    rows = (_LOAD.run(tx.conn, some).all() for some in queue.in_lists(sorted(ids)))
    return {row[0]: OpenJob._make(row) for some in rows for row in some}


_MOVE = Bulk(
    update(schema.jobs)
    .where(
        _J.id == bindparam("at_id"),
        _J.status == bindparam("at_status"),
        _J.attempt == bindparam("at_attempt"),
    )
    .values(
        status=bindparam("to_status"),
        reason=bindparam("to_reason"),
        starts=bindparam("to_starts"),
        queued_lane=bindparam("to_lane"),
        due_at=bindparam("to_due"),
        unreachable=false(),
        return_count=bindparam("to_count"),
        spend_s=bindparam("to_spend"),
        started_at=bindparam("to_started"),
        updated_at=bindparam("now"),
        done_seq=bindparam("to_done"),
    ),
    (
        "to_status",
        "to_reason",
        "to_starts",
        "to_lane",
        "to_due",
        "to_count",
        "to_spend",
        "to_started",
        "now",
        "to_done",
        "at_id",
        "at_status",
        "at_attempt",
    ),
)
_ENDED = (
    "machine_id",
    "version",
    "claimed_at",
    "started_at",
    "ended_at",
    "spend_s",
    "reason",
    "started",
    "exit_code",
    "signal",
    "result",
    "return_data",
    "return_count",
    "error",
    "log",
    "machine",
)
_CLOSE = Bulk(insert(schema.attempts), (*_ENDED, "job_id", "attempt"))
_REOPEN = Bulk(
    update(schema.attempts)
    .where(_A.job_id == bindparam("at_job"), _A.attempt == bindparam("at_attempt"), _A.reason == str(Reason.LOST))
    .values({name: bindparam(f"to_{name}") for name in _ENDED}),
    (*(f"to_{name}" for name in _ENDED), "at_job", "at_attempt"),
)


def _apply(tx: Tx, changes: Sequence[_Change], now: float) -> list[Settled]:
    """Write all moves and close their attempts."""
    if not changes:
        return []
    done_seq = tx.take_numbers("done", sum(change.move.to in TERMINAL for change in changes))
    moves: list[tuple[Any, ...]] = []
    closes: list[tuple[Any, ...]] = []
    reopens: list[tuple[Any, ...]] = []
    for change in changes:
        terminal = change.move.to in TERMINAL
        moves.append(_move_row(change, now, done_seq if terminal else None))
        (reopens if change.job.lost else closes).append(_end_row(change, now))
        done_seq += terminal
    failures.leave(tx, [change.job.job_id for change in changes if change.job.status == Status.FAILED])
    expect(_MOVE.run(tx.conn, moves), len(moves))
    _CLOSE.run(tx.conn, closes)
    expect(_REOPEN.run(tx.conn, reopens), len(reopens))
    _count(tx, changes, now)
    failures.note(tx, _failed(changes), now)
    return [_settled(change) for change in changes]


def _failed(changes: Iterable[_Change]) -> list[failures.Failed]:
    """Those to be counted as failures of the work."""
    failed = []
    for job, outcome, move in changes:
        if move.reason == Reason.NONE:
            continue
        facts = {"exit_code": outcome.exit_code, "signal": outcome.signal}
        signature = sign(job.job_type, move.reason, outcome.error, **facts)
        if signature is not None:
            place = (job.machine_id, job.version)
            failed.append(failures.Failed(signature, job.job_id, job.attempt, *place, move.to == Status.FAILED))
    return failed


def expect(changed: int, meant: int) -> None:
    """The rows were read in this transaction, so an update that misses one is a bug, and nothing may be kept."""
    if changed != meant:
        raise RuntimeError(f"{changed} rows changed where {meant} were meant")


def _move_row(change: _Change, now: float, done_seq: int | None) -> tuple[Any, ...]:
    job, outcome, move = change
    return (
        int(move.to),
        "" if move.reason in UNSPENT else str(move.reason),
        move.starts,
        job.lane_id if _claimable(move) else None,
        now if move.to == Status.RETURNING else move.due_at,
        *_sums(change),
        _started_at(job, outcome, now),
        now,
        done_seq,
        job.job_id,
        job.status,
        job.attempt,
    )


def _end_row(change: _Change, now: float) -> tuple[Any, ...]:
    job, outcome, move = change
    return (
        job.machine_id,
        job.version,
        job.claimed_at,
        _started_at(job, outcome, now),
        now,
        outcome.spend_s,
        str(move.reason),
        outcome.started,
        outcome.exit_code,
        outcome.signal,
        outcome.result,
        outcome.return_data,
        outcome.return_count,
        outcome.error,
        outcome.log,
        outcome.machine,
        job.job_id,
        job.attempt,
    )


def _claimable(move: Move) -> bool:
    return move.to == Status.WAITING and move.due_at is None


def _started_at(job: OpenJob, outcome: Outcome, now: float) -> float | None:
    """As the node told, or reckoned back from the end when both came in one report."""
    if job.started_at is not None or not outcome.started:
        return job.started_at
    return now - outcome.spend_s


def _sums(change: _Change) -> tuple[float, float]:
    """What the job adds to the counters of its new status: nothing while it waits."""
    if change.move.to == Status.WAITING:
        return 0.0, 0.0
    return change.outcome.return_count, change.outcome.spend_s


def _count(tx: Tx, changes: Sequence[_Change], now: float) -> None:
    sums: defaultdict[tuple[str, str, int, float], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for change in changes:
        job, to = change.job, change.move.to
        return_count, spend_s = _sums(change)
        old = sums[job.job_type, job.batch, job.status, job.updated_at // HOUR_S * HOUR_S]
        new = sums[job.job_type, job.batch, to, now]
        old[0] -= 1
        old[1] -= job.return_count
        old[2] -= job.spend_s
        new[0] += 1
        new[1] += return_count
        new[2] += spend_s
        if to == Status.DONE:
            tx.deltas.spent(job.job_type, job.batch, now, 1, spend_s)
    for (job_type, batch, status, at), (jobs, return_count, spend_s) in sums.items():
        tx.deltas.add(job_type, batch, status, at, int(jobs), return_count, spend_s)


def _settled(change: _Change) -> Settled:
    job, outcome, move = change
    kind = "back" if outcome.reason in UNSPENT else "end"
    lane = (job.lane_id, -job.rank) if _claimable(move) else None
    return Settled(Reported(job.job_id, job.attempt, kind, outcome.spend_s, outcome.reason), lane)


def lanes_of(settled: Iterable[Settled]) -> dict[int, int]:
    """{lane: highest priority} of the jobs that can be claimed again."""
    lanes: dict[int, int] = {}
    for one in settled:
        if one.lane is not None:
            queue.higher(lanes, dict([one.lane]))
    return lanes


# ------------------------------------------------------------------------------------------------------- who is open

_OPEN = (
    select(
        _J.id,
        _J.attempt,
        _J.machine_id,
        _J.version,
        _J.job_type,
        _J.started_at.is_not(None),
        _J.kill_requested,
        _J.unreachable,
        _J.claimed_at,
        _J.limit_count,
    )
    .where(_J.status == int(Status.RUNNING))
    .order_by(_J.machine_id, _J.id)
)


def open_on(conn: Connection, machine_id: str | None) -> list[OpenAttempt]:
    """The attempts that have not ended, of one machine or of all."""
    query = _OPEN if machine_id is None else _OPEN.where(_J.machine_id == machine_id)
    return [OpenAttempt(*row) for row in conn.execute(query)]


_UNREACHABLE = (
    update(schema.jobs)
    .where(
        _J.status == int(Status.RUNNING),
        _J.machine_id == bindparam("at_machine"),
        _J.unreachable != bindparam("to_unreachable"),
    )
    .values(unreachable=bindparam("to_unreachable"))
)


def mark_unreachable(tx: Tx, machine_id: str, unreachable: bool) -> int:
    """Show the open attempts of a machine as unreachable or not; how many changed."""
    return tx.conn.execute(_UNREACHABLE, {"at_machine": machine_id, "to_unreachable": unreachable}).rowcount
