"""The stream of results: finished jobs in the order they finished, for many waiting clients at once.

``done_seq`` is given out under the writer's lock, so a reader that has seen n will never find a smaller one later. Two
ways through it: along the stream from the cursor (what everybody finished since), or through the wanted jobs alone.
"""

from bisect import bisect_right
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from jobs.model import ResultPage, ResultRow
from jobs.store import counters, schema
from jobs.submitting import Wanted

_J = schema.jobs.c
_A = schema.attempts.c

#: Up to so many wanted ids it is cheap to count the unfinished ones for every page.
COUNT_LIMIT: Final = 20_000
#: Ranges in one statement; where there are more, rows are sorted out here.
RANGES_IN_SQL: Final = 50
#: One statement looks at no longer part of the stream, so that none lasts long.
STRETCH: Final = 50_000

_LAST = select(schema.sequences.c.next - 1).where(schema.sequences.c.name == "done")


def _unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column, hidden from the planner: it must not leave the index we mean for one over this column."""
    return func.coalesce(column, None)


_COLUMNS = (
    _J.done_seq,
    _J.id,
    _J.status,
    _J.reason,
    _J.attempt,
    _J.machine_id,
    _J.version,
    _J.return_count,
    _J.spend_s,
    _A.result,
    func.coalesce(_A.return_error, _A.error),
)
_ROWS = (
    select(*_COLUMNS)
    .select_from(schema.jobs.outerjoin(schema.attempts, and_(_A.job_id == _J.id, _A.attempt == _J.attempt)))
    .order_by(_J.done_seq)
)


def last_done(conn: Connection) -> int:
    """The newest place in the stream."""
    return int(conn.execute(_LAST).scalar_one())


def page(conn: Connection, wanted: Wanted, *, thorough: bool) -> ResultPage:
    """The next finished jobs after the cursor. ``thorough``: count the unfinished even where that takes long.

    ``pending`` is given only with the end of the stream; with 0 the caller has all there is.
    """
    total, pending = _size(conn, wanted)  # before the rows: what finishes in between must not be missed
    last = last_done(conn)
    rows, cursor = _next_rows(conn, wanted, total, last)
    if cursor < last:
        return ResultPage(rows, cursor, None)
    if wanted.ranges is not None and total is not None and (total <= COUNT_LIMIT or (thorough and not rows)):
        pending = _unfinished(conn, wanted.ranges, last)
    return ResultPage(rows, cursor, pending)


def _size(conn: Connection, wanted: Wanted) -> tuple[int | None, int | None]:
    """(how many jobs are wanted, how many of them are unfinished), None where that is not known beforehand."""
    if wanted.batch is not None:
        return counters.batch_size(conn, wanted.batch)
    if wanted.ranges is None:
        return None, None
    return sum(last - first + 1 for first, last in wanted.ranges), None


def _unfinished(conn: Connection, ranges: tuple[tuple[int, int], ...], last: int) -> int:
    """How many had not finished when the stream ended at ``last``: what came later is still to be read."""
    done = _unindexed(_J.done_seq)
    count = select(func.count()).select_from(schema.jobs).where(or_(done.is_(None), done > last))
    return sum(conn.execute(count.where(condition)).scalar_one() for condition in _by_ids(ranges))


def _next_rows(conn: Connection, wanted: Wanted, total: int | None, last: int) -> tuple[list[ResultRow], int]:
    """(rows, where to go on). Chooses the way that reads fewer rows in all."""
    if total is not None and total * total < (last - wanted.cursor) * wanted.limit:
        rows, cursor = _through_jobs(conn, wanted, last)
    else:
        rows, cursor = _along_stream(conn, wanted, last)
    return rows, max(cursor, wanted.cursor)


# -------------------------------------------------------------------------------------------------- through the jobs


def _through_jobs(conn: Connection, wanted: Wanted, last: int) -> tuple[list[ResultRow], int]:
    """The wanted jobs found by their own index, those after the cursor in order."""
    done = _unindexed(_J.done_seq)
    query = _ROWS.where(done > wanted.cursor, done <= last).limit(wanted.limit)
    conditions = [_J.batch == wanted.batch] if wanted.ranges is None else _by_ids(wanted.ranges)
    rows = sorted((row for condition in conditions for row in _fetch(conn, query.where(condition))), key=_place)
    if len(rows) < wanted.limit:
        return rows, last
    return rows[: wanted.limit], rows[wanted.limit - 1].done_seq


def _place(row: ResultRow) -> int:
    return row.done_seq


def _by_ids(ranges: tuple[tuple[int, int], ...]) -> list[ColumnElement[bool]]:
    pieces = (ranges[start : start + RANGES_IN_SQL] for start in range(0, len(ranges), RANGES_IN_SQL))
    return [or_(*(_J.id.between(first, last) for first, last in piece)) for piece in pieces]


# --------------------------------------------------------------------------------------------------- along the stream


def _along_stream(conn: Connection, wanted: Wanted, last: int) -> tuple[list[ResultRow], int]:
    """The stream from the cursor on, stretch by stretch, until the page is full or the stream ends."""
    query = _only(_ROWS, wanted)
    rows: list[ResultRow] = []
    cursor = wanted.cursor
    while cursor < last and len(rows) < wanted.limit:
        upto, room = min(cursor + STRETCH, last), wanted.limit - len(rows)
        found = _fetch(conn, query.where(_J.done_seq > cursor, _J.done_seq <= upto).limit(room))
        cursor = found[-1].done_seq if len(found) == room else upto
        rows += _sort_out(found, wanted.ranges)
    return rows, cursor


def _only(query: Select[Any], wanted: Wanted) -> Select[Any]:
    if wanted.batch is not None:
        return query.where(_unindexed(_J.batch) == wanted.batch)
    if wanted.ranges is None:
        return query
    job_id = _unindexed(_J.id)
    if len(wanted.ranges) > RANGES_IN_SQL:
        return query.where(job_id.between(wanted.ranges[0][0], wanted.ranges[-1][1]))
    return query.where(or_(*(job_id.between(first, last) for first, last in wanted.ranges)))


def _sort_out(rows: list[ResultRow], ranges: tuple[tuple[int, int], ...] | None) -> list[ResultRow]:
    if ranges is None or len(ranges) <= RANGES_IN_SQL:
        return rows
    firsts = [first for first, _ in ranges]
    return [row for row in rows if _within(row.job_id, firsts, ranges)]


def _within(job_id: int, firsts: list[int], ranges: tuple[tuple[int, int], ...]) -> bool:
    at = bisect_right(firsts, job_id) - 1
    return at >= 0 and job_id <= ranges[at][1]


def _fetch(conn: Connection, query: Select[Any]) -> list[ResultRow]:
    return [ResultRow._make(row) for row in conn.execute(query)]
