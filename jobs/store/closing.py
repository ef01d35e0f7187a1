"""The ends of attempts written down: the job moves, its attempt gets a row, counters follow.

What is to happen was decided before (``jobs.rules``). All moves of a report are one update, all its attempts one
insert; a job that simply ended well, as nearly all do, takes statements of its own that name no more than it has.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import SmallInteger, bindparam, false, insert, null, select, update

from jobs.failures import sign
from jobs.model import Reported
from jobs.outcomes import Outcome
from jobs.rules import UNSPENT, Move, OpenJob
from jobs.status import TERMINAL, Reason, Status
from jobs.store import failures, queue, schema
from jobs.store.bulk import Bulk, ByIds
from jobs.store.counters import HOUR_S
from jobs.store.tx import Tx

_J = schema.jobs.c
_A = schema.attempts.c
#: Jobs are found by their ids; PostgreSQL would rather read all that runs.
_status = schema.unindexed(_J.status)


class Change(NamedTuple):
    """How an attempt ended, and what follows for its job."""

    job: OpenJob
    outcome: Outcome
    move: Move


class Settled(NamedTuple):
    """The records that changed their jobs."""

    reported: list[Reported]
    #: {lane: highest priority} of jobs that can be claimed again at once.
    lanes: dict[int, int]
    #: Some of the jobs wait for their return_main now.
    returning: bool = False


# ------------------------------------------------------------------------------------------------------------ reading

_LOAD = ByIds(
    lambda among: (
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
            _J.queued_lane.is_not(None),
        )
        .where(among(_J.id))
        .with_for_update()
    )
)


def load(tx: Tx, ids: Iterable[int]) -> dict[int, OpenJob]:
    """These jobs, by id; nobody else changes them until the commit."""
    rows = (_LOAD.rows(tx.conn, some) for some in queue.in_lists(sorted(ids)))
    return {row[0]: OpenJob._make(row) for some in rows for row in some}


# ------------------------------------------------------------------------------------------------------------ writing

_FINISH = Bulk(
    update(schema.jobs)
    .where(_J.id == bindparam("at_id"), _status == int(Status.RUNNING), _J.attempt == bindparam("at_attempt"))
    .values(
        status=int(Status.DONE),
        reason="",
        queued_lane=null(),
        due_at=null(),
        unreachable=false(),
        return_count=bindparam("to_count"),
        spend_s=bindparam("to_spend"),
        started_at=bindparam("to_started"),
        updated_at=bindparam("now"),
        done_seq=bindparam("to_done"),
    ),
    ("to_count", "to_spend", "to_started", "now", "to_done", "at_id", "at_attempt"),
)
_MOVE = Bulk(
    update(schema.jobs)
    .where(
        _J.id == bindparam("at_id"),
        _status == bindparam("at_status", type_=SmallInteger),
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
#: Of every ended attempt; and what only some have.
_PLAIN = (
    "machine_id",
    "version",
    "claimed_at",
    "started_at",
    "ended_at",
    "spend_s",
    "reason",
    "started",
    "result",
    "return_count",
)
_ENDED = (*_PLAIN, "exit_code", "signal", "return_data", "error", "log", "machine")
_CLOSE_PLAIN = Bulk(insert(schema.attempts), ("job_id", "attempt", *_PLAIN))
_CLOSE = Bulk(insert(schema.attempts), (*_ENDED, "job_id", "attempt"))
_REOPEN = Bulk(
    update(schema.attempts)
    .where(_A.job_id == bindparam("at_job"), _A.attempt == bindparam("at_attempt"), _A.reason == str(Reason.LOST))
    .values({name: bindparam(f"to_{name}") for name in _ENDED}),
    (*(f"to_{name}" for name in _ENDED), "at_job", "at_attempt"),
)


def write(tx: Tx, changes: Sequence[Change], now: float) -> Settled:
    """Write all moves and close their attempts."""
    if not changes:
        return Settled([], {})
    sheet = _Sheet(tx.take_numbers("done", sum(change.move.to in TERMINAL for change in changes)), now)
    reported: list[Reported] = []
    lanes: dict[int, int] = {}
    for change in changes:
        job, outcome, move = change
        sheet.enter(change)
        kind = "back" if outcome.reason in UNSPENT else "end"
        reported.append(Reported(job.job_id, job.attempt, kind, outcome.spend_s, outcome.reason))
        if _claimable(move):
            queue.higher(lanes, {job.lane_id: -job.rank})
    failures.leave(tx, [change.job.job_id for change in changes if change.job.status == Status.FAILED])
    sheet.write(tx)
    failures.note(tx, _failed([change for change in changes if change.move.reason]), now)
    return Settled(reported, lanes, any(change.move.to == Status.RETURNING for change in changes))


class _Sheet:
    """Rows for each statement, and sums for the counters."""

    def __init__(self, done_seq: int, now: float) -> None:
        self._done_seq = done_seq
        self._now = now
        self._finishes: list[tuple[Any, ...]] = []
        self._moves: list[tuple[Any, ...]] = []
        self._plain: list[tuple[Any, ...]] = []
        self._closes: list[tuple[Any, ...]] = []
        self._reopens: list[tuple[Any, ...]] = []
        #: (type, batch, status and hour before, status after) → jobs, sums before, sums after.
        self._sums: dict[tuple[str, str, int, float, Status], list[float]] = {}
        #: (type, batch) → how long those took that are done.
        self._spends: dict[tuple[str, str], list[float]] = {}
        #: (lane, whether they back off, more or fewer) of those that wait now, or did.
        self._waits: list[tuple[int, bool, int]] = []

    def enter(self, change: Change) -> None:
        """Note what this one writes; the order is that of their places in the stream of results."""
        job, outcome, move = change
        to, now = move.to, self._now
        started_at = job.started_at
        if started_at is None and outcome.started:
            started_at = now - outcome.spend_s  # reckoned back: both came in one report
        return_count, spend_s = (0.0, 0.0) if to == Status.WAITING else (outcome.return_count, outcome.spend_s)
        done_seq = None
        if to in TERMINAL:
            done_seq = self._done_seq
            self._done_seq += 1
        if to == Status.DONE:
            self._spends.setdefault((job.job_type, job.batch), []).append(spend_s)
        if to == Status.DONE and job.status == Status.RUNNING:
            self._finishes.append((return_count, spend_s, started_at, now, done_seq, job.job_id, job.attempt))
        else:
            self._moves.append(
                (
                    int(to),
                    "" if move.reason in UNSPENT else str(move.reason),
                    move.starts,
                    job.lane_id if _claimable(move) else None,
                    now if to == Status.RETURNING else move.due_at,
                    return_count,
                    spend_s,
                    started_at,
                    now,
                    done_seq,
                    job.job_id,
                    job.status,
                    job.attempt,
                )
            )
            self._wait(job, move)
        self._close(change, started_at)
        self._sum(job, to, return_count, spend_s)

    def _close(self, change: Change, started_at: float | None) -> None:
        job, outcome, move = change
        key = (job.job_id, job.attempt)
        plain = (
            job.machine_id,
            job.version,
            job.claimed_at,
            started_at,
            self._now,
            outcome.spend_s,
            str(move.reason),
            outcome.started,
            outcome.result,
            outcome.return_count,
        )
        more = (
            outcome.exit_code,
            outcome.signal,
            outcome.return_data,
            outcome.error,
            outcome.log,
            outcome.machine,
        )
        if job.lost:
            self._reopens.append((*plain, *more, *key))
        elif more == _NO_MORE:
            self._plain.append(key + plain)
        else:
            self._closes.append((*plain, *more, *key))

    def _wait(self, job: OpenJob, move: Move) -> None:
        if job.status == Status.WAITING:
            self._waits.append((job.lane_id, not job.queued, -1))
        if move.to == Status.WAITING:
            self._waits.append((job.lane_id, not _claimable(move), 1))

    def _sum(self, job: OpenJob, to: Status, return_count: float, spend_s: float) -> None:
        kind = (job.job_type, job.batch, job.status, job.updated_at // HOUR_S, to)
        sums = self._sums.get(kind)
        if sums is None:
            sums = self._sums[kind] = [0, 0.0, 0.0, 0.0, 0.0]
        sums[0] += 1
        sums[1] += job.return_count
        sums[2] += job.spend_s
        sums[3] += return_count
        sums[4] += spend_s

    def write(self, tx: Tx) -> None:
        """Send the rows, and the sums to the counters."""
        _expect(_FINISH.run(tx.conn, self._finishes), len(self._finishes))
        _expect(_MOVE.run(tx.conn, self._moves), len(self._moves))
        _CLOSE_PLAIN.run(tx.conn, self._plain)
        _CLOSE.run(tx.conn, self._closes)
        _expect(_REOPEN.run(tx.conn, self._reopens), len(self._reopens))
        for (job_type, batch, status, hour, to), sums in self._sums.items():
            jobs, old_count, old_spend, new_count, new_spend = sums
            tx.deltas.add(job_type, batch, status, hour * HOUR_S, -int(jobs), -old_count, -old_spend)
            tx.deltas.add(job_type, batch, to, self._now, int(jobs), new_count, new_spend)
        for (job_type, batch), spends in self._spends.items():
            tx.deltas.spent(job_type, batch, self._now, spends)
        for lane_id, backing_off, more in self._waits:
            tx.deltas.wait(lane_id, backing_off=backing_off, jobs=more)


_NO_MORE = (None,) * 6


def _claimable(move: Move) -> bool:
    return move.to == Status.WAITING and move.due_at is None


def _expect(changed: int, meant: int) -> None:
    """The rows were read in this transaction, so an update that misses one is a bug, and nothing may be kept."""
    if changed != meant:
        raise RuntimeError(f"{changed} rows changed where {meant} were meant")


def _failed(changes: Iterable[Change]) -> list[failures.Failed]:
    """Those of these failed attempts that are to be counted as failures of the work."""
    failed = []
    for job, outcome, move in changes:
        facts = {"exit_code": outcome.exit_code, "signal": outcome.signal}
        signature = sign(job.job_type, move.reason, outcome.error, **facts)
        if signature is not None:
            place = (job.machine_id, job.version)
            failed.append(failures.Failed(signature, job.job_id, job.attempt, *place, move.to == Status.FAILED))
    return failed
