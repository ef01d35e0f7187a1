"""What time it is, as a value that can be handed around and replaced in tests."""

import time
from typing import Protocol


class Clock(Protocol):
    """``time``: seconds since the epoch, to be stored and shown. ``monotonic``: for deadlines and durations."""

    def time(self) -> float: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The clocks of this machine."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
