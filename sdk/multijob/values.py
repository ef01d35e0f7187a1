"""The values a client hands out and takes in. Frozen; no HTTP here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

#: The public status of a job, by its number (the manual's 0.5.2) and by its word.
STATUS_WORDS: Final[Mapping[int, str]] = {
    0: "waiting",
    1: "running",
    2: "returning",
    3: "done",
    -1: "failed",
    -2: "return_failed",
}


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
        return STATUS_WORDS.get(self.status, str(self.status))


class Published(NamedTuple):
    """A job type's current version, and whether publishing made it (the same content makes no new one)."""

    version: int
    changed: bool


class Progress(NamedTuple):
    """How far a set of jobs is. ``total`` is None where only the server could know it."""

    done: int
    failed: int
    pending: int | None
    total: int | None

    @property
    def finished(self) -> int:
        return self.done + self.failed


@dataclass(frozen=True)
class JobSet:
    """Jobs submitted together: which ids, and from where on to read their results."""

    #: First and last id of each run of neighbours, ascending, apart from each other.
    ranges: tuple[tuple[int, int], ...] = ()
    #: Everything these jobs will ever report comes after this number.
    cursor: int = 0

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges:
            yield from range(first, last + 1)

    def __contains__(self, job_id: object) -> bool:
        return isinstance(job_id, int) and any(first <= job_id <= last for first, last in self.ranges)

    def __repr__(self) -> str:
        shown = ", ".join(_range_text(pair) for pair in self.ranges[:3])
        more = ", …" if len(self.ranges) > 3 else ""
        return f"<JobSet of {len(self)} jobs: {shown}{more}>"

    @classmethod
    def of(cls, ids: Iterable[int], cursor: int = 0) -> JobSet:
        """The set of these ids."""
        return cls(tuple(ranges_of(sorted(set(ids)))), cursor)


def ranges_of(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending ids as runs of neighbours."""
    first = last = None
    for job_id in ids:
        if first is None or last is None:
            first = last = job_id
        elif job_id == last + 1:
            last = job_id
        else:
            yield first, last
            first = last = job_id
    if first is not None and last is not None:
        yield first, last


def _range_text(pair: tuple[int, int]) -> str:
    first, last = pair
    return str(first) if first == last else f"{first}-{last}"
