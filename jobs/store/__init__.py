"""The only memory of the server, and the only SQL: opens the database, gives out reads, takes writes.

Every module beside this one is a noun with its statements. Reads run at once, each on a connection of its own; writes
are functions of a ``Tx`` that the single writer runs in groups.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from jobs.errors import StoreUnavailable
from jobs.store import engines, migrate
from jobs.store.refusals import meaning
from jobs.store.tx import Tx
from jobs.store.writer import Writer

__all__ = ["Store", "Tx"]

T = TypeVar("T")


class Store:
    """An open database. Safe to use from any thread; ``close`` it once."""

    def __init__(self, url: str) -> None:
        self._read_engine = engines.for_reading(url)
        self._write_engine = engines.for_writing(url)
        self._writer = Writer(self._write_engine)

    @classmethod
    def open(cls, url: str) -> "Store":
        """Bring the database at this URL up to date and open it. Raises StoreTooNew, StoreUnavailable."""
        engine = engines.for_writing(url)
        try:
            migrate.upgrade(engine)
        except DBAPIError as error:
            raise StoreUnavailable(f"the database cannot be opened: {error.orig}") from error
        finally:
            engine.dispose()
        return cls(url)

    def write(self, op: Callable[[Tx], T]) -> T:
        """Run this in a transaction and wait for its commit. Not from within an operation."""
        return self.submit_write(op).result()

    def submit_write(self, op: Callable[[Tx], T]) -> "Future[T]":
        """The same without waiting. The operation may be run twice, so it must have no effect but through its Tx."""
        return self._writer.submit(op)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees everything committed; every statement sees its own moment."""
        try:
            with self._read_engine.connect() as conn:
                yield conn
        except DBAPIError as error:
            raise meaning(error) from error

    def healthy(self) -> bool:
        """Whether a write goes through now."""
        try:
            self.write(lambda tx: tx.conn.execute(text("SELECT 1")))
        except StoreUnavailable:
            return False
        return True

    def close(self) -> None:
        """Finish the writes that wait, then let go of the database. Harmless when called again."""
        self._writer.close()
        self._read_engine.dispose()
        self._write_engine.dispose()
