"""Many rows as one statement: the rows travel as one parameter a column, as one document, or written out.

PostgreSQL takes arrays (``unnest``), MariaDB and MySQL a JSON text (``JSON_TABLE``), SQLite gets lists of VALUES of a
few lengths. An UPDATE is joined with that table of rows, an INSERT takes all of it. A server is spared the round trips;
SQLite does a row in two thirds of the time, and its driver gives up the interpreter once a list and not once a row,
which in a busy process it would each time have to wait for. PyMySQL would write the rows of an INSERT into one
statement by itself, but in Python, value by value.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    BindParameter,
    Boolean,
    ColumnElement,
    Dialect,
    Double,
    FromClause,
    Insert,
    Integer,
    String,
    Table,
    Text,
    Update,
    bindparam,
    column,
    func,
    select,
    text,
)
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.type_api import TypeEngine

#: None: these rows are better handed to the driver.
Pack = Callable[[Sequence[tuple[Any, ...]]], tuple[Any, ...] | None]
Types = dict[str, TypeEngine[Any]]


class RowSet(NamedTuple):
    """A statement of a database server over all rows at once."""

    statement: Insert | Update
    #: The names of what ``pack`` gives.
    parameters: tuple[str, ...]
    pack: Pack
    #: What the driver should be given in place of the compiled text.
    spell: Callable[[str], str] = str


def find(dialect: Dialect, statement: Insert | Update, parameters: Sequence[str]) -> RowSet | None:
    """The statement over all rows at once; None: the driver does as well when it is handed the rows."""
    if dialect.name == "postgresql":
        return _with_arrays(statement, parameters)
    if dialect.name in ("mysql", "mariadb"):
        return _with_json(statement, parameters)
    return None


# --------------------------------------------------------------------------------------------------------- PostgreSQL


def _with_arrays(statement: Insert | Update, parameters: Sequence[str]) -> RowSet:
    types = _types(statement, parameters)
    names = tuple(f"all_{name}" for name in parameters)
    arrays = [bindparam(f"all_{name}", type_=ARRAY(types[name])) for name in parameters]
    rows = func.unnest(*arrays).table_valued(*(column(name, types[name]) for name in parameters))
    floats = [at for at, name in enumerate(parameters) if isinstance(types[name], Double)]

    def pack(given: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        columns = [list(values) for values in zip(*given, strict=True)]
        for at in floats:  # an array has one type; the sums of nothing are whole numbers
            columns[at] = [None if value is None else float(value) for value in columns[at]]
        return tuple(columns)

    return RowSet(_over(statement, parameters, rows.render_derived(name="given")), names, pack, binary)


def binary(sql: str) -> str:
    """The arrays as bytes: as text, every quote and backslash in a body would be written as four, one by one."""
    return re.sub(r"%\((all_\w+)\)s", r"%(\1)b", sql)


# ---------------------------------------------------------------------------------------------------- MariaDB and MySQL

_WHOLE: Final = "BIGINT"
_TEXT: Final = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


#: Of a document with new rows. JSON and then the driver may each double a character, and a packet has an end.
_DOCUMENT_LIMIT: Final = 1024 * 1024


def _with_json(statement: Insert | Update, parameters: Sequence[str]) -> RowSet:
    types = _types(statement, parameters)
    columns = ", ".join(
        f"`{name}` {_json_type(types[name])} PATH '$[{at}]' ERROR ON ERROR" for at, name in enumerate(parameters)
    )
    source = f"SELECT * FROM JSON_TABLE(:document, '$[*]' COLUMNS ({columns})) AS document_rows"  # noqa: S608 (ours)
    rows = text(source).columns(*(column(name, types[name]) for name in parameters)).alias("given")
    pack = _as_short_document if isinstance(statement, Insert) else _as_document
    return RowSet(_over(statement, parameters, rows), ("document",), pack)


def _json_type(type_: TypeEngine[Any]) -> str:
    if isinstance(type_, Integer | Boolean):
        return _WHOLE
    return "DOUBLE" if isinstance(type_, Double) else _TEXT


def _as_short_document(given: Sequence[tuple[Any, ...]]) -> tuple[str] | None:
    packed = _as_document(given)
    return packed if len(packed[0]) <= _DOCUMENT_LIMIT else None


def _as_document(given: Sequence[tuple[Any, ...]]) -> tuple[str]:
    return (json.dumps(given, ensure_ascii=False, separators=(",", ":")),)


# ------------------------------------------------------------------------------------------------------------- SQLite

#: Lengths of the lists of VALUES; fewer rows than the least are handed over one by one.
LENGTHS: Final = (8, 16, 32, 64, 128, 256)
#: UPDATE … FROM.
_SQLITE_LEAST: Final = (3, 33)
_ROWS: Final = "VALUES all_rows"


class Lists(NamedTuple):
    """A statement over lists of VALUES of some lengths, the values of one row after the other."""

    texts: dict[int, str]
    #: How many values a row has.
    width: int
    #: Whether a list may be filled up with rows of NULL, which no key equals. Each statement that updates makes a table
    #: for the rows first, at the price of a dozen of them: so one that is too long is better than two.
    padded: bool

    def pieces(self, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, int, tuple[Any, ...]]]:
        """(statement, how many rows it takes, their values), until too few are left for a list."""
        at = 0
        while (left := len(rows) - at) >= LENGTHS[0]:
            length = self._length(left)
            some = rows[at : at + length]
            nulls = (None,) * (length - len(some)) * self.width
            yield self.texts[length], len(some), (*chain.from_iterable(some), *nulls)
            at += len(some)

    def _length(self, left: int) -> int:
        if self.padded:
            return next((length for length in LENGTHS if length >= left), LENGTHS[-1])
        return next(length for length in reversed(LENGTHS) if length <= left)


def written_out(dialect: Dialect, statement: Insert | Update, parameters: Sequence[str]) -> Lists | None:
    """SQLite's way; None: elsewhere there are better ones."""
    if dialect.name != "sqlite" or sqlite3.sqlite_version_info < _SQLITE_LEAST:
        return None
    types = _types(statement, parameters)
    columns = [column(name, types[name]) for name in parameters]
    if isinstance(statement, Insert):
        whole: Any = statement.from_select(list(parameters), text(_ROWS).columns(*columns))
    else:
        names = ", ".join(f"column{at} AS {name}" for at, name in enumerate(parameters, 1))
        rows = text(f"SELECT {names} FROM ({_ROWS})").columns(*columns)  # noqa: S608  (our own names)
        whole = _over(statement, parameters, rows.alias("given"))
    sql = str(whole.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    row = f"({', '.join('?' * len(parameters))})"
    texts = {length: sql.replace(_ROWS, f"VALUES {', '.join([row] * length)}") for length in LENGTHS}
    return Lists(texts, len(parameters), isinstance(statement, Update))


# --------------------------------------------------------------------------------------------------------------- all


def _over(statement: Insert | Update, parameters: Sequence[str], rows: FromClause) -> Any:
    """The statement with every parameter read from the rows."""
    if isinstance(statement, Insert):
        return statement.from_select(list(parameters), select(*(rows.c[name] for name in parameters)))

    def replace(element: Any, **_: Any) -> ColumnElement[Any] | None:
        known = isinstance(element, BindParameter) and element.key in parameters
        return rows.c[element.key] if known else None

    return visitors.replacement_traverse(statement, {}, replace)


def _types(statement: Insert | Update, parameters: Sequence[str]) -> Types:
    if isinstance(statement, Insert):
        return {name: _widest(_table(statement).c[name].type) for name in parameters}
    compiled = statement.compile()
    assert isinstance(compiled, SQLCompiler)  # noqa: S101  (nothing else compiles an UPDATE)
    return {name: _widest(compiled.binds[name].type) for name in parameters}


def _table(statement: Insert) -> Table:
    assert isinstance(statement.table, Table)  # noqa: S101  (we insert into nothing else)
    return statement.table


def _widest(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """What does not fit its column is refused there, and not cut off on the way."""
    return Text() if isinstance(type_, String) else type_
