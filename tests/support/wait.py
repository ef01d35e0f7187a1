"""Wait for conditions, never for time: what was last seen is part of the failure."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], *, what: str = "the condition", timeout_s: float = 20.0, pause_s: float = 0.01) -> T:
    """Call ``look`` until it answers something true; that is the answer."""
    ends_at = time.monotonic() + timeout_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > ends_at:
            raise AssertionError(f"{what} did not come about within {timeout_s:g} s; last seen: {seen!r}")
        time.sleep(pause_s)
