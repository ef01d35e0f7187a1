"""Wakes threads of this process that wait for results. Knows nothing of what happened, only that something did."""

import threading
import time
from collections.abc import Callable
from typing import Final

#: How often a waiting thread looks for what another process wrote.
LOOK_S: Final = 0.2


class Bell:
    """``ring`` after a commit; ``wait`` returns soon after."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """How often it rang: read this before looking, wait with it after."""
        return self._count

    def ring(self) -> None:
        """Wake all who wait."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait(self, seen: int, timeout_s: float, elsewhere: Callable[[], bool]) -> None:
        """Until it has rung since ``seen``, or ``elsewhere`` says that another process did something, or time is up."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            with self._changed:
                if self._changed.wait_for(lambda: self._count != seen, min(left_s, LOOK_S)):
                    return
            if elsewhere():
                return
