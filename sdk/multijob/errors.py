"""What can go wrong between a script and the server, told apart by what the caller can do about it.

Each error says what happened (``message``) and what to do now (``remedy``); as text it is both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .jobset import JobSet
    from .values import Result


class MultiJobError(Exception):
    """The root of ours.

    ``request_id`` finds the request in the server's log, where the server answered. Where ``submit_many`` had to stop,
    ``submitted`` holds the jobs known to be stored, and ``key`` is what makes repeating the whole call harmless.
    """

    def __init__(self, message: str, *, remedy: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.request_id = request_id
        self.submitted: JobSet | None = None
        self.key: str | None = None

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class Unreachable(MultiJobError):
    """No answer: the server is down, or something between here and there is.

    ``arrived`` is False where the request certainly never reached the server; else it may have been carried out.
    """

    def __init__(self, message: str, *, remedy: str = "", arrived: bool = True) -> None:
        super().__init__(message, remedy=remedy)
        self.arrived = arrived


class NotAllowed(MultiJobError):
    """The token is missing, wrong, expired, or lacks the scope."""


class Invalid(MultiJobError):
    """What was asked is not acceptable; ``field`` names the part that is not, the message what it must be."""

    def __init__(self, message: str, *, field: str = "", remedy: str = "", request_id: str = "") -> None:
        whole = f"{field}: {message}" if field and not message.startswith(field) else message
        super().__init__(whole, remedy=remedy, request_id=request_id)
        self.field = field


class NotFound(MultiJobError):
    """No such job, job type, version, machine or page."""


class Conflict(MultiJobError):
    """The server holds something that contradicts the request: look again, then decide anew."""


class ServerError(MultiJobError):
    """The server failed, or what answered is no Multi Job server. ``status`` is the HTTP status."""

    def __init__(self, message: str, *, status: int, remedy: str = "", request_id: str = "") -> None:
        super().__init__(message, remedy=remedy, request_id=request_id)
        self.status = status


class Busy(ServerError):
    """The server asks to come back in ``retry_after_s`` seconds; most calls do so by themselves for a while."""

    def __init__(self, message: str, *, status: int, retry_after_s: float, request_id: str = "") -> None:
        remedy = f"try again in {max(1, round(retry_after_s))} s"
        super().__init__(message, status=status, remedy=remedy, request_id=request_id)
        self.retry_after_s = retry_after_s


class WaitTimeout(MultiJobError):
    """What was waited for was not over when the time given for it was; ``pending`` jobs are unfinished."""

    def __init__(self, pending: int | None) -> None:
        count = "some jobs" if pending is None else "1 job" if pending == 1 else f"{pending} jobs"
        super().__init__(f"{count} still unfinished", remedy="wait longer (timeout_s), or look at what they wait for")
        self.pending = pending


class OperationFailed(MultiJobError):
    """A change of many jobs ended before its end; what it did until then stays done."""


class NotInstalled(MultiJobError, ImportError):
    """A package that this call needs is not installed here."""


class JobFailed(MultiJobError):
    """A job whose result was asked for has failed: where, which version of the code, and the traceback from there."""

    def __init__(self, result: Result) -> None:
        where = f" on {result.machine_id}" if result.machine_id else ""
        what = f"job {result.id} {result.status_word.replace('_', ' ')}{where}"
        detail = f"\n{result.error.rstrip()}" if result.error else ""
        told = f"attempt {result.attempt}, version {result.version}, reason: {result.reason}"
        super().__init__(f"{what} ({told}){detail}")
        self.result = result

    @property
    def job_id(self) -> int:
        return self.result.id

    @property
    def reason(self) -> str:
        return self.result.reason

    @property
    def machine_id(self) -> str | None:
        return self.result.machine_id

    @property
    def attempt(self) -> int:
        return self.result.attempt

    @property
    def version(self) -> int | None:
        return self.result.version

    @property
    def remote_traceback(self) -> str:
        """As the machine (or return_main) told it; "" where there was none."""
        return self.result.error or ""
