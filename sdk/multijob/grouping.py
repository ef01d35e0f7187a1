"""How many calls of a map one job makes, and how many jobs go at a time. Pure."""

from __future__ import annotations

import sys
from collections import deque
from itertools import islice
from statistics import median

from .future import Call

#: So many calls of a map go one a job at once; where they do not tell soon that they are short, up to that many; and
#: twice as many each time that so much has passed: more than machines take meanwhile.
TRIAL_CALLS = 64
TRIAL_S = 0.1
FIRST_CALLS = 200
HOLD_S = 0.5
#: So many jobs have to have told how long their calls took, and of no more than the last of those the middle counts.
MEASURED_JOBS = 4
REMEMBERED_JOBS = 64
#: Calls that take less travel together, as many as take about so long, as many as this, and no more bytes.
SHORT_S = 0.01
TOGETHER_S = 0.05
TOGETHER_CALLS = 256
TOGETHER_BYTES = 128 * 1024
#: There are at least so many jobs for many machines, unless they would be shorter than that.
FEWEST_JOBS = 64
LEAST_S = 0.01
#: So many go first, as short as that. The rest follows when some have told how long they took: the server deals out by
#: what machines hold, and that is little then, and no longer single calls.
SCOUTS = 64
#: About how many calls of a millisecond share a job.
SHORT_CALLS = 50


def fewest_jobs(calls: int) -> int:
    """How many jobs a map of so many calls may well come down to; by that its function travels apart or not."""
    return calls if calls <= FIRST_CALLS else max(FIRST_CALLS, calls // SHORT_CALLS)


class Trial:
    """How many calls may go one a job while nothing is known of how long they take."""

    def __init__(self) -> None:
        #: So many, from then on.
        self.calls = TRIAL_CALLS
        self.from_s = 0.0
        self._next_calls = FIRST_CALLS - TRIAL_CALLS
        self._pause_s = TRIAL_S

    def sent(self, calls: int, now_s: float) -> None:
        """So many of those went."""
        self.calls -= calls
        if not self.calls:
            self.calls, self.from_s = self._next_calls, now_s + self._pause_s
            self._next_calls, self._pause_s = max(FIRST_CALLS, self.calls) * 2, HOLD_S


class Scouts:
    """The first jobs of several calls: when they were sent, and whether enough of them are back for the rest to go."""

    def __init__(self) -> None:
        self._sent_at_s: float | None = None
        self._missing = 0

    def sent(self, jobs: int, now_s: float) -> None:
        """So many went."""
        if self._sent_at_s is None:
            self._sent_at_s, self._missing = now_s, min(jobs, MEASURED_JOBS)

    def back(self) -> None:
        """One of the first has ended, however it did."""
        self._missing -= 1

    def late_at_s(self) -> float:
        """From when on they are not waited for."""
        return 0.0 if self._sent_at_s is None else self._sent_at_s + HOLD_S

    def room(self) -> int:
        """How many jobs may go now."""
        if self._sent_at_s is None:
            return SCOUTS
        return sys.maxsize if self._missing <= 0 else 0


class Measured:
    """How long a call took, of the jobs that told it last."""

    def __init__(self) -> None:
        self._each_s: deque[float] = deque(maxlen=REMEMBERED_JOBS)

    def add(self, took_s: float, calls: int) -> None:
        """A job made so many calls in that time."""
        self._each_s.append(took_s / calls)

    def each_s(self) -> float | None:
        """How long one takes in the middle, where they are known to be short."""
        middle_s = median(self._each_s) if len(self._each_s) >= MEASURED_JOBS else SHORT_S
        return middle_s if middle_s < SHORT_S else None


def together(calls: int, each_s: float, *, scouts: bool) -> int:
    """How many of so many calls one job makes, when each takes so long; ``scouts``: nothing is back of such jobs."""
    most, least = (max(1, min(TOGETHER_CALLS, int(part_s / max(each_s, 1e-6)))) for part_s in (TOGETHER_S, LEAST_S))
    return least if scouts else max(least, min(most, calls // FEWEST_JOBS))


def taken(calls: deque[Call], most: int) -> list[Call]:
    """The first of them out, no more than so many, and fewer where their arguments are long."""
    size, count = 0, 0
    for call in islice(calls, most):
        size += len(call.data)
        if count and size > TOGETHER_BYTES:
            break
        count += 1
    return [calls.popleft() for _ in range(count)]
