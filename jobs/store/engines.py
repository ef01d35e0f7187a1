"""Connections to the database, alike whatever its kind: a commit is durable, text is UTF-8, nothing waits without end.

What a session needs is set on every connection, so that no default of a server matters; ``fitness`` looks afterwards
whether it took. Only what cannot be set from here must be right on the server.
"""

import contextlib
import socket
import sqlite3
import time
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from jobs.store import driver

#: How long to wait for another process that holds a lock.
BUSY_S = 10.0
#: How long a server may take to answer a connection, and a statement.
CONNECT_S: Final = 5
STATEMENT_S: Final = 120
#: A process that stops in the middle of a transaction loses it, and its locks, after this long.
IDLE_S: Final = 20
#: Every thread of the page and API may read at the same time.
READERS = 16

_WAL_PAUSE_S: Final = 0.02
_PRAGMAS = (
    "PRAGMA synchronous=FULL",
    "PRAGMA temp_store=MEMORY",
)
#: KiB of each connection's own, besides what the system keeps of SQLite's file: there is one writer, readers are many.
_WRITER_CACHE: Final = "PRAGMA cache_size=-65536"
_READER_CACHE: Final = "PRAGMA cache_size=-32768"
#: What MySQL's clients call a server that cannot be reached.
_REFUSED: Final = 2003
SQL_MODE: Final = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"


def for_reading(url: URL) -> Engine:
    """Connections that see each statement's own moment and hold no transaction open."""
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=READERS,
        max_overflow=64,
        pool_timeout=BUSY_S,
        pool_pre_ping=not is_sqlite(url),
        connect_args=_connect_args(url, STATEMENT_S),
        isolation_level="AUTOCOMMIT",
    )
    _listen(engine, url)
    if is_sqlite(url):
        event.listen(engine, "connect", _with_cache(_READER_CACHE))
    return engine


def for_writing(url: URL, statement_s: int = STATEMENT_S) -> Engine:
    """Connections whose transactions see what others commit; SQLite's hold the write lock from their beginning on."""
    sqlite = is_sqlite(url)
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1,
        pool_timeout=BUSY_S,
        pool_pre_ping=not sqlite,
        connect_args=_connect_args(url, statement_s),
        **({} if sqlite else {"isolation_level": "READ COMMITTED"}),
    )
    _listen(engine, url)
    if sqlite:
        event.listen(engine, "connect", _with_cache(_WRITER_CACHE))
        event.listen(engine, "begin", _begin_immediate)
    if url.get_backend_name() == "postgresql":
        event.listen(engine, "connect", _find_by_keys)
    return engine


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _connect_args(url: URL, statement_s: int) -> dict[str, Any]:
    if is_sqlite(url):
        return {"timeout": BUSY_S, "check_same_thread": False}
    if url.get_backend_name() == "mysql":
        timeouts = {"connect_timeout": CONNECT_S, "read_timeout": statement_s, "write_timeout": statement_s}
        return {"charset": "utf8mb4", **timeouts}
    alive = {"keepalives_idle": CONNECT_S, "keepalives_interval": CONNECT_S, "keepalives_count": 3}
    return {"connect_timeout": CONNECT_S, "tcp_user_timeout": 1000 * 3 * CONNECT_S, "client_encoding": "utf8"} | alive


def _listen(engine: Engine, url: URL) -> None:
    event.listen(engine, "connect", _set_up(url))
    if url.get_driver_name() == "pymysql" and "unix_socket" in url.query:
        event.listen(engine, "do_connect", _connect_by_path)


def _connect_by_path(dialect: Any, _record: object, args: Any, params: dict[str, Any]) -> Any:
    """PyMySQL leaves the socket of a Unix address that refuses it open, each time: it gets one that is connected."""
    path = params["unix_socket"]
    with contextlib.ExitStack() as refused:
        sock = refused.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        sock.settimeout(params["connect_timeout"])
        try:
            sock.connect(path)
        except OSError as error:
            raise dialect.loaded_dbapi.OperationalError(_REFUSED, f"Can't connect to {path}: {error}") from error
        sock.settimeout(None)
        connection = dialect.connect(*args, **params, defer_connect=True)
        connection.connect(sock)
        refused.pop_all()
    return connection


def _set_up(url: URL) -> Any:
    return {"sqlite": _set_up_sqlite, "mysql": _set_up_mysql, "postgresql": _set_up_postgresql}[url.get_backend_name()]


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
    _turn_on_wal(connection)
    for pragma in _PRAGMAS:
        connection.execute(pragma).close()


def _with_cache(pragma: str) -> Any:
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(pragma).close()

    return set_up


def _turn_on_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for a lock here: who opens a new file just when another turns it on is refused at once."""
    give_up_at = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= give_up_at:
                raise
        time.sleep(_WAL_PAUSE_S)


def _set_up_mysql(connection: Any, _record: object) -> None:
    values: dict[str, object] = {
        "sql_mode": f"'{SQL_MODE}'",
        "time_zone": "'+00:00'",
        "collation_connection": "utf8mb4_bin",
        "innodb_lock_wait_timeout": _whole_s(BUSY_S),
    }
    if "mariadb" in connection.get_server_info().lower():
        values["idle_transaction_timeout"] = IDLE_S
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION " + ", ".join(f"{name} = {value}" for name, value in values.items()))


def _set_up_postgresql(connection: Any, _record: object) -> None:
    values = {
        "TimeZone": "UTC",
        "synchronous_commit": "on",
        "lock_timeout": f"{int(BUSY_S * 1000)}ms",
        "idle_in_transaction_session_timeout": f"{IDLE_S}s",
    }
    before = connection.autocommit
    connection.autocommit = True  # in a transaction, a rollback would take the settings back
    for name, value in values.items():
        connection.execute(f"SET SESSION {name} = '{value}'")
    connection.autocommit = before


def _find_by_keys(connection: Any, _record: object) -> None:
    """What is written is named by keys; PostgreSQL, where it knows a table little, would rather read all of it."""
    before = connection.autocommit
    connection.autocommit = True
    for plan in ("seqscan", "hashjoin", "mergejoin"):
        connection.execute(f"SET SESSION enable_{plan} = off")
    connection.autocommit = before


def _whole_s(seconds: float) -> int:
    return max(1, round(seconds))


def _begin_immediate(conn: Connection) -> None:
    driver.execute(conn, "BEGIN IMMEDIATE", (), driver.nothing)
