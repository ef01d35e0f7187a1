"""``concurrent.futures`` on machines: an Executor whose calls are jobs."""

from __future__ import annotations

import atexit
import concurrent.futures
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import payload
from .client import Client
from .exchange import Exchange
from .future import FunctionFuture
from .outbox import Call, Course, Order, fewest_jobs
from .payload import Function
from .pickling import ByValue
from .values import Input

if TYPE_CHECKING:
    from typing_extensions import Self

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
        #: Weakly held, so that futures nobody keeps do not pile up here.
        self._futures: weakref.WeakSet[FunctionFuture] = weakref.WeakSet()
        _exchanges.add(self._exchange)
        # Nobody can submit any more once it is forgotten: then the threads may end.
        weakref.finalize(self, self._exchange.close).atexit = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> FunctionFuture:
        """Call ``fn(*args, **kwargs)`` on some machine; arguments are pickled now. Sent soon after it returns."""
        self._check_open()
        sent = payload.function(fn, self._by_value)
        item = payload.one_call(sent.head(retried=self._client.retries(None)), args, kwargs, self._by_value)
        return self._order(self._client.function_type(), [item])[0]

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
    ) -> Iterator[Any]:
        """Like the built-in ``map``, ``chunksize`` calls a job; raises TimeoutError ``timeout`` seconds from now.

        Without a chunksize: one call a job, until the first of many turn out to take milliseconds; then as many of the
        others as take 20 ms share a job, and are made again together where their machine was lost. With a
        ``limit_count`` they never do.
        """
        end_at = None if timeout is None else timeout + time.monotonic()
        self._check_open()
        sent = payload.function(fn, self._by_value)
        if chunksize is None and not self._client.says_how_often():
            calls = [payload.arguments(args, self._by_value) for args in zip(*iterables)]
            return self._answers(self._course(sent, calls), end_at, listed=False)
        pieces = list(payload.pieces(zip(*iterables), 1 if chunksize is None else chunksize))
        job_type, head = self._prepared(sent, len(pieces))
        items = [payload.many_calls(head, piece, self._by_value) for piece in pieces]
        return self._answers(self._order(job_type, items), end_at, listed=True)

    def cancel(self, futures: Iterable[FunctionFuture] | None = None, *, running: bool = False) -> None:
        """Let these calls (all) not begin, in one request; ``running``: kill also what runs of them."""
        self._exchange.withdraw(self._futures if futures is None else futures, running=running)

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

    def _check_open(self) -> None:
        if self._exchange.closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _prepared(self, sent: Function, jobs: int) -> tuple[str, dict[str, Any]]:
        """The job type for so many jobs that call it, and what each says of it."""
        apart = sent.goes_apart(jobs)
        job_type = self._client.function_type(sent.data if apart else b"")
        return job_type, sent.head(apart=apart, retried=self._client.retries(None))

    def _order(self, job_type: str, items: Iterable[Input]) -> list[FunctionFuture]:
        orders = [Order(job_type, item, [self._future()]) for item in items]
        self._exchange.add(orders)
        return self._kept([order.futures[0] for order in orders])

    def _course(self, sent: Function, calls: Sequence[bytes]) -> list[FunctionFuture]:
        futures = [self._future() for _ in calls]
        if futures:
            job_type, head = self._prepared(sent, fewest_jobs(len(calls)))
            payload.check_group(head, max(calls, key=len))
            self._exchange.add_course(Course(job_type, head, map(Call, futures, calls)))
        return self._kept(futures)

    def _future(self) -> FunctionFuture:
        return FunctionFuture(self._client, self._exchange)

    def _kept(self, futures: list[FunctionFuture]) -> list[FunctionFuture]:
        self._futures.update(futures)
        return futures

    def _answers(self, futures: list[FunctionFuture], end_at: float | None, *, listed: bool) -> Iterator[Any]:
        """What the futures answer (lists of it), in order; the rest is cancelled after a failure, or where unwanted."""
        futures.reverse()
        exchange = self._exchange

        def answers() -> Iterator[Any]:
            try:
                while futures:
                    left_s = None if end_at is None else end_at - time.monotonic()
                    answered = futures[-1].result(left_s)
                    futures.pop()
                    answered = answered[::-1] if listed else [answered]
                    while answered:  # and keep nothing of what was handed out
                        yield answered.pop()
            finally:
                exchange.withdraw(futures)

        return answers()


def _send_what_waits() -> None:
    """What was submitted is submitted, though the process ends: jobs run without it."""
    for exchange in list(_exchanges):
        exchange.flush(_FLUSH_S)


atexit.register(_send_what_waits)
