"""The single writer: one thread, one connection, and as many operations to a commit as are waiting (group commit).

An fsync costs the same for one operation as for a hundred. Operations that wait together share a transaction; when one
of them raises, the transaction is rolled back and each is run again alone, so that nobody pays for a neighbour.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from jobs.errors import StoreUnavailable
from jobs.store.refusals import meaning
from jobs.store.tx import Tx

_log = logging.getLogger(__name__)

#: Bounds how long one transaction can grow; operations are small, or limited by a request's size.
GROUP_LIMIT = 64

T = TypeVar("T")


class _Waiting(NamedTuple):
    op: Callable[[Tx], Any]
    future: "Future[Any]"


class Writer:
    """Owns the writer thread. ``submit`` from any thread; ``close`` runs what is waiting and ends the thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inbox: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._conn: Connection | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, op: Callable[[Tx], T]) -> "Future[T]":
        """Run this in a transaction; the future gives its answer once that is committed."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._inbox.put(_Waiting(op, future))
        return future

    def close(self) -> None:
        """Finish what was submitted, then end. Harmless when called again."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._inbox.put(None)
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            self._serve(group)
        self._disconnect()

    def _next_group(self) -> list[_Waiting]:
        """All operations that wait, at least one; empty when the writer is to end."""
        first = self._inbox.get()
        group = [] if first is None else [first]
        while group and len(group) < GROUP_LIMIT:
            try:
                following = self._inbox.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._inbox.put(None)
                break
            group.append(following)
        return group

    def _serve(self, group: Sequence[_Waiting]) -> None:
        alive = [one for one in group if one.future.set_running_or_notify_cancel()]
        try:
            self._commit(alive)
        except Exception as error:  # noqa: BLE001  (whatever an operation raises belongs to its caller)
            if len(alive) == 1:
                alive[0].future.set_exception(meaning(error))
            else:
                self._one_by_one(alive)

    def _one_by_one(self, group: Sequence[_Waiting]) -> None:
        for one in group:
            try:
                self._commit([one])
            except Exception as error:  # noqa: BLE001  (as above)
                one.future.set_exception(meaning(error))

    def _commit(self, group: Sequence[_Waiting]) -> None:
        tx = Tx(self._connected())
        try:
            with tx.conn.begin():
                answers = [one.op(tx) for one in group]
                tx.flush()
        except DBAPIError as error:
            if error.connection_invalidated:
                self._disconnect()
            raise
        _ring(tx.committed())
        for one, answer in zip(group, answers, strict=True):
            one.future.set_result(answer)

    def _connected(self) -> Connection:
        if self._conn is None:
            self._conn = self._engine.connect()
        return self._conn

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


def _ring(bells: Sequence[Callable[[], object]]) -> None:
    for bell in bells:
        try:
            bell()
        except Exception:  # noqa: BLE001  (as above: the commit stands)
            _log.exception("a hook of the store failed; what it was told about is stored")
