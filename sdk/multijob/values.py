"""The values a client hands out and takes in. Frozen; no HTTP here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from . import notebook
from .errors import JobFailed

#: The public status of a job, by its number (the manual's 0.5.2) and by its word.
STATUS_WORDS: Final[Mapping[int, str]] = {
    0: "waiting",
    1: "running",
    2: "returning",
    3: "done",
    -1: "failed",
    -2: "return_failed",
}


#: Statuses that a job leaves only when somebody asks for it.
FINAL: Final = frozenset({3, -1, -2})


class Input(NamedTuple):
    """What ``work()`` is called with; made by ``call``."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def call(*args: Any, **kwargs: Any) -> Input:
    """One job's input, written like the call it stands for: ``call("a", times=3)``."""
    return Input(args, kwargs)


class Result(NamedTuple):
    """How one job ended."""

    id: int
    status: int
    #: "" when it went well; else error, timeout, died, killed, lost, bad_result, …
    reason: str
    attempt: int
    machine_id: str | None
    version: int | None
    count: float | None  # type: ignore[assignment]  # the manual's word; shadows tuple.count
    spend_s: float | None
    result: Any
    #: The traceback or explanation, where there is one.
    error: str | None

    @property
    def ok(self) -> bool:
        """Whether all of it went well, return_main included."""
        return self.status == 3

    @property
    def status_word(self) -> str:
        """The status as a word."""
        return STATUS_WORDS.get(self.status, str(self.status))

    def value(self) -> Any:
        """The result, or JobFailed where the job failed."""
        if self.ok:
            return self.result
        raise JobFailed(self)


class Published(NamedTuple):
    """A job type's current version, and whether publishing made it (the same content makes no new one)."""

    version: int
    changed: bool


class Printed(NamedTuple):
    """A piece of what a job printed, as it comes."""

    attempt: int
    #: "stdout" or "stderr".
    stream: str
    text: str
    #: Bytes before this piece that were not kept, or came too fast to be followed.
    left_out: int


class Reached(NamedTuple):
    """How far a running job says it is."""

    n: float
    #: Of how much; None where it does not say.
    total: float | None
    #: Until it is there, seen from ``at``; None where that cannot be said.
    eta_s: float | None
    #: When it came so far.
    at: float

    def __str__(self) -> str:
        """``45% (45 of 100), 12 s left``."""
        if not self.total:
            return f"{self.n:g}"
        left = "" if self.eta_s is None else f", {_span(self.eta_s)} left"
        return f"{min(self.n / self.total, 1):.0%} ({self.n:g} of {self.total:g}){left}"


def _span(seconds: float) -> str:
    """About how long, for people."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


class Progress(NamedTuple):
    """How far a set of jobs is. ``total`` is None where only the server could know it."""

    done: int
    failed: int
    pending: int | None
    total: int | None

    @property
    def finished(self) -> int:
        """Jobs that have ended, well or not."""
        return self.done + self.failed

    def _repr_html_(self) -> str:
        return notebook.bar(self)
