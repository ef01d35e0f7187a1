"""The only memory of the server, and the only SQL: opens the database, gives out reads, takes writes.

Every module beside this one is a noun with its statements. Reads run at once, each on a connection of its own; writes
are functions of a ``Tx`` that the single writer runs in groups.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, insert, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from jobs.errors import StoreUnavailable
from jobs.store import address, engines, migrate, schema
from jobs.store.refusals import meaning
from jobs.store.tx import Tx
from jobs.store.writer import Writer

__all__ = ["Store", "Tx"]

T = TypeVar("T")
Item = TypeVar("Item")


class Store:
    """An open database. Safe to use from any thread; ``close`` it once."""

    def __init__(self, url: str) -> None:
        parsed = address.parse(url)
        self._read_engine = engines.for_reading(parsed)
        self._write_engine = engines.for_writing(parsed)
        self._writer = Writer(self._write_engine)

    @classmethod
    def open(cls, url: str) -> "Store":
        """Bring the database at this URL up to date and open it. Raises StoreTooNew, StoreUnfit, StoreUnavailable."""
        engine = engines.for_writing(address.parse(url), migrate.STATEMENT_S)
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

    def write_together(self, act: Callable[[Tx, list[Item]], Sequence[T]], item: Item) -> T:
        """As ``write``, but ``act`` is given all items that wait for it at this moment, and answers for each."""
        joined: Future[Any] = self.submit_write(lambda tx: tx.join(act, item))
        answer: T = joined.result()
        return answer

    def fence(self, check: Callable[[Connection], None]) -> None:
        """From now on every transaction begins with this; what it raises keeps anything from being written."""
        self._writer.fence = check

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees everything committed; every statement sees its own moment."""
        try:
            with self._read_engine.connect() as conn:
                yield conn
        except (DBAPIError, NoConnectionLeft) as error:
            raise meaning(error) from error

    def healthy(self) -> bool:
        """Whether a write goes through now."""
        try:
            self.write(_touch)
        except StoreUnavailable:
            return False
        return True

    def close(self) -> None:
        """Finish the writes that wait, then let go of the database. Harmless when called again."""
        self._writer.close()
        self._read_engine.dispose()
        self._write_engine.dispose()


_HEALTH: Final = "healthy_at"


def _touch(tx: Tx) -> None:
    """A real write: asking would succeed also where the disk is full or the database has become read-only."""
    mark = {"value": repr(time.time())}
    if not tx.conn.execute(update(schema.meta).where(schema.meta.c.key == _HEALTH).values(mark)).rowcount:
        tx.conn.execute(insert(schema.meta).values(key=_HEALTH, **mark))
