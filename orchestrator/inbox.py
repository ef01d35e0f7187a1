"""What the engine has been told and has not taken yet. From any thread; taken by the engine's alone. Decides nothing.

A measured load can wait for the next tick: at a thousand machines one comes every 30 ms, and each beat looks at all of
them.
"""

import queue
from collections.abc import Iterator
from typing import TypeVar

from orchestrator.events import Event, Loaded, Told

T = TypeVar("T")


class Inbox:
    """See the module. What one session told is taken in its order."""

    def __init__(self) -> None:
        self._pressing: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._patient: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def put(self, event: Event) -> None:
        """Never blocks."""
        can_wait = isinstance(event, Told) and isinstance(event.event, Loaded)
        (self._patient if can_wait else self._pressing).put(event)

    def take(self) -> list[Event]:
        """Wait for something that cannot wait; then all there is."""
        first = self._pressing.get()
        return [*_emptied(self._patient), first, *_emptied(self._pressing)]

    def rest(self) -> list[Event]:
        """All there is, if anything."""
        return [*_emptied(self._patient), *_emptied(self._pressing)]


def _emptied(events: "queue.SimpleQueue[T]") -> Iterator[T]:
    while not events.empty():
        yield events.get()
