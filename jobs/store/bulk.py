"""Statements on the paths where each job pays, compiled once and handed to the driver as plain tuples.

Ordinary execution turns every row into a dict and back, and writes every IN list anew; for many small rows that costs
more than SQLite does. A statement here is still portable Core: it is compiled for the kind of database it meets. Many
rows are one statement on a database server, and a few on SQLite (``rowsets``), never one for each.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Connection, Insert, Update, any_, bindparam
from sqlalchemy.engine import CursorResult
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from jobs.store import rowsets

Values = tuple[Any, ...]
Among = Callable[[ColumnElement[Any]], ColumnElement[bool]]
#: Lengths of IN lists that are compiled; a shorter list is filled up by repeating its last id.
SIZES = (1, 8, 32, 128, 500)


class _Compiled(NamedTuple):
    sql: str
    #: Values that the statement itself brings, put after the caller's own.
    constants: Values
    #: From the caller's values and the constants to what the driver takes.
    arrange: Callable[[Values], Values | dict[str, Any]]


class _Whole(NamedTuple):
    """One statement over all rows."""

    compiled: _Compiled
    pack: rowsets.Pack


class _Way(NamedTuple):
    """How one kind of database takes many rows: whole where it can be, else written out, and the rest handed over."""

    whole: _Whole | None
    lists: rowsets.Lists | None
    #: For the driver, with every row.
    each: _Compiled


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
            return conn.exec_driver_sql(sql, arrange(packed + constants)).rowcount
        changed = at = 0
        for sql, taken, values in lists.pieces(rows) if lists is not None else ():
            changed += conn.exec_driver_sql(sql, values).rowcount
            at += taken
        if at < len(rows):
            sql, constants, arrange = each
            given: list[Any] = [arrange(row + constants) for row in rows[at:]]
            changed += conn.exec_driver_sql(sql, given).rowcount
        return changed

    def _way(self, conn: Connection) -> _Way:
        whole = None
        rowset = rowsets.find(conn.dialect, self._statement, self._parameters)
        if rowset is not None:
            compiled = _compile(rowset.statement, rowset.parameters, conn)
            whole = _Whole(compiled._replace(sql=rowset.spell(compiled.sql)), rowset.pack)
        lists = rowsets.written_out(conn.dialect, self._statement, self._parameters)
        return _Way(whole, lists, _compile(self._statement, self._parameters, conn))


class ByIds:
    """One statement for a list of ids and some parameters besides; PostgreSQL takes the list as one array.

    Elsewhere there is one for each length of the list from ``SIZES``. ``make`` is given what says of a column that it
    is one of the ids.
    """

    def __init__(self, make: Callable[[Among], ClauseElement], parameters: Sequence[str] = ()) -> None:
        self._make = make
        self._parameters = tuple(parameters)
        self._compiled: dict[tuple[str, int], _Compiled] = {}

    def rows(self, conn: Connection, ids: Sequence[int]) -> Sequence[Values]:
        """All rows of a SELECT, as the driver gives them."""
        found = self.run(conn, ids)
        rows: Sequence[Values] = found.cursor.fetchall()
        found.close()
        return rows

    def run(self, conn: Connection, ids: Sequence[int], *values: Any) -> CursorResult[*tuple[Any, ...]]:
        """Execute for at least one id and at most the longest list."""
        dialect = conn.dialect.name
        as_array = dialect == "postgresql"
        size = 0 if as_array else next(size for size in SIZES if size >= len(ids))
        key = (dialect, size)
        if key not in self._compiled:
            self._compiled[key] = self._for_array(conn) if as_array else self._for_list(conn, size)
        sql, constants, arrange = self._compiled[key]
        given: Values = (list(ids),) if as_array else (*ids, *[ids[-1]] * (size - len(ids)))
        return conn.exec_driver_sql(sql, arrange(values + given + constants))

    def _for_array(self, conn: Connection) -> _Compiled:
        array = bindparam("all_ids", type_=ARRAY(BigInteger))
        compiled = _compile(self._make(lambda column: column == any_(array)), (*self._parameters, "all_ids"), conn)
        return compiled._replace(sql=rowsets.binary(compiled.sql))

    def _for_list(self, conn: Connection, size: int) -> _Compiled:
        names = tuple(f"id_{n}" for n in range(size))
        ids: list[ColumnElement[Any]] = [bindparam(name) for name in names]
        return _compile(self._make(lambda column: column.in_(ids)), (*self._parameters, *names), conn)


def _compile(statement: ClauseElement, parameters: Sequence[str], conn: Connection) -> _Compiled:
    insert_columns = list(parameters) if isinstance(statement, Insert) and statement.select is None else None
    compiled = statement.compile(dialect=conn.dialect, column_keys=insert_columns)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101  (nothing else compiles a statement)
    own = [name for name in compiled.params if name not in parameters]
    names = (*parameters, *own)
    constants = tuple(compiled.params[name] for name in own)
    if compiled.positiontup is None:
        return _Compiled(compiled.string, constants, lambda row: dict(zip(names, row, strict=True)))
    places = [names.index(name) for name in compiled.positiontup]
    if len(places) == 1:
        return _Compiled(compiled.string, constants, lambda row: (row[places[0]],))
    return _Compiled(compiled.string, constants, itemgetter(*places))
