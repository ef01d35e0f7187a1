"""Statements on the paths where each job pays, compiled once and handed to the driver as plain tuples.

Ordinary execution turns every row into a dict and back, and writes every IN list anew; for many small rows that costs
more than SQLite does. A statement here is still portable Core: it is compiled for the kind of database it meets. Many
rows are one statement on a database server, and a few on SQLite (``rowsets``), never one for each.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Connection, Insert, Update, any_, bindparam
from sqlalchemy.sql.elements import ClauseElement

from jobs.store import driver, rowsets
from jobs.store.driver import Compiled, Values, compile_for

T = TypeVar("T")
Among = Callable[[ColumnElement[Any]], ColumnElement[bool]]
#: Lengths of IN lists that are compiled; a shorter list is filled up by repeating its last id.
SIZES = (1, 8, 32, 128, 500)


class _Whole(NamedTuple):
    """One statement over all rows."""

    compiled: Compiled
    pack: rowsets.Pack


class _Way(NamedTuple):
    """How one kind of database takes many rows: whole where it can be, else written out, and the rest handed over."""

    whole: _Whole | None
    lists: rowsets.Lists | None
    #: For the driver, with every row.
    each: Compiled


class Bulk:
    """One INSERT or UPDATE, executed for many tuples of parameters; no two of them may mean the same row."""

    def __init__(self, statement: Insert | Update, parameters: Sequence[str]) -> None:
        self._statement = statement
        self._parameters = tuple(parameters)
        self._ways: dict[str, _Way] = {}

    def run(self, conn: Connection, rows: Sequence[Values]) -> int:
        """Execute for each tuple; how many rows matched in all."""
        if not rows:
            return 0
        dialect = conn.dialect.name
        if dialect not in self._ways:
            self._ways[dialect] = self._way(conn)
        whole, lists, each = self._ways[dialect]
        packed = None if whole is None else whole.pack(rows)
        if whole is not None and packed is not None:
            sql, constants, arrange = whole.compiled
            return driver.change(conn, sql, arrange(packed + constants))
        changed = at = 0
        for sql, taken, values in lists.pieces(rows) if lists is not None else ():
            changed += driver.change(conn, sql, values)
            at += taken
        if at < len(rows):
            sql, constants, arrange = each
            given = [arrange(row + constants) for row in rows[at:]]
            many = len(given) > 1
            changed += driver.change(conn, sql, given if many else given[0], many=many)
        return changed

    def _way(self, conn: Connection) -> _Way:
        whole = None
        rowset = rowsets.find(conn.dialect, self._statement, self._parameters)
        if rowset is not None:
            compiled = compile_for(rowset.statement, rowset.parameters, conn)
            whole = _Whole(compiled._replace(sql=rowset.spell(compiled.sql)), rowset.pack)
        lists = rowsets.written_out(conn.dialect, self._statement, self._parameters)
        return _Way(whole, lists, compile_for(self._statement, self._parameters, conn))


class ByIds:
    """One statement for a list of ids and some parameters besides; PostgreSQL takes the list as one array.

    Elsewhere there is one for each length of the list from ``SIZES``. ``make`` is given what says of a column that it
    is one of the ids.
    """

    def __init__(self, make: Callable[[Among], ClauseElement], parameters: Sequence[str] = ()) -> None:
        self._make = make
        self._parameters = tuple(parameters)
        self._compiled: dict[tuple[str, int], Compiled] = {}

    def rows(self, conn: Connection, ids: Sequence[int]) -> Sequence[Values]:
        """All rows of a SELECT, as the driver gives them."""
        return driver.rows(conn, *self._for(conn, ids, ()))

    def through(self, conn: Connection, take: Callable[[Iterator[Values]], T], ids: Sequence[int], *values: Any) -> T:
        """What ``take`` makes of the rows of a SELECT (``driver.Query.through``)."""
        return driver.through(conn, *self._for(conn, ids, values), take)

    def run(self, conn: Connection, ids: Sequence[int], *values: Any) -> int:
        """Execute for at least one id and at most the longest list; how many rows matched."""
        return driver.change(conn, *self._for(conn, ids, values))

    def _for(self, conn: Connection, ids: Sequence[int], values: Values) -> tuple[str, Any]:
        dialect = conn.dialect.name
        as_array = dialect == "postgresql"
        size = 0 if as_array else next(size for size in SIZES if size >= len(ids))
        key = (dialect, size)
        if key not in self._compiled:
            self._compiled[key] = self._for_array(conn) if as_array else self._for_list(conn, size)
        sql, constants, arrange = self._compiled[key]
        given: Values = (list(ids),) if as_array else (*ids, *[ids[-1]] * (size - len(ids)))
        return sql, arrange(values + given + constants)

    def _for_array(self, conn: Connection) -> Compiled:
        array = bindparam("all_ids", type_=ARRAY(BigInteger))
        compiled = compile_for(self._make(lambda column: column == any_(array)), (*self._parameters, "all_ids"), conn)
        return compiled._replace(sql=rowsets.binary(compiled.sql))

    def _for_list(self, conn: Connection, size: int) -> Compiled:
        names = tuple(f"id_{n}" for n in range(size))
        ids: list[ColumnElement[Any]] = [bindparam(name) for name in names]
        return compile_for(self._make(lambda column: column.in_(ids)), (*self._parameters, *names), conn)
