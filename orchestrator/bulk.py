"""Carries on operations that nobody waits for: those of an earlier life of the server, and those that take long.

One thread, a chunk of each operation in turn, so that a long one does not hold up a short one. It wakes at once for
what begins in this process, and looks every second for what another process began.
"""

import logging
import threading
from typing import Final

from jobs.errors import NotFound, StoreUnavailable
from jobs.operations import Operations

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
#: Others are at all there is to do.
BUSY_S: Final = 0.05
STOP_S: Final = 30.0


class Bulk:
    """``start`` once, ``stop`` once; ``wake`` from any thread, never blocks."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bulk", daemon=True)

    def start(self) -> None:
        """Go on with what there is."""
        self._thread.start()

    def wake(self) -> None:
        """An operation may have begun."""
        self._awake.set()

    def stop(self) -> None:
        """End after the chunk at hand; the next life of the server goes on behind it."""
        self._stopping.set()
        self._awake.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._awake.clear()
            try:
                wait_s = self._round()
            except StoreUnavailable as error:
                log.warning("the store does not answer: %s", error)
                wait_s = LOOK_S
            self._stopping.wait(wait_s) if wait_s < LOOK_S else self._awake.wait(wait_s)

    def _round(self) -> float:
        """A chunk of each operation; how long to wait before the next round."""
        running = self._operations.running()
        moved = [self._step(number) for number in running if not self._stopping.is_set()]
        if any(moved):
            return 0.0
        return BUSY_S if running else LOOK_S

    def _step(self, number: int) -> bool:
        try:
            return self._operations.step(self._operations.one(number))
        except (StoreUnavailable, NotFound) as error:
            log.warning("operation %d cannot go on now: %s", number, error)
        except Exception:
            log.exception("operation %d failed", number)
        return False
