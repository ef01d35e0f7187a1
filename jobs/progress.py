"""How far running attempts are, as their machines say, and when they may be there. Values and decisions; no clock.

What machines say is hostile: rows are checked here, and only shown for attempts that the store knows to run there.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from jobs.model import AttemptKey, Progress

#: Rows of one machine that are listened to.
ROWS_LIMIT: Final = 1000
_NUMBER_LIMIT: Final = 1e15


class Track(NamedTuple):
    """How far an attempt is, and where it was when it was first heard of: the two give its pace."""

    reached: Progress
    first_n: float
    first_at: float


def tracks(before: Mapping[AttemptKey, Track], rows: object, now: float) -> dict[AttemptKey, Track]:
    """What a machine said last, in place of what it said before."""
    if not isinstance(rows, list):
        return {}
    found = {}
    for row in rows[:ROWS_LIMIT]:
        match row:
            case [int(job), int(attempt), n, total] if _fits(n) and (total is None or _fits(total)):
                key = (job, attempt)
                found[key] = moved(before.get(key), float(n), None if total is None else float(total), now)
    return found


def moved(before: Track | None, n: float, total: float | None, now: float) -> Track:
    """The attempt is at ``n`` now. One that fell back, or that has another goal, has begun something new."""
    if before is None or n < before.reached.n or total != before.reached.total:
        return Track(Progress(n, total, None, now), n, now)
    if n == before.reached.n:
        return before
    pace = (n - before.first_n) / max(now - before.first_at, 1e-6)
    eta_s = None if total is None or pace <= 0 else max(0.0, (total - n) / pace)
    return Track(Progress(n, total, eta_s, now), before.first_n, before.first_at)


def _fits(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value <= _NUMBER_LIMIT
