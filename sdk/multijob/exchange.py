"""Between futures and the server: one thread sends what was submitted, one reads what has finished.

All jobs of an exchange are in one batch, so that a single question follows them. Both threads begin with the first
order and end when the exchange is closed and nothing is left to come; neither keeps the process alive.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from . import inputs
from .course import Course
from .errors import MultiJobError, NotFound
from .future import Awaited, Call
from .jobset import JobSet
from .outbox import Order, Outbox
from .results import PAGE_SIZE, PAUSE_S, WAIT_S
from .retrying import persist
from .stream import End
from .values import Result

if TYPE_CHECKING:
    from .client import Client

#: While so many jobs of maps are out, and only such, results are asked for again after this time.
MUCH_JOBS = 32
REST_S = 0.03


class Exchange:
    """Safe to be used by any thread. ``patience_s``: how long the server may be away before futures fail."""

    def __init__(self, client: Client, batch: str, patience_s: float) -> None:
        self._client = client
        self._batch = batch
        self._pid = os.getpid()
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._outbox = Outbox()
        #: Those of the request that is on its way.
        self._sending: Sequence[Order] = ()
        #: By the id of their job: what has been sent and has not come back.
        self._out: dict[int, Order] = {}
        #: Results that came before the answer to the request that made their jobs.
        self._early: dict[int, Result] = {}
        self._cursor: int | None = None
        #: What came back and is being told, by thread; of a shared job some calls may have to be sent again.
        self._telling: list[list[Order]] = []
        #: How many are still withdrawing what was abandoned.
        self._abandoning = 0
        self._closed = False
        self._threads: list[threading.Thread] = []

    # ------------------------------------------------------------------------------------------------- for callers

    def add(self, orders: Iterable[Order]) -> None:
        """Send these as soon as possible. Raises RuntimeError once closed."""
        with self._adding():
            self._outbox.put(orders)

    def add_course(self, course: Course) -> None:
        """Send a map's calls as they are added, the first at once. Raises RuntimeError once closed."""
        with self._adding():
            self._outbox.put_course(course)

    def add_call(self, course: Course, call: Call) -> None:
        """Another call of a map. Raises RuntimeError once closed."""
        with self._changed:
            self.check_open()
            if course.add(call, time.monotonic()):
                self._changed.notify_all()

    def close_course(self, course: Course) -> None:
        """That map has no more calls."""
        with self._changed:
            course.close()
            self._changed.notify_all()

    def let_send(self, limit_s: float) -> None:
        """Wait until nothing is on its way to the server that could be sent now."""
        with self._changed:
            self._changed.wait_for(lambda: not self._sending and not self._outbox.is_due(time.monotonic()), limit_s)

    def wait_for(self, call: Call, limit_s: float | None) -> bool:
        """Wait until something came of a call; whether it did in time."""
        with self._changed:
            return self._changed.wait_for(call.done, limit_s)

    def check_open(self) -> None:
        """Raise RuntimeError where it takes no more."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._is_in_a_child:
            raise RuntimeError("this executor belongs to the process that was forked; make one in this process")

    def close(self) -> None:
        """Take no more; what was taken goes on."""
        if self._is_in_a_child:
            return
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until everything has come back, which a future's callback cannot; the exchange has to be closed."""
        if threading.current_thread() not in self._threads:
            for thread in self._threads:
                thread.join()

    def flush(self, limit_s: float) -> None:
        """Wait until everything has been sent, which holds nothing back, or withdrawn."""
        if self._is_in_a_child:
            return
        with self._changed:
            self._outbox.hurry()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not (self._outbox or self._sending or self._abandoning), limit_s)

    def awaited(self) -> list[Awaited]:
        """Whatever has not come back yet."""
        with self._changed:
            orders = [*self._sending, *self._out.values(), *chain.from_iterable(self._telling)]
            return [*self._outbox.awaited(), *(future for order in orders for future in order.futures)]

    def abandon(self, calls: Sequence[Call]) -> None:
        """Withdraw these, which nobody will ask for any more, without waiting for the server.

        It may be the garbage collector that says so: on any thread, also on one of ours that would wait for itself; in
        a child of fork; or when the process ends and no thread runs any more.
        """
        if not calls or self._is_in_a_child or sys.is_finalizing():
            return
        with self._changed:
            self._abandoning += 1
        quitter = threading.Thread(target=self._withdraw_abandoned, args=(list(calls),), daemon=True)
        quitter.start()

    def withdraw(self, futures: Iterable[Awaited], *, running: bool = False) -> bool:
        """Let their jobs not run, or (``running``) not run on; whether any was stopped by this.

        What has not been sent is taken back at once; the others are cancelled when the server says that they ended.
        """
        wanted = {future for future in futures if not future.done()}
        for future in wanted:
            future.withdrawn = True
        back = self._take_back(wanted)
        for future in back:
            future.cancelled_by_us()
        sent = self._sent_of(wanted - back)
        stopped = self._kill(sent, running=running)
        if stopped and len(sent) == 1:
            for _, order in self._taken(set(sent)):
                order.cancelled_by_us()
        self._wake()
        return stopped or bool(back)

    @contextmanager
    def _adding(self) -> Iterator[None]:
        with self._changed:
            self.check_open()
            yield
            if not self._threads:
                self._start()
            self._changed.notify_all()

    @property
    def _is_in_a_child(self) -> bool:
        """Of fork: it has got the object, but none of its threads."""
        return self._pid != os.getpid()

    def _wake(self) -> None:
        """Something came of somebody's call."""
        with self._changed:
            self._changed.notify_all()

    # ------------------------------------------------------------------------------------------------- withdrawing

    def _withdraw_abandoned(self, calls: Sequence[Call]) -> None:
        try:
            self.withdraw(calls)
        finally:
            with self._changed:
                self._abandoning -= 1
                self._changed.notify_all()

    def _take_back(self, wanted: set[Awaited]) -> set[Awaited]:
        with self._changed:
            back = self._outbox.take_back(wanted)
            self._changed.notify_all()
        return back

    def _sent_of(self, wanted: set[Awaited]) -> dict[int, Order]:
        """Jobs nobody else waits for, by their ids, once the request that is on its way has been answered."""
        with self._changed:
            self._changed.wait_for(lambda: all(wanted.isdisjoint(order.futures) for order in self._sending))
            return {
                job_id: order
                for job_id, order in self._out.items()
                if all(future in wanted or future.done() for future in order.futures)
            }

    def _kill(self, sent: dict[int, Order], *, running: bool) -> bool:
        if not sent:
            return False
        filters = {} if running else {"status": "waiting"}
        try:
            return self._client.kill(JobSet.of(sent), **filters).changed > 0
        except MultiJobError:
            return False  # it could not be cancelled, which is what the caller is told

    # ---------------------------------------------------------------------------------------------------- sending

    def _start(self) -> None:
        for work, name in ((self._send_all, "sender"), (self._read_all, "reader")):
            self._threads.append(threading.Thread(target=work, name=f"multijob-{name}", daemon=True))
        for thread in self._threads:
            thread.start()

    def _send_all(self) -> None:
        while orders := self._next_orders():
            self._send_or_tell(orders)
            del orders  # nor keep what came of it until the next is sent

    def _send_or_tell(self, orders: Sequence[Order]) -> None:
        try:
            self._send(orders)
        except BaseException as error:  # noqa: BLE001 - whoever waits has to be told
            self._undo(orders, error)

    def _next_orders(self) -> Sequence[Order]:
        """What fits one request; empty when the exchange is closed and all is sent."""
        with self._changed:
            while not self._outbox.is_due(time.monotonic()) and not (self._closed and self._is_over()):
                due_at_s = self._outbox.due_at_s()
                self._changed.wait(None if due_at_s is None else max(0.0, due_at_s - time.monotonic()))
            self._sending = self._outbox.take()
            return self._sending

    def _send(self, orders: Sequence[Order]) -> None:
        options = {**self._client._options, "batch": self._batch, "job_type": orders[0].job_type}  # noqa: SLF001
        [body] = inputs.bodies(options, [order.item for order in orders], len(orders))
        key = uuid.uuid4().hex
        stored = persist(lambda: self._client._post_jobs(body, key), self._patience_s)  # noqa: SLF001 - a part of the client
        self._sent(orders, stored["first_id"], stored["cursor"])

    def _sent(self, orders: Sequence[Order], first_id: int, cursor: int) -> None:
        with self._changed:
            self._out.update((job_id, order.sent(job_id)) for job_id, order in enumerate(orders, first_id))
            early = [row for job_id, row in self._early.items() if job_id in self._out]
            self._early.clear()
            self._cursor = cursor if self._cursor is None else self._cursor
            self._sending = ()
            self._changed.notify_all()
        self._settle(early)

    def _undo(self, orders: Sequence[Order], error: BaseException) -> None:
        if isinstance(error, NotFound):
            self._client.forget_function_types()
        with self._changed:
            self._sending = ()
            self._changed.notify_all()
        for order in orders:
            order.failed_with(error)
        self._wake()

    # ---------------------------------------------------------------------------------------------------- reading

    def _read_all(self) -> None:
        while self._wait_for_some():
            self._read_or_tell()
            self._rest()

    def _rest(self) -> None:
        """While much is out and nothing hangs on it, a page a moment: each costs a question, whatever it brings.

        Not where futures are out: whoever holds them may wait for one to submit the next.
        """
        with self._changed:
            if any(order.course is None for order in self._out.values()):
                return
            self._changed.wait_for(lambda: len(self._out) < MUCH_JOBS or self._outbox.is_learning, REST_S)

    def _read_or_tell(self) -> None:
        try:
            persist(self._read_page, self._patience_s)
        except BaseException as error:  # noqa: BLE001 - whoever waits has to be told
            self._give_up(error)

    def _wait_for_some(self) -> bool:
        """Whether anything is out; False when nothing will be any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._out or (self._closed and self._is_over()))
            return bool(self._out)

    def _read_page(self) -> None:
        """What has finished since; waits for the first. Whoever is missing without having finished was deleted."""
        with self._changed:
            asked = set(self._out)
            question = {"batch": self._batch, "cursor": self._cursor, "limit": PAGE_SIZE, "wait_s": WAIT_S}
        quiet, asked_at = True, time.monotonic()
        for part in self._client._page(question):  # noqa: SLF001 - a part of the client
            if not isinstance(part, End):
                quiet = False
                self._settle(part)
                continue
            self._cursor = part.cursor
            if quiet and part.pending is not None and part.pending < len(asked):
                self._look_for(asked)
        if quiet and time.monotonic() - asked_at < PAUSE_S:
            time.sleep(PAUSE_S)

    def _look_for(self, asked: set[int]) -> None:
        """Ask for each by its id; who neither has finished nor is there any more will never come back."""
        with self._changed:
            wanted = JobSet.of(asked & self._out.keys())
        self._settle(list(self._client.results(wanted, wait=False)))
        there = {job.id for job in self._client.jobs(ids=wanted, size=1000)}
        for job_id, order in self._taken(set(wanted) - there):
            order.failed_with(NotFound(f"job {job_id} was deleted before its result was read"))
        self._wake()

    def _settle(self, rows: Sequence[Result]) -> None:
        """Hand finished jobs to those who wait; keep what may belong to a request that has not been answered yet."""
        with self._changed:
            known = dict(self._taken({row.id for row in rows}))
            telling = list(known.values())
            self._telling.append(telling)
            if self._sending:
                self._early.update({row.id: row for row in rows if row.id not in known})
        again: list[Order] = []
        try:
            for row in rows:
                if row.id in known:
                    again += known.pop(row.id).settle(row)
        finally:
            with self._changed:
                self._telling = [told for told in self._telling if told is not telling]
                self._outbox.put(again)
                self._changed.notify_all()

    def _is_over(self) -> bool:
        """Whether nothing is left to be sent or to come; calls of a shared job may come back to be sent again."""
        return not (self._outbox or self._sending or self._out or self._telling)

    def _taken(self, job_ids: set[int]) -> list[tuple[int, Order]]:
        """Whoever takes a job out settles its futures, and nobody else."""
        with self._changed:
            taken = [(job_id, self._out.pop(job_id)) for job_id in job_ids & self._out.keys()]
            self._changed.notify_all()
        return taken

    def _give_up(self, error: BaseException) -> None:
        with self._changed:
            job_ids = set(self._out)
        for _, order in self._taken(job_ids):
            order.failed_with(error)
        self._wake()
