"""Writes that the engine has decided on and the store has not taken yet: in order, each until it is taken.

So that deciding never waits for the store, and an outage of the store loses no decision.
"""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import ParamSpec

from jobs.errors import StoreUnavailable

log = logging.getLogger(__name__)

P = ParamSpec("P")


class Owed:
    """Owned by the engine's thread."""

    def __init__(self) -> None:
        self._writes: deque[Callable[[], object]] = deque()

    def __len__(self) -> int:
        return len(self._writes)

    def add(self, write: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """To be called when its turn comes."""
        self._writes.append(partial(write, *args, **kwargs))

    def pay(self) -> None:
        """Make the writes. StoreUnavailable: the rest, and the one it came from, wait for the next call."""
        while self._writes:
            try:
                self._writes[0]()
            except StoreUnavailable:
                raise
            except Exception:
                log.exception("what the engine decided could not be written")
            self._writes.popleft()
