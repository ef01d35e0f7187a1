"""Connections to the database; SQLite set up so that a commit is durable and readers never wait for the writer."""

import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

#: How long to wait for another process that holds SQLite's write lock.
BUSY_S = 10
#: Every thread of the page and API may read at the same time.
READERS = 16

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-65536",
)


def for_reading(url: str) -> Engine:
    """Connections that see each statement's own moment and hold no transaction open."""
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=READERS,
        max_overflow=64,
        pool_pre_ping=not _is_sqlite(url),
        connect_args=_connect_args(url),
        isolation_level="AUTOCOMMIT",
    )
    if _is_sqlite(url):
        event.listen(engine, "connect", _set_up_sqlite)
    return engine


def for_writing(url: str) -> Engine:
    """Connections whose transactions hold the write lock from their first statement on."""
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=1, pool_pre_ping=not _is_sqlite(url), connect_args=_connect_args(url)
    )
    if _is_sqlite(url):
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def _connect_args(url: str) -> dict[str, Any]:
    return {"timeout": BUSY_S, "check_same_thread": False} if _is_sqlite(url) else {}


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
    for pragma in _PRAGMAS:
        connection.execute(pragma).close()


def _begin_immediate(conn: Connection) -> None:
    conn.exec_driver_sql("BEGIN IMMEDIATE")
