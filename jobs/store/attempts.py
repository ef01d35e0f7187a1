"""Attempts from open to closed: what runners report, what the server gives up, and who is open where (T3 to T8).

The open attempt of a job lives in the job's own row, so there can be one only (G4); a closed one is a row of
``attempts``. Reports that come together are one read of the jobs they name, one update and one insert for all of them
(``closing``).
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from jobs.model import AttemptKey, OpenAttempt, Reported
from jobs.outcomes import Heard, Outcome
from jobs.rules import Move, OpenJob
from jobs.status import Reason, Status
from jobs.store import closing, queue, schema
from jobs.store.bulk import Bulk, ByIds
from jobs.store.closing import Change, Settled
from jobs.store.tx import Tx

_log = logging.getLogger(__name__)

_J = schema.jobs.c
_A = schema.attempts.c

Settle = Callable[[OpenJob, Outcome], Move | None]


class Said(NamedTuple):
    """A report: what a runner of a machine says."""

    machine_id: str
    runner_id: str
    heard: Heard


class TakenIn(NamedTuple):
    """What reports did."""

    #: The records that changed their jobs, by machine.
    reported: dict[str, list[Reported]]
    #: The ends among them.
    settled: Settled
    #: For each report, the attempts it names that no longer count and should end there.
    stops: list[list[AttemptKey]]


# ------------------------------------------------------------------------------------------------------------- report


def take_in(tx: Tx, reports: Sequence[Said], settle: Settle, now: float) -> TakenIn:
    """Take in what runners say; repeats change nothing, the first durable record wins."""
    jobs = closing.load(tx, _named(reports))
    ended, late = _sort_ends(jobs, ((said, key, outcome) for said in reports for key, outcome in said.heard.ended))
    changes = _decide(jobs, ended, settle)
    changes += _decide_late(tx, jobs, late, settle)
    settled = closing.write(tx, changes, now)
    begun, stops = _begun_of(tx, jobs, reports, ended)
    reported: defaultdict[str, list[Reported]] = defaultdict(list)
    for job, one in zip(begun, _begin(tx, begun, now), strict=True):
        reported[job.machine_id].append(one)
    for change, one in zip(changes, settled.reported, strict=True):
        reported[change.job.machine_id].append(one)
    return TakenIn(dict(reported), settled, stops)


def _named(reports: Iterable[Said]) -> set[int]:
    """The jobs these reports are about."""
    begun = {key[0] for said in reports for key in said.heard.begun}
    return begun | {key[0] for said in reports for key, _ in said.heard.ended}


#: Who says how an attempt ended.
_End = tuple[Said, AttemptKey, Outcome]


def _sort_ends(jobs: dict[int, OpenJob], ends: Iterable[_End]) -> tuple[dict[int, Outcome], list[_End]]:
    """(ends of open attempts by job, the first of each; all others)."""
    first: dict[int, Outcome] = {}
    late: list[_End] = []
    for said, key, outcome in ends:
        job_id, attempt = key
        job = jobs.get(job_id)
        if job is not None and _is_open(job, attempt, said.machine_id) and job_id not in first:
            first[job_id] = outcome
        else:
            late.append((said, key, outcome))
    return first, late


def _is_open(job: OpenJob, attempt: int, machine_id: str) -> bool:
    return job.status == Status.RUNNING and job.attempt == attempt and job.machine_id == machine_id


def _decide(jobs: dict[int, OpenJob], ended: dict[int, Outcome], settle: Settle) -> list[Change]:
    changes = []
    for job_id, outcome in ended.items():
        job = jobs[job_id]
        move = settle(job, outcome)
        if move is not None:
            changes.append(Change(job, outcome, move))
    return changes


# ---------------------------------------------------------------------------------------------------- late and repeated

_CLOSED = ByIds(
    lambda among: select(
        _A.job_id, _A.attempt, _A.machine_id, _A.reason, _A.result, _A.return_data, _A.return_count
    ).where(among(_A.job_id))
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
    rows = [_Closed(*row) for some in queue.in_lists(ids) for row in _CLOSED.rows(tx.conn, some)]
    return {(row.job_id, row.attempt): row for row in rows}


def _decide_late(tx: Tx, jobs: dict[int, OpenJob], late: Sequence[_End], settle: Settle) -> list[Change]:
    """Adopt a success of a lost attempt (T8); of the rest, note what contradicts the stored record."""
    if not late:
        return []
    closed = _closed(tx, [key for _, key, _ in late])
    changes: dict[int, Change] = {}
    for said, key, outcome in late:
        known, job = closed.get(key), jobs.get(key[0])
        if known is None or job is None or known.machine_id != said.machine_id:
            continue
        if known.reason == Reason.LOST:
            _adopt(changes, job, key, outcome, settle)
        elif _differs(known, outcome):
            facts = {"job": key[0], "attempt": key[1], "machine": said.machine_id, "runner": said.runner_id}
            _log.warning("a second, different end of an attempt was refused", extra=facts)
    return list(changes.values())


def _adopt(changes: dict[int, Change], job: OpenJob, key: AttemptKey, outcome: Outcome, settle: Settle) -> None:
    if job.attempt != key[1] or job.job_id in changes:
        return
    job = job._replace(lost=True)
    move = settle(job, outcome)
    if move is not None:
        changes[job.job_id] = Change(job, outcome, move)


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


def _begun_of(
    tx: Tx, jobs: dict[int, OpenJob], reports: Sequence[Said], ended: Container[int]
) -> tuple[list[OpenJob], list[list[AttemptKey]]]:
    """(jobs whose open attempt has begun and not ``ended`` since, each once; of each report, what is to stop)."""
    begun: dict[int, OpenJob] = {}
    stops = []
    for said in reports:
        open_ones, stop = _sort_begun(tx, jobs, said.machine_id, said.heard.begun)
        begun.update((job.job_id, job) for job in open_ones if job.job_id not in ended)
        stops.append(stop)
    return list(begun.values()), stops


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
    return _sort_begun(tx, closing.load(tx, {job_id for job_id, _ in keys}), machine_id, keys)[1]


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


def _begin(tx: Tx, jobs: Sequence[OpenJob], now: float) -> list[Reported]:
    _BEGIN.run(tx.conn, [(now, now, job.job_id, job.attempt) for job in jobs])
    for job in jobs:
        if job.started_at is None:  # of a repeat, nothing was written
            tx.deltas.add(job.job_type, job.batch, job.status, job.updated_at, -1, -job.return_count, -job.spend_s)
            tx.deltas.add(job.job_type, job.batch, job.status, now, 1, job.return_count, job.spend_s)
    return [Reported(job.job_id, job.attempt, "start", 0.0) for job in jobs]


# ------------------------------------------------------------------------------------------------ ends the server makes


def end(tx: Tx, machine_id: str, keys: Sequence[AttemptKey], outcome: Outcome, settle: Settle, now: float) -> Settled:
    """End these attempts on the server's own word; those not open there any more are left alone."""
    jobs = closing.load(tx, {job_id for job_id, _ in keys})
    ended = {
        job_id: outcome for job_id, attempt in keys if job_id in jobs and _is_open(jobs[job_id], attempt, machine_id)
    }
    return closing.write(tx, _decide(jobs, ended, settle), now)


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
