"""The single writer: one thread, one connection, and as many operations to a commit as are waiting (group commit).

An fsync costs the same for one operation as for a hundred. Operations that wait together share a transaction; when one
of them raises, the transaction is rolled back and each is run again alone, so that nobody pays for a neighbour.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import DBAPIError

from jobs.errors import StoreUnavailable
from jobs.store.refusals import Verdict, judge, meaning
from jobs.store.tx import Later, Tx

_log = logging.getLogger(__name__)

#: Bounds how long one transaction can grow; operations are small, or limited by a request's size.
GROUP_LIMIT = 64
#: A transaction that met another one is tried so often, after a pause of up to so long.
TRIES: Final = 5
PAUSE_S: Final = 0.05

T = TypeVar("T")


class _Waiting(NamedTuple):
    op: Callable[[Tx], Any]
    future: "Future[Any]"


def _no_fence(_conn: Connection) -> None:
    """Who has not taken the lead (a further web process) writes what it may without asking."""


class Writer:
    """Owns the writer thread. ``submit`` from any thread; ``close`` runs what is waiting and ends the thread."""

    def __init__(self, engine: Engine) -> None:
        #: Called at the beginning of every transaction; what it raises keeps anything from being written.
        self.fence: Callable[[Connection], None] = _no_fence
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
            if len(alive) == 1 or judge(error) is Verdict.AWAY:
                _refuse(alive, error)
            else:
                self._one_by_one(alive)

    def _one_by_one(self, group: Sequence[_Waiting]) -> None:
        for at, one in enumerate(group):
            try:
                self._commit([one])
            except Exception as error:  # noqa: BLE001  (as above)
                if judge(error) is Verdict.AWAY:
                    return _refuse(group[at:], error)  # not one after the other, each waiting for itself
                _refuse([one], error)
        return None

    def _commit(self, group: Sequence[_Waiting]) -> None:
        """All of the group in one transaction, tried again where somebody else was in the way."""
        for left in reversed(range(TRIES)):
            try:
                return self._transact(group)
            except Exception as error:
                if not left or judge(error) is not Verdict.AGAIN:
                    raise
                time.sleep(random.random() * PAUSE_S)  # noqa: S311  (so that two do not meet again)
        return None

    def _transact(self, group: Sequence[_Waiting]) -> None:
        tx = Tx(self._connected())
        transaction = tx.conn.begin()
        try:
            self.fence(tx.conn)
            answers = [one.op(tx) for one in group]
            tx.flush()
        except BaseException as error:
            self._give_up(transaction, error)
            raise
        self._end(transaction)
        _ring(tx.committed())
        for one, answer in zip(group, answers, strict=True):
            one.future.set_result(answer.answer if isinstance(answer, Later) else answer)

    def _give_up(self, transaction: RootTransaction, error: BaseException) -> None:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            self._disconnect()
        else:
            transaction.rollback()

    def _end(self, transaction: RootTransaction) -> None:
        """Commit. Where that fails, nobody knows what was kept: it is not tried again, and the callers are told."""
        try:
            transaction.commit()
        except DBAPIError as error:
            self._disconnect()
            raise StoreUnavailable(f"the database did not confirm; it may be stored or not: {error.orig}") from error

    def _connected(self) -> Connection:
        if self._conn is None:
            self._conn = self._engine.connect()
        return self._conn

    def _disconnect(self) -> None:
        """Let go of the connection; whatever state it is in, nobody uses it again."""
        if self._conn is not None:
            self._conn.invalidate()
            self._conn.close()
            self._conn = None


def _refuse(group: Sequence[_Waiting], error: Exception) -> None:
    for one in group:
        one.future.set_exception(meaning(error))


def _ring(bells: Sequence[Callable[[], object]]) -> None:
    for bell in bells:
        try:
            bell()
        except Exception:  # noqa: BLE001  (as above: the commit stands)
            _log.exception("a hook of the store failed; what it was told about is stored")
