"""Who waits for what a function call answers: a future, the standard library's; or a map, for each of its calls."""

from __future__ import annotations

import concurrent.futures
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union

from . import payload, pickling
from .values import FINAL, Result

if TYPE_CHECKING:
    from .client import Client
    from .exchange import Exchange

log = logging.getLogger(__name__)

#: Until what was stopped is known to be; the server has said so already.
_SETTLING_S = 10.0


class FunctionFuture(concurrent.futures.Future[Any]):
    """Made by ``Executor``. Each is settled once: by the thread that reads results, or by who cancels it."""

    def __init__(self, client: Client, exchange: Exchange) -> None:
        super().__init__()
        self._client = client
        self._exchange = exchange
        #: The job's id; None until the server has stored it.
        self.job_id: int | None = None
        #: Somebody here asked that it does not run: that it was killed is no failure then.
        self.withdrawn = False

    def cancel(self, *, running: bool = False) -> bool:
        """Let it not be called; False where a machine has it already. ``running``: then too; what runs is killed."""
        if not self.done() and self._exchange.withdraw([self], running=running):
            concurrent.futures.wait([self], _SETTLING_S)
        return self.cancelled()

    def running(self) -> bool:
        """Whether a machine has it now. Asks the server."""
        if self.done() or self.job_id is None:
            return False
        status = self._client.job(self.job_id).status
        return status not in FINAL and status != 0

    # --------------------------------------------------------------------------------------------- for the exchange

    def cancelled_by_us(self) -> None:
        """It will not be called."""
        if super().cancel():
            self.set_running_or_notify_cancel()

    def finished(self, row: Result) -> None:
        """Its job has ended."""
        if self.withdrawn and row.reason == "killed":
            self.cancelled_by_us()
            return
        self._settled(lambda: payload.answer_of(row))

    def answered(self, pickled: bytes) -> None:
        """Its call has been made, and this came of it."""
        self._settled(lambda: pickling.loads(pickled))

    def dropped(self) -> bool:
        """Whether nobody wants its call to be made any more; it is cancelled then."""
        if self.withdrawn:
            self.cancelled_by_us()
        return self.done()

    def failed_with(self, error: BaseException) -> None:
        """Its job could not be sent, or cannot be followed."""
        if self.set_running_or_notify_cancel():
            self.set_exception(error)

    def _settled(self, answer: Callable[[], Any]) -> None:
        if not self.set_running_or_notify_cancel():
            return
        try:
            answered = answer()
        except BaseException as error:  # noqa: BLE001 - what the function raised, or what unpickling did
            self._told(self.set_exception, error)
        else:
            self._told(self.set_result, answered)

    def _told(self, tell: Callable[[Any], None], what: Any) -> None:
        """A callback that leaves by SystemExit takes along neither the thread nor the futures it would settle next."""
        try:
            tell(what)
        except BaseException:
            log.exception("exception calling a callback of %r", self)


_NOTHING = concurrent.futures.InvalidStateError("nothing has come of it yet")
#: Nothing is kept of what was taken.
_HANDED_OUT = concurrent.futures.InvalidStateError("it was handed out already")


class Call:
    """A call of a map, and its arguments, pickled, for as long as they may have to be sent.

    A map makes many and hands out none, so it is no future: a tenth of the cost. Settled once, as a FunctionFuture is;
    what came of it is unpickled when it is taken. The exchange wakes those who wait for it.
    """

    __slots__ = ("__weakref__", "_came", "data", "job_id", "withdrawn")

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.job_id: int | None = None
        self.withdrawn = False
        #: An answer (pickled), the row of a job, or an exception.
        self._came: bytes | Result | BaseException = _NOTHING

    def done(self) -> bool:
        """Whether something came of it."""
        return self._came is not _NOTHING

    def take(self) -> Any:
        """What it answered, or raise what it raised; once, when it is done."""
        came, self._came = self._came, _HANDED_OUT
        if isinstance(came, bytes):
            return pickling.loads(came)
        if isinstance(came, BaseException):
            raise came
        return payload.answer_of(came)

    def cancelled_by_us(self) -> None:
        """It will not be made."""
        self._settled(concurrent.futures.CancelledError())

    def finished(self, row: Result) -> None:
        """Its job has ended."""
        killed = self.withdrawn and row.reason == "killed"
        self._settled(concurrent.futures.CancelledError() if killed else row)

    def answered(self, pickled: bytes) -> None:
        """It has been made, and this came of it."""
        self._settled(pickled)

    def dropped(self) -> bool:
        """Whether nobody wants it to be made any more; it is cancelled then."""
        if self.withdrawn:
            self.cancelled_by_us()
        return self.done()

    def failed_with(self, error: BaseException) -> None:
        """Its job could not be sent, or cannot be followed."""
        self._settled(error)

    def _settled(self, came: bytes | Result | BaseException) -> None:
        if self._came is _NOTHING:
            self._came = came


#: Whoever waits for a job, or for a call of it.
Awaited = Union[FunctionFuture, Call]
