"""The stream of results: finished jobs in the order they finished, for many waiting clients at once.

``done_seq`` is given out under the writer's lock, so a reader that has seen n will never find a smaller one later. Two
ways through it: along the stream from the cursor (what everybody finished since), or through the wanted jobs alone.
A page is bounded in rows and in bytes; it always holds at least one row, and its cursor is behind its last row.
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
#: A page ends with the row that makes it this long.
PAGE_BYTES: Final = 16 * 1024 * 1024
#: Rows with their texts that one statement brings; a driver may hold them all at once.
ROWS_AT_ONCE: Final = 250
#: One statement looks at no longer part of the stream, so that none lasts long.
STRETCH: Final = 50_000

_LAST = select(schema.sequences.c.next - 1).where(schema.sequences.c.name == "done")


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
    done = schema.unindexed(_J.done_seq)
    count = select(func.count()).select_from(schema.jobs).where(or_(done.is_(None), done > last))
    return sum(conn.execute(count.where(condition)).scalar_one() for condition in _by_ids(ranges))


def _next_rows(conn: Connection, wanted: Wanted, total: int | None, last: int) -> tuple[list[ResultRow], int]:
    """(rows, where to go on). Chooses the way that reads fewer rows in all."""
    if total is not None and total * total < (last - wanted.cursor) * wanted.limit:
        rows, cursor = _through_jobs(conn, wanted, last)
    else:
        rows, cursor = _along_stream(conn, wanted, last)
    return rows, max(cursor, wanted.cursor)


class _Pile:
    """Rows until they are as long as a page may be; those outside the ranges are passed over."""

    def __init__(self, ranges: tuple[tuple[int, int], ...] | None = None) -> None:
        self.rows: list[ResultRow] = []
        self.full = False
        #: Of the last row, also of one that was passed over.
        self.cursor = 0
        self._ranges = ranges
        self._firsts = [first for first, _ in ranges or ()]
        self._bytes = 0

    def take(self, conn: Connection, query: Select[Any]) -> int:
        """The query's rows, or as many as there is room for; how many were looked at."""
        seen = 0
        with conn.execute(query) as found:
            for row in found:
                seen += 1
                self._add(ResultRow._make(row))
                if self.full:
                    break
        return seen

    def _add(self, row: ResultRow) -> None:
        self.cursor = row.done_seq
        if self._ranges is not None and not _within(row.job_id, self._firsts, self._ranges):
            return
        self.rows.append(row)
        self._bytes += len(row.result or "") + len(row.error or "")
        self.full = self._bytes >= PAGE_BYTES


# -------------------------------------------------------------------------------------------------- through the jobs


_PLACES = select(_J.done_seq, _J.id).order_by(_J.done_seq)


def _through_jobs(conn: Connection, wanted: Wanted, last: int) -> tuple[list[ResultRow], int]:
    """The wanted jobs found by their own index, those after the cursor in order; their texts last."""
    done = schema.unindexed(_J.done_seq)
    query = _PLACES.where(done > wanted.cursor, done <= last).limit(wanted.limit)
    conditions = [_J.batch == wanted.batch] if wanted.ranges is None else _by_ids(wanted.ranges)
    found = sorted((row.done_seq, row.id) for condition in conditions for row in conn.execute(query.where(condition)))
    places = found[: wanted.limit]
    end = last if len(found) < wanted.limit else places[-1][0]
    pile = _Pile()
    for start in range(0, len(places), ROWS_AT_ONCE):
        ids = [job_id for _, job_id in places[start : start + ROWS_AT_ONCE]]
        # What was rerun since has no place any more, and what finished again has one behind the end.
        pile.take(conn, _ROWS.where(_J.id.in_(ids), done > wanted.cursor, done <= end))
        if pile.full:
            return pile.rows, pile.cursor
    return pile.rows, end


def _by_ids(ranges: tuple[tuple[int, int], ...]) -> list[ColumnElement[bool]]:
    pieces = (ranges[start : start + RANGES_IN_SQL] for start in range(0, len(ranges), RANGES_IN_SQL))
    return [or_(*(_J.id.between(first, last) for first, last in piece)) for piece in pieces]


# --------------------------------------------------------------------------------------------------- along the stream


def _along_stream(conn: Connection, wanted: Wanted, last: int) -> tuple[list[ResultRow], int]:
    """The stream from the cursor on, stretch by stretch, until the page is full or the stream ends."""
    query = _only(_ROWS, wanted)
    pile = _Pile(None if wanted.ranges is None or len(wanted.ranges) <= RANGES_IN_SQL else wanted.ranges)
    cursor = wanted.cursor
    while cursor < last and len(pile.rows) < wanted.limit and not pile.full:
        upto, room = min(cursor + STRETCH, last), min(wanted.limit - len(pile.rows), ROWS_AT_ONCE)
        seen = pile.take(conn, query.where(_J.done_seq > cursor, _J.done_seq <= upto).limit(room))
        cursor = pile.cursor if seen == room or pile.full else upto
    return pile.rows, cursor


def _only(query: Select[Any], wanted: Wanted) -> Select[Any]:
    if wanted.batch is not None:
        return query.where(schema.unindexed(_J.batch) == wanted.batch)
    if wanted.ranges is None:
        return query
    job_id = schema.unindexed(_J.id)
    if len(wanted.ranges) > RANGES_IN_SQL:
        return query.where(job_id.between(wanted.ranges[0][0], wanted.ranges[-1][1]))
    return query.where(or_(*(job_id.between(first, last) for first, last in wanted.ranges)))


def _within(job_id: int, firsts: list[int], ranges: tuple[tuple[int, int], ...]) -> bool:
    at = bisect_right(firsts, job_id) - 1
    return at >= 0 and job_id <= ranges[at][1]
