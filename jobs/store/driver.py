"""Statements handed to the database's own driver, as compiled text and plain tuples.

On the paths where each job pays, what SQLAlchemy does around a statement (a context, a result, names of columns) costs
several times what the database does. Here it is left out; its transactions, its errors and who listens to its
statements stay as they are.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Insert
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

Values = tuple[Any, ...]
T = TypeVar("T")


def execute(conn: Connection, sql: str, given: Any, take: Callable[[DBAPICursor], T], *, many: bool = False) -> T:
    """What ``take`` makes of the cursor after it. ``many``: for each of the given. Raises as SQLAlchemy would."""
    cursor = None
    try:
        cursor = conn.connection.cursor()
        for hear in conn.dispatch.before_cursor_execute:
            hear(conn, cursor, sql, given, None, many)
        if many:
            cursor.executemany(sql, given)
        else:
            cursor.execute(sql, given)
        return take(cursor)
    except conn.dialect.loaded_dbapi.Error as error:
        # Nothing public makes of a driver's error what SQLAlchemy raises, and lets go of a connection that broke.
        conn._handle_dbapi_exception(error, sql, given, cursor, None)  # noqa: SLF001
    finally:
        if cursor is not None:
            cursor.close()


def change(conn: Connection, sql: str, given: Any, *, many: bool = False) -> int:
    """Execute; how many rows matched."""
    return execute(conn, sql, given, _count, many=many)


def rows(conn: Connection, sql: str, given: Any) -> Sequence[Values]:
    """All rows of a SELECT, as the driver gives them."""
    return execute(conn, sql, given, _all)


def through(conn: Connection, sql: str, given: Any, take: Callable[[Iterator[Values]], T]) -> T:
    """What ``take`` makes of the rows, one by one; those it does not ask for SQLite does not even read."""
    return execute(conn, sql, given, lambda cursor: take(iter(cursor.fetchone, None)))


def _count(cursor: DBAPICursor) -> int:
    return cursor.rowcount


def _all(cursor: DBAPICursor) -> Sequence[Values]:
    return cursor.fetchall()


def _first(cursor: DBAPICursor) -> Any:
    row = cursor.fetchone()
    return None if row is None else row[0]


def nothing(_: DBAPICursor) -> None:
    """Of a statement that gives none."""


class Compiled(NamedTuple):
    """A statement as one kind of database takes it."""

    sql: str
    #: Values that the statement itself brings, put after the caller's own.
    constants: Values
    #: From the caller's values and the constants to what the driver takes.
    arrange: Callable[[Values], Values | dict[str, Any]]


def compile_for(statement: ClauseElement, parameters: Sequence[str], conn: Connection) -> Compiled:
    """``parameters``: the names of the caller's values, in their order."""
    insert_columns = list(parameters) if isinstance(statement, Insert) and statement.select is None else None
    compiled = statement.compile(dialect=conn.dialect, column_keys=insert_columns)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101  (nothing else compiles a statement)
    own = [name for name in compiled.params if name not in parameters]
    names = (*parameters, *own)
    constants = tuple(compiled.params[name] for name in own)
    if compiled.positiontup is None:
        return Compiled(compiled.string, constants, partial(_named, names))
    places = [names.index(name) for name in compiled.positiontup]
    if not places:
        return Compiled(compiled.string, constants, lambda _: ())
    if len(places) == 1:
        return Compiled(compiled.string, constants, lambda row: (row[places[0]],))
    return Compiled(compiled.string, constants, itemgetter(*places))


def _named(names: Sequence[str], row: Values) -> dict[str, Any]:
    return dict(zip(names, row, strict=True))


class Query:
    """One SELECT, compiled once for each kind of database it meets."""

    def __init__(self, statement: ClauseElement, parameters: Sequence[str] = ()) -> None:
        self._statement = statement
        self._parameters = tuple(parameters)
        self._compiled: dict[str, Compiled] = {}

    def rows(self, conn: Connection, *values: Any) -> Sequence[Values]:
        """All rows, as the driver gives them."""
        return rows(conn, *self._for(conn, values))

    def first(self, conn: Connection, *values: Any) -> Any:
        """The first column of the first row; None without one."""
        return execute(conn, *self._for(conn, values), _first)

    def through(self, conn: Connection, take: Callable[[Iterator[Values]], T], *values: Any) -> T:
        """What ``take`` makes of the rows, one by one."""
        return through(conn, *self._for(conn, values), take)

    def _for(self, conn: Connection, values: Values) -> tuple[str, Any]:
        dialect = conn.dialect.name
        if dialect not in self._compiled:
            self._compiled[dialect] = compile_for(self._statement, self._parameters, conn)
        sql, constants, arrange = self._compiled[dialect]
        return sql, arrange(values + constants)
