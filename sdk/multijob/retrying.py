"""Whether a call that failed is made again, and after which pause. Decides, for ``http``, which sleeps and asks.

``persist`` does both, for whoever is more patient than that.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from .errors import Busy, Unreachable

T = TypeVar("T")

FIRST_PAUSE_S = 0.2
#: Longest pause between two tries of one call.
PAUSE_LIMIT_S = 5.0
#: Between tries of ``persist``; the client itself has tried for ``retry_s`` each time.
AWAY_PAUSE_S = 1.0


class Patience:
    """One call's: ``limit_s`` in all, with growing pauses.

    A call that is not ``repeatable`` (a copy, a rerun) is made again only where it certainly was not carried out.
    """

    def __init__(self, limit_s: float, *, repeatable: bool) -> None:
        self._give_up_at = time.monotonic() + limit_s
        self._repeatable = repeatable
        self._pause_s = FIRST_PAUSE_S

    def pause_after(self, error: Unreachable | Busy) -> float | None:
        """Seconds until the next try; None: there is none, the error stands."""
        if not (self._repeatable or _certainly_not_done(error)):
            return None
        asked_s = error.retry_after_s if isinstance(error, Busy) else 0.0
        pause_s = max(self._pause_s, asked_s) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, no secret
        self._pause_s = min(self._pause_s * 2, PAUSE_LIMIT_S)
        return pause_s if time.monotonic() + pause_s <= self._give_up_at else None


def _certainly_not_done(error: Unreachable | Busy) -> bool:
    if isinstance(error, Busy):
        return error.status == 429  # turned away at the door; a 503 may come from the middle of the work
    return not error.arrived


def persist(act: Callable[[], T], patience_s: float) -> T:
    """Do it, again and again while the server is away, for so long."""
    give_up_at: float | None = None
    while True:
        try:
            return act()
        except (Unreachable, Busy):
            now = time.monotonic()
            give_up_at = give_up_at or now + patience_s
            if now >= give_up_at:
                raise
        time.sleep(AWAY_PAUSE_S)
