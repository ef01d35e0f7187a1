"""What can go wrong between a script and the server, told apart by what the caller can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .values import JobSet


class MultiJobError(Exception):
    """The root of ours.

    ``request_id`` finds the request in the server's log, where the server answered. ``submitted`` holds the jobs that
    were already stored when ``submit_many`` had to stop, else None.
    """

    def __init__(self, message: str, *, request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.request_id = request_id
        self.submitted: JobSet | None = None


class Unreachable(MultiJobError):
    """No answer: the server is down, or something between here and there is. The request may have arrived."""


class NotAllowed(MultiJobError):
    """The token is missing, wrong, expired, or lacks the scope."""


class Invalid(MultiJobError):
    """What was asked is not acceptable; ``field`` names the part that is not."""

    def __init__(self, message: str, *, field: str = "", request_id: str = "") -> None:
        super().__init__(f"{field}: {message}" if field and not message.startswith(field) else message)
        self.field = field
        self.request_id = request_id


class NotFound(MultiJobError):
    """No such job, job type, version or page."""


class Conflict(MultiJobError):
    """The server holds something that contradicts the request (one idempotency key for two different bodies)."""


class ServerError(MultiJobError):
    """The server failed, or what answered is no Multi Job server. ``status`` is the HTTP status."""

    def __init__(self, message: str, *, status: int, request_id: str = "") -> None:
        super().__init__(message, request_id=request_id)
        self.status = status


class Busy(ServerError):
    """The server asks to come back in ``retry_after_s`` seconds; most calls do so by themselves for a while."""

    def __init__(self, message: str, *, status: int, retry_after_s: float, request_id: str = "") -> None:
        super().__init__(message, status=status, request_id=request_id)
        self.retry_after_s = retry_after_s


class WaitTimeout(MultiJobError):
    """Jobs were still unfinished when the time given to wait for them was over; ``pending`` of them."""

    def __init__(self, pending: int | None) -> None:
        super().__init__(f"still unfinished: {'some' if pending is None else pending} jobs")
        self.pending = pending
