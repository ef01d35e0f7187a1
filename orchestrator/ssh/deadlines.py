"""Ends what does not end in time: paramiko has waits without an end. One thread watches for all; it knows no SSH.

A timer's thread for each poll cost a sixth of what a poll cost. The watching thread ends by itself soon after there
is nothing to watch.
"""

import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

#: How often the thread looks while there is something to watch; nearly everything has ended long before its deadline.
LOOK_S: Final = 0.25


@contextlib.contextmanager
def deadline(seconds: float, on_passed: Callable[[], None]) -> Iterator[None]:
    """Call ``on_passed`` from another thread unless the block ends in time."""
    watch = _WATCHER.begin(time.monotonic() + max(0.0, seconds), on_passed)
    try:
        yield
    finally:
        _WATCHER.end(watch)


@dataclass(order=True, slots=True)
class _Watch:
    ends_at: float
    number: int
    #: None: it has ended, one way or the other.
    on_passed: Callable[[], None] | None = field(compare=False)


class _Watcher:
    """All that is to end in time, the next one first."""

    def __init__(self) -> None:
        self._sooner = threading.Condition()
        self._watches: list[_Watch] = []
        self._numbers = itertools.count()
        self._is_running = self._is_needed = False
        #: When the thread looks again without being woken.
        self._looks_at = 0.0

    def begin(self, ends_at: float, on_passed: Callable[[], None]) -> _Watch:
        watch = _Watch(ends_at, next(self._numbers), on_passed)
        with self._sooner:
            heapq.heappush(self._watches, watch)
            self._is_needed = True
            if not self._is_running:
                threading.Thread(target=self._run, name="deadlines", daemon=True).start()
                self._is_running = True
            elif ends_at < self._looks_at:
                self._sooner.notify()
        return watch

    def end(self, watch: _Watch) -> None:
        with self._sooner:
            watch.on_passed = None

    def _run(self) -> None:
        with self._sooner:
            try:
                while self._watches or self._is_needed:
                    self._is_needed = False
                    self._rest()
                    for on_passed in self._passed(time.monotonic()):
                        _call(on_passed)
            finally:
                self._is_running = False

    def _passed(self, now: float) -> Iterator[Callable[[], None]]:
        """Those it is too late for; whatever has ended is forgotten on the way."""
        watches = self._watches
        while watches and (watches[0].on_passed is None or watches[0].ends_at <= now):
            watch = heapq.heappop(watches)
            on_passed, watch.on_passed = watch.on_passed, None
            if on_passed is not None:
                yield on_passed

    def _rest(self) -> None:
        now = time.monotonic()
        first = self._watches[0].ends_at if self._watches else now + LOOK_S
        self._looks_at = min(first, now + LOOK_S)
        self._sooner.wait(max(0.0, self._looks_at - now))


def _call(on_passed: Callable[[], None]) -> None:
    """From a thread of its own, for ending a connection can take a while; from this one where no more are to be had."""
    try:
        threading.Thread(target=on_passed, name="deadline-passed", daemon=True).start()
    except RuntimeError:
        on_passed()


_WATCHER: Final = _Watcher()
