"""return_main's queue: which calls are due, who has been taken, how they ended (T12 to T14, G11).

``due_at`` of a job in status 2 says when it may be called; NULL means that it was taken and not yet answered. A try
counts when it is taken, so that a call that kills the server with it is bounded too; an interruption gives it back.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Integer, and_, bindparam, exists, literal_column, null, select, update

from jobs.failures import sign
from jobs.model import AttemptKey, PendingReturn, ReturnAnswer, ReturnOutcome
from jobs.rules import USUAL, Backoff
from jobs.status import TERMINAL, Reason, Status
from jobs.store import failures, queue, schema
from jobs.store.bulk import Bulk, ByIds
from jobs.store.driver import Query
from jobs.store.tx import Tx

_J = schema.jobs.c
_A = schema.attempts.c

#: Interruptions that do not use up a try.
INTERRUPTIONS: Final = 3


_DUE_NOW = (_J.status == int(Status.RETURNING)) & (_J.due_at <= bindparam("now"))
_DUE = _DUE_NOW & _J.job_type.not_in(bindparam("but", expanding=True))
#: Asked after every report.
_ANY_DUE = Query(select(exists(select(literal_column("1")).select_from(schema.jobs).where(_DUE_NOW))), ("now",))
_ANY_OTHER_DUE = select(exists(select(literal_column("1")).select_from(schema.jobs).where(_DUE)))
_TAKE = (
    select(_J.id, _J.attempt, _J.job_type, _J.version, _A.return_data, _J.return_tries)
    .select_from(schema.jobs.join(schema.attempts, and_(_A.job_id == _J.id, _A.attempt == _J.attempt)))
    .where(_DUE)
    .order_by(_J.due_at)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(of=schema.jobs)
)
_MARK_TAKEN = (
    update(schema.jobs)
    .where(_J.id.in_(bindparam("ids", expanding=True)), _J.status == int(Status.RETURNING), _J.due_at.is_not(None))
    .values(due_at=null(), return_tries=_J.return_tries + 1)
)


def any_due(conn: Connection, now: float, but: Sequence[str] = ()) -> bool:
    """Whether a call is due, of another type than these."""
    if not _ANY_DUE.first(conn, now):
        return False
    return not but or bool(conn.execute(_ANY_OTHER_DUE, {"now": now, "but": list(but)}).scalar())


def take(tx: Tx, now: float, limit: int, but: Sequence[str] = ()) -> list[PendingReturn]:
    """Take the calls that are due, the longest due first; none of the job types in ``but``."""
    rows = tx.conn.execute(_TAKE, {"now": now, "most": limit, "but": list(but)}).all()
    if rows:
        tx.conn.execute(_MARK_TAKEN, {"ids": [row.id for row in rows]})
    return [PendingReturn(*row[:5], row.return_tries + 1) for row in rows]


_TAKEN = select(_J.id, _J.attempt).where(_J.status == int(Status.RETURNING), _J.due_at.is_(None)).order_by(_J.id)


def taken(conn: Connection) -> list[AttemptKey]:
    """Calls that were taken and never answered."""
    return [(row[0], row[1]) for row in conn.execute(_TAKEN)]


class _Taken(NamedTuple):
    """A job whose return_main was taken."""

    job_id: int
    attempt: int
    job_type: str
    batch: str
    limit_count: int
    tries: int
    interruptions: int
    return_count: float
    spend_s: float
    updated_at: float
    version: int


class _Next(NamedTuple):
    """What to write: the end (``to``), or another call from ``due_at`` on."""

    to: Status
    due_at: float | None
    tries: int
    interruptions: int


_LOAD = ByIds(
    lambda among: (
        select(
            _J.id,
            _J.attempt,
            _J.job_type,
            _J.batch,
            _J.limit_count,
            _J.return_tries,
            _J.return_interruptions,
            _J.return_count,
            _J.spend_s,
            _J.updated_at,
            _J.version,
        )
        .where(among(_J.id), _J.status == int(Status.RETURNING), _J.due_at.is_(None))
        .with_for_update()
    )
)
_MOVE = Bulk(
    update(schema.jobs)
    .where(_J.id == bindparam("at_job"), _J.attempt == bindparam("at_attempt"), _J.status == int(Status.RETURNING))
    .values(
        status=bindparam("to_status"),
        reason=bindparam("to_reason"),
        due_at=bindparam("to_due"),
        return_tries=bindparam("to_tries"),
        return_interruptions=bindparam("to_interruptions"),
        updated_at=bindparam("now"),
        done_seq=bindparam("to_done"),
    ),
    (
        "to_status",
        "to_reason",
        "to_due",
        "to_tries",
        "to_interruptions",
        "now",
        "to_done",
        "at_job",
        "at_attempt",
    ),
)
_NOTE_ERROR = Bulk(
    update(schema.attempts)
    .where(_A.job_id == bindparam("at_job"), _A.attempt == bindparam("at_attempt"))
    .values(return_error=bindparam("to_error")),
    ("to_error", "at_job", "at_attempt"),
)


def answer(
    tx: Tx, told: Sequence[ReturnAnswer], now: float, spread: Callable[[], float], backoff: Backoff = USUAL
) -> int:
    """Write down how taken calls ended; those answered before, or whose job is gone, count for nothing."""
    jobs = _load(tx, [one.job_id for one in told])
    ends = {(one.job_id, one.attempt): one for one in told}
    decided = [
        (job, one, _decide(job, one, now, spread, backoff)) for key, one in ends.items() if (job := jobs.get(key))
    ]
    _write(tx, [(job, after) for job, _, after in decided], now)
    errors = [(_words(one), *key) for key, one in ends.items() if key in jobs and one.outcome != ReturnOutcome.DONE]
    _NOTE_ERROR.run(tx.conn, errors)
    failures.note(tx, _failed(decided), now)
    return len(decided)


def _failed(decided: Sequence[tuple[_Taken, ReturnAnswer, _Next]]) -> list[failures.Failed]:
    """Those whose last try this was; they failed on the server itself."""
    found = []
    for job, told, after in decided:
        signature = sign(job.job_type, Reason.RETURN_ERROR, told.error)
        if after.to == Status.RETURN_FAILED and signature is not None:
            found.append(failures.Failed(signature, job.job_id, job.attempt, "", job.version, final=True))
    return found


def _load(tx: Tx, ids: Sequence[int]) -> dict[AttemptKey, _Taken]:
    rows = (row for some in queue.in_lists(ids) for row in _LOAD.rows(tx.conn, some))
    return {(row[0], row[1]): _Taken._make(row) for row in rows}


def _decide(job: _Taken, told: ReturnAnswer, now: float, spread: Callable[[], float], backoff: Backoff) -> _Next:
    """T12 to T14. An interruption gives its try back, three times; from then on it counts as a failure."""
    if told.outcome == ReturnOutcome.DONE:
        return _Next(Status.DONE, None, job.tries, job.interruptions)
    if told.outcome == ReturnOutcome.INTERRUPTED and job.interruptions < INTERRUPTIONS:
        return _Next(Status.RETURNING, now, job.tries - 1, job.interruptions + 1)
    if job.tries <= job.limit_count:
        return _Next(Status.RETURNING, now + backoff.delay_s(job.tries, spread()), job.tries, job.interruptions)
    return _Next(Status.RETURN_FAILED, None, job.tries, job.interruptions)


def _write(tx: Tx, moves: Sequence[tuple[_Taken, _Next]], now: float) -> None:
    done_seq = tx.take_numbers("done", sum(after.to in TERMINAL for _, after in moves))
    rows: list[tuple[Any, ...]] = []
    for job, after in moves:
        ends = after.to in TERMINAL
        reason = Reason.RETURN_ERROR if after.to == Status.RETURN_FAILED else Reason.NONE
        key = (job.job_id, job.attempt)
        done = done_seq if ends else None
        rows.append((int(after.to), str(reason), after.due_at, after.tries, after.interruptions, now, done, *key))
        done_seq += ends
        name = (job.job_type, job.batch)
        tx.deltas.add(*name, Status.RETURNING, job.updated_at, -1, -job.return_count, -job.spend_s)
        tx.deltas.add(*name, after.to, now, 1, job.return_count, job.spend_s)
        if after.to == Status.DONE:
            tx.deltas.spent(*name, now, [job.spend_s])
    _MOVE.run(tx.conn, rows)


def _words(told: ReturnAnswer) -> str:
    return told.error or "return_main was interrupted"
