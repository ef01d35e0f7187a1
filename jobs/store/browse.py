"""Looking at jobs one by one and page by page; nothing here changes anything.

Pages go by id, newest first, from a cursor: the millionth page costs what the first does.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, func, or_, select

from jobs.model import Attempt, Census, Job, JobFilter, JobRow, Page, Place, Sort
from jobs.status import Reason, Status
from jobs.store import counters, filters, queue, schema
from jobs.waiting import Wish

_J = schema.jobs.c
_A = schema.attempts.c

_JOB = select(
    _J.id,
    _J.job_type,
    _J.batch,
    _J.tag,
    _J.rank,
    _J.limit_count,
    _J.status,
    _J.reason,
    _J.attempt,
    _J.starts,
    _J.kill_requested,
    _J.unreachable,
    _J.machine_id,
    _J.version,
    _J.return_count,
    _J.spend_s,
    _J.cleared,
    _J.due_at,
    _J.created_at,
    _J.claimed_at,
    _J.started_at,
    _J.updated_at,
)
_ROWS = (
    _JOB.add_columns(_J.input, func.coalesce(_A.return_error, _A.error).label("error"))
    .select_from(schema.jobs.outerjoin(schema.attempts, and_(_A.job_id == _J.id, _A.attempt == _J.attempt)))
    .where(_J.id.in_(bindparam("ids", expanding=True)))
)
#: Of a text that is long, lists show the end.
EXCERPT_CHARS: Final = 400
_SAID = func.coalesce(_A.return_error, _A.error)
_LENGTH = func.char_length(_SAID)
_EXCERPTS = (
    select(_J.id, func.substr(_SAID, case((_LENGTH > EXCERPT_CHARS, _LENGTH - EXCERPT_CHARS + 1), else_=1)))
    .join_from(schema.jobs, schema.attempts, and_(_A.job_id == _J.id, _A.attempt == _J.attempt))
    .where(_J.id.in_(bindparam("ids", expanding=True)))
)
_ATTEMPT = select(*(_A[name] for name in Attempt._fields))


def job(conn: Connection, job_id: int) -> tuple[Job, str, Attempt | None] | None:
    """(the job, its input, its latest ended attempt)."""
    row = conn.execute(_JOB.add_columns(_J.input).where(_J.id == job_id)).one_or_none()
    if row is None:
        return None
    latest = conn.execute(_ATTEMPT.where(_A.job_id == job_id).order_by(_A.attempt.desc()).limit(1)).one_or_none()
    return _job(row), row.input, None if latest is None else _attempt(latest)


def head(conn: Connection, job_id: int) -> Job | None:
    """The job without its texts."""
    row = conn.execute(_JOB.where(_J.id == job_id)).one_or_none()
    return None if row is None else _job(row)


def attempts_of(conn: Connection, job_id: int, attempt: int | None = None) -> list[Attempt]:
    """The ended attempts of a job (or the one with this number), oldest first."""
    query = _ATTEMPT.where(_A.job_id == job_id).order_by(_A.attempt)
    if attempt is not None:
        query = query.where(_A.attempt == attempt)
    return [_attempt(row) for row in conn.execute(query)]


def page(conn: Connection, chosen: JobFilter, size: int, after: int | None, *, down: bool = True) -> Page:
    """Jobs behind the id ``after``, newest first (``down``) or oldest first."""
    number = _number(conn, chosen)
    query = _filtered(_JOB, chosen).order_by(number.desc() if down else number).limit(size)
    if after is not None:
        query = query.where(number < after if down else number > after)
    found = [_job(row) for row in conn.execute(query)]
    return Page(jobs=found, after=found[-1].job_id if len(found) == size else None)


def _number(conn: Connection, chosen: JobFilter) -> ColumnElement[int]:
    """The id to go by. Of jobs that run, which are few and have an index: hidden, or SQLite goes through all jobs."""
    few = chosen.status == {Status.RUNNING} and chosen.batch is None and chosen.q is None and chosen.ids is None
    return schema.unindexed(_J.id) if few and conn.dialect.name != "mysql" else _J.id


def sorted_page(conn: Connection, chosen: JobFilter, size: int, order: Sort, after: Place | None) -> Page:
    """Jobs in the order of a value, equal ones by id, from behind that place on.

    No index: it would cost every move of every job more than this costs now and then, one walk over the jobs that the
    filter means, of which the database keeps no more than the values and ids of a page. Only its jobs are then read.
    """
    value = _J[order.column]
    query = _filtered(select(_J.id, value), chosen).limit(size)
    query = query.order_by(value.desc(), _J.id.desc()) if order.down else query.order_by(value, _J.id)
    if after is not None and order.down:
        query = query.where(or_(value < after.value, and_(value == after.value, _J.id < after.job_id)))
    elif after is not None:
        query = query.where(or_(value > after.value, and_(value == after.value, _J.id > after.job_id)))
    places = [Place(found, job_id) for job_id, found in conn.execute(query)]
    found = _by_id(conn, [place.job_id for place in places])
    listed = [found[place.job_id] for place in places if place.job_id in found]
    return Page(jobs=listed, after=None, place=places[-1] if len(places) == size else None)


def _by_id(conn: Connection, job_ids: Sequence[int]) -> dict[int, Job]:
    """Those that there are."""
    rows = (row for some in queue.in_lists(job_ids) for row in conn.execute(_JOB.where(_J.id.in_(some))))
    return {row.id: _job(row) for row in rows}


def last_id(conn: Connection) -> int:
    """The newest job's id; 0: there is none."""
    return conn.execute(select(func.max(_J.id))).scalar() or 0


def ids_between(conn: Connection, chosen: JobFilter, after: int, upto: int, limit: int) -> list[int]:
    """Ids greater than ``after``, up to ``upto``, of the jobs a filter means, ascending."""
    query = _filtered(select(_J.id), chosen).where(_J.id > after, _J.id <= upto).order_by(_J.id).limit(limit)
    return list(conn.execute(query).scalars())


def still(conn: Connection, chosen: JobFilter, ids: Sequence[int]) -> list[int]:
    """Those of a few ids that the filter means at this moment, ascending; locked where the database locks rows."""
    if not ids:
        return []
    query = _filtered(select(_J.id), chosen).where(_J.id.in_(ids)).order_by(_J.id).with_for_update()
    return list(conn.execute(query).scalars())


def rows(conn: Connection, chosen: JobFilter, offset: int, limit: int) -> list[JobRow]:
    """Jobs with their texts but the results, newest first, from that place in the list on."""
    inner = _filtered(select(_J.id), chosen).order_by(_J.id.desc()).limit(limit).offset(offset)
    ids = list(conn.execute(inner).scalars())
    found = (row for some in queue.in_lists(ids) for row in conn.execute(_ROWS, {"ids": some}))
    return [JobRow(_job(row), row.input, row.error or "") for row in sorted(found, key=lambda row: -row.id)]


def excerpts(conn: Connection, job_ids: Sequence[int]) -> dict[int, str]:
    """The last characters of what is said of the failures of these jobs."""
    found = (row for some in queue.in_lists(job_ids) for row in conn.execute(_EXCERPTS, {"ids": some}))
    return {row[0]: row[1] for row in found if row[1]}


def count(conn: Connection, chosen: JobFilter) -> dict[Census, int]:
    """How many jobs a filter means, by what decides over actions on them."""
    taken = and_(_J.status == int(Status.RETURNING), _J.due_at.is_(None))
    query = _filtered(select(_J.status, taken.label("taken"), func.count()), chosen).group_by(_J.status, taken)
    return {Census(Status(row[0]), bool(row[1])): int(row[2]) for row in conn.execute(query)}


def census(conn: Connection, chosen: JobFilter) -> dict[Census, int]:
    """The same from the counters, for a filter they know; only those whose return_main is due or runs are counted."""
    counts = counters.count(conn, chosen)
    known = {Census(status): jobs for status, jobs in counts.items() if status != Status.RETURNING}
    if not counts.get(Status.RETURNING):
        return known
    return known | count(conn, replace(chosen, status=frozenset({Status.RETURNING})))


def _filtered(query: Select[Any], chosen: JobFilter) -> Select[Any]:
    return query.where(*filters.conditions(_J, chosen))


def _job(row: schema.AnyRow) -> Job:
    job_id, job_type, batch, tag, rank, limit_count, status, reason, *rest = row[: len(Job._fields)]
    head = (job_id, job_type, batch, tag, -rank, limit_count, Status(status), Reason(reason))
    return Job._make((*head, *rest))


def _attempt(row: schema.AnyRow) -> Attempt:
    values = Attempt._make(row)
    return values._replace(reason=Reason(values.reason))


def wish(one: Job, avoid: frozenset[str]) -> Wish:
    """What this waiting job waits for."""
    return Wish(one.job_type, one.tag, one.due_at, avoid)
