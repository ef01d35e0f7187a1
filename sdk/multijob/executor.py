"""``concurrent.futures`` on machines: an Executor whose calls are jobs."""

from __future__ import annotations

import atexit
import concurrent.futures
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import length_hint
from typing import TYPE_CHECKING, Any

from . import payload
from .client import Client
from .course import Course
from .exchange import Exchange
from .future import Call, FunctionFuture
from .grouping import TRIAL_CALLS, fewest_jobs
from .outbox import Order
from .payload import Function
from .pickling import ByValue

if TYPE_CHECKING:
    from typing_extensions import Self

#: So long the first calls of a map may take to be sent before its other arguments are read: both want the interpreter.
_LET_SEND_S = 0.05
#: When the process ends, what was submitted and is not sent yet may take so long.
_FLUSH_S = 30.0
_exchanges: weakref.WeakSet[Exchange] = weakref.WeakSet()


class Executor(concurrent.futures.Executor):
    """Calls functions on the machines of a server: ``with Executor() as executor: executor.map(f, items)``.

    Results and exceptions come back as Python objects; an exception's cause is a JobFailed that knows the traceback
    from there, machine, attempt and version. All calls are jobs of one ``batch``. ``by_value``: modules that are sent
    along, because the machines have not got them; ``packages``: what the calls import, as in a requirements file,
    installed on each machine once. ``limit_count``: how often a call that failed is made again, also
    after an exception; without one an exception is final, and a call is made once more where its machine or process was
    lost; 0: at most one call, and none is sent to a machine before its turn. ``patience_s``: how long the server may be
    away.
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        batch: str | None = None,
        tag: str | None = None,
        priority: int | None = None,
        limit_count: int | None = None,
        by_value: ByValue = (),
        packages: Iterable[str] = (),
        patience_s: float = 600.0,
    ) -> None:
        self.batch = batch or f"executor-{uuid.uuid4().hex[:8]}"
        self._by_value = tuple(by_value)
        self._client = (client or Client()).using(
            tag=tag, priority=priority, limit_count=limit_count, packages=packages or None
        )
        self._exchange = Exchange(self._client, self.batch, patience_s)
        _exchanges.add(self._exchange)
        # Nobody can submit any more once it is forgotten: then the threads may end.
        weakref.finalize(self, self._exchange.close).atexit = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> FunctionFuture:
        """Call ``fn(*args, **kwargs)`` on some machine; arguments are pickled now. Sent soon after it returns."""
        self._exchange.check_open()
        sent = payload.function(fn, self._by_value)
        item = payload.one_call(sent.head(retried=self._client.retries(None)), args, kwargs, self._by_value)
        future = FunctionFuture(self._client, self._exchange)
        self._exchange.add([Order(self._client.function_type(), item, [future])])
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
    ) -> Iterator[Any]:
        """Like the built-in ``map``, ``chunksize`` calls a job; raises TimeoutError ``timeout`` seconds from now.

        Without a chunksize: one call a job, until the first of many turn out to take milliseconds; then as many of the
        others as take 50 ms share a job, and are made again together where their machine was lost. With a
        ``limit_count`` they never do. The first are sent while the iterables are still being read; where one of those
        raises, calls that have not begun are cancelled.
        """
        end_at = None if timeout is None else timeout + time.monotonic()
        self._exchange.check_open()
        sent = payload.function(fn, self._by_value)
        if chunksize is None and not self._client.says_how_often():
            return self._answers(self._course(sent, iterables), end_at, listed=False)
        pieces = list(payload.pieces(zip(*iterables), 1 if chunksize is None else chunksize))
        job_type, head = self._prepared(sent, len(pieces))
        calls = [Call() for _ in pieces]
        items = (payload.many_calls(head, piece, self._by_value) for piece in pieces)
        self._exchange.add([Order(job_type, item, [call]) for item, call in zip(items, calls)])
        return self._answers(calls, end_at, listed=True)

    def cancel(self, futures: Iterable[FunctionFuture] | None = None, *, running: bool = False) -> None:
        """Let these calls (all) not begin, in one request; ``running``: kill also what runs of them."""
        self._exchange.withdraw(self._exchange.awaited() if futures is None else futures, running=running)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. ``cancel_futures``: those that have not begun are not made."""
        self._exchange.close()
        if cancel_futures:
            self.cancel()
        if wait:
            self._exchange.join()

    def __enter__(self) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<Executor on {self._client.base_url}, batch {self.batch}>"

    # -------------------------------------------------------------------------------------------------------- inside

    def _prepared(self, sent: Function, jobs: int) -> tuple[str, dict[str, Any]]:
        """The job type for so many jobs that call it, and what each says of it."""
        apart = sent.goes_apart(jobs)
        job_type = self._client.function_type(sent.data if apart else b"")
        return job_type, sent.head(apart=apart, retried=self._client.retries(None))

    def _course(self, sent: Function, iterables: Sequence[Iterable[Any]]) -> list[Call]:
        """A call for each of the arguments, sent while they are read."""
        hint, source = _about_how_many(iterables), zip(*iterables)
        first = list(islice(source, 1))
        if not first:
            return []
        job_type, head = self._prepared(sent, fewest_jobs(hint))
        room_bytes = payload.room_in_group(head)
        course = Course(job_type, head)
        self._exchange.add_course(course)
        calls: list[Call] = []
        try:
            for args in chain(first, source):
                call = Call(payload.arguments(args, self._by_value))
                if len(call.data) > room_bytes:
                    payload.check_group(head, call.data)
                calls.append(call)
                self._exchange.add_call(course, call)
                if len(calls) == TRIAL_CALLS:
                    self._exchange.let_send(_LET_SEND_S)
        except BaseException:
            self._exchange.abandon(calls)
            raise
        finally:
            self._exchange.close_course(course)
        return calls

    def _answers(self, calls: list[Call], end_at: float | None, *, listed: bool) -> Iterator[Any]:
        """What the calls answer (lists of it), in order; the rest is cancelled after a failure, or where unwanted."""
        calls.reverse()
        exchange = self._exchange

        def answers() -> Iterator[Any]:
            try:
                while calls:
                    if not calls[-1].done():
                        left_s = None if end_at is None else end_at - time.monotonic()
                        if not exchange.wait_for(calls[-1], left_s):
                            raise concurrent.futures.TimeoutError
                    answered = calls.pop().take()
                    answered = answered[::-1] if listed else [answered]
                    while answered:  # and keep nothing of what was handed out
                        yield answered.pop()
            finally:
                exchange.abandon(calls)

        return answers()


def _about_how_many(iterables: Sequence[Iterable[Any]]) -> int:
    """How many calls they make, as far as they say: the least that any of them does."""
    said = [hint for hint in map(_length, iterables) if hint is not None]
    return min(said, default=payload.UNKNOWN_JOBS)


def _length(iterable: Iterable[Any]) -> int | None:
    """None where it does not say; the longest range says too much for an int of C."""
    try:
        said = length_hint(iterable, -1)
    except OverflowError:
        return None
    return None if said < 0 else said


def _send_what_waits() -> None:
    """What was submitted is submitted, though the process ends: jobs run without it."""
    for exchange in list(_exchanges):
        exchange.flush(_FLUSH_S)


atexit.register(_send_what_waits)
