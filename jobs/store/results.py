"""The stream of results: finished jobs in the order they finished, for many waiting clients at once.

``done_seq`` is given out under the writer's lock, so a reader that has seen n will never find a smaller one later. Two
ways through it: along the stream from the cursor (what everybody finished since), or through the wanted jobs alone.
A page is bounded in rows and in bytes; it always holds at least one row, and its cursor is behind its last row.
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, Integer, and_, bindparam, func, or_, select

from jobs.model import ResultPage, ResultRow
from jobs.store import counters, schema
from jobs.store.bulk import ByIds
from jobs.store.driver import Query
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
#: How much longer it may be where the one before brought too few.
GROWTH: Final = 4

#: (first id, last id), both of them meant
Ranges = tuple[tuple[int, int], ...]

_LAST = Query(select(schema.sequences.c.next - 1).where(schema.sequences.c.name == "done"))
#: Where a planner must not use their indexes.
_done, _id, _batch = (schema.unindexed(column) for column in (_J.done_seq, _J.id, _J.batch))
_after, _upto = bindparam("after", type_=BigInteger), bindparam("upto", type_=BigInteger)
_room = bindparam("room", type_=Integer)


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
    return int(_LAST.first(conn))


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


def _unfinished(conn: Connection, ranges: Ranges, last: int) -> int:
    """How many had not finished when the stream ended at ``last``: what came later is still to be read."""
    return sum(int(_count(len(piece)).first(conn, last, *_ends(piece))) for piece in _pieces(ranges))


@cache
def _count(ranges: int) -> Query:
    count = select(func.count()).select_from(schema.jobs).where(or_(_done.is_(None), _done > _after))
    return Query(count.where(_among(_J.id, ranges)), ("after", *_names(ranges)))


def _next_rows(conn: Connection, wanted: Wanted, total: int | None, last: int) -> tuple[list[ResultRow], int]:
    """(rows, where to go on). Chooses the way that reads fewer rows in all."""
    if total is not None and total * total < (last - wanted.cursor) * wanted.limit:
        rows, cursor = _through_jobs(conn, wanted, last)
    else:
        rows, cursor = _along_stream(conn, wanted, last)
    return rows, max(cursor, wanted.cursor)


class _Pile:
    """Rows until they are as long as a page may be; those outside the ranges are passed over."""

    def __init__(self, ranges: Ranges | None = None) -> None:
        self.rows: list[ResultRow] = []
        self.full = False
        #: Of the last row, also of one that was passed over.
        self.cursor = 0
        self._ranges = ranges
        self._firsts = [first for first, _ in ranges or ()]
        self._bytes = 0

    def take(self, rows: Iterator[tuple[Any, ...]]) -> int:
        """These rows, or as many as there is room for; how many were looked at."""
        seen = 0
        for row in rows:
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


_PLACES = select(_J.done_seq, _J.id).where(_done > _after, _done <= _upto).order_by(_J.done_seq).limit(_room)
_OF_BATCH = Query(_PLACES.where(_J.batch == bindparam("batch")), ("batch", "after", "upto", "room"))
# What was rerun since has no place any more, and what finished again has one behind the end.
_THESE = ByIds(lambda among: _ROWS.where(among(_J.id), _done > _after, _done <= _upto), ("after", "upto"))


@cache
def _in_ranges(ranges: int) -> Query:
    return Query(_PLACES.where(_among(_J.id, ranges)), ("after", "upto", "room", *_names(ranges)))


def _through_jobs(conn: Connection, wanted: Wanted, last: int) -> tuple[list[ResultRow], int]:
    """The wanted jobs found by their own index, those after the cursor in order; their texts last."""
    found = sorted(_places(conn, wanted, last))
    places = found[: wanted.limit]
    end = last if len(found) < wanted.limit else places[-1][0]
    pile = _Pile()
    for start in range(0, len(places), ROWS_AT_ONCE):
        ids = [job_id for _, job_id in places[start : start + ROWS_AT_ONCE]]
        _THESE.through(conn, pile.take, ids, wanted.cursor, end)
        if pile.full:
            return pile.rows, pile.cursor
    return pile.rows, end


def _places(conn: Connection, wanted: Wanted, last: int) -> list[tuple[Any, ...]]:
    """(place in the stream, job id) of the first that finished, of each piece of the ranges."""
    between = (wanted.cursor, last, wanted.limit)
    if wanted.ranges is None:
        return list(_OF_BATCH.rows(conn, wanted.batch, *between))
    pieces = _pieces(wanted.ranges)
    return [row for piece in pieces for row in _in_ranges(len(piece)).rows(conn, *between, *_ends(piece))]


# --------------------------------------------------------------------------------------------------- along the stream


def _along_stream(conn: Connection, wanted: Wanted, last: int) -> tuple[list[ResultRow], int]:
    """The stream from the cursor on, stretch by stretch, until the page is full or the stream ends.

    A stretch is as long as the one before if that filled its statement, and longer if it did not: a planner that sorts
    a whole stretch to give its first rows (PostgreSQL's may) must not have much more to sort than it gives.
    """
    query, asked = _only(wanted)
    pile = _Pile(None if wanted.ranges is None or len(wanted.ranges) <= RANGES_IN_SQL else wanted.ranges)
    cursor, stretch = wanted.cursor, ROWS_AT_ONCE
    while cursor < last and len(pile.rows) < wanted.limit and not pile.full:
        upto, room = min(cursor + stretch, last), min(wanted.limit - len(pile.rows), ROWS_AT_ONCE)
        seen = query.through(conn, pile.take, cursor, upto, room, *asked)
        if seen == room or pile.full:
            cursor, stretch = pile.cursor, pile.cursor - cursor
        else:
            cursor, stretch = upto, min(GROWTH * stretch, STRETCH)
    return pile.rows, cursor


_STRETCH = _ROWS.where(_J.done_seq > _after, _J.done_seq <= _upto).limit(_room)
_BETWEEN = ("after", "upto", "room")
_ALL_ALONG = Query(_STRETCH, _BETWEEN)
_BATCH_ALONG = Query(_STRETCH.where(_batch == bindparam("batch")), (*_BETWEEN, "batch"))


@cache
def _ranges_along(ranges: int) -> Query:
    return Query(_STRETCH.where(_among(_id, ranges)), (*_BETWEEN, *_names(ranges)))


def _only(wanted: Wanted) -> tuple[Query, tuple[Any, ...]]:
    """What finds the wanted jobs in a stretch, and its values besides that."""
    if wanted.batch is not None:
        return _BATCH_ALONG, (wanted.batch,)
    if wanted.ranges is None:
        return _ALL_ALONG, ()
    if len(wanted.ranges) > RANGES_IN_SQL:
        return _ranges_along(1), (wanted.ranges[0][0], wanted.ranges[-1][1])
    return _ranges_along(len(wanted.ranges)), _ends(wanted.ranges)


# -------------------------------------------------------------------------------------------------------------- ranges


def _pieces(ranges: Ranges) -> list[Ranges]:
    """As many ranges at a time as one statement names."""
    return [ranges[start : start + RANGES_IN_SQL] for start in range(0, len(ranges), RANGES_IN_SQL)]


def _names(ranges: int) -> tuple[str, ...]:
    return tuple(f"{end}_{number}" for number in range(ranges) for end in ("first", "last"))


def _ends(ranges: Ranges) -> tuple[int, ...]:
    return tuple(end for both in ranges for end in both)


def _among(column: ColumnElement[Any], ranges: int) -> ColumnElement[bool]:
    """Of a column: its value lies in one of so many ranges."""
    each = (column.between(bindparam(f"first_{number}"), bindparam(f"last_{number}")) for number in range(ranges))
    return or_(*each)


def _within(job_id: int, firsts: list[int], ranges: Ranges) -> bool:
    at = bisect_right(firsts, job_id) - 1
    return at >= 0 and job_id <= ranges[at][1]
