"""What the engine has been told and has not taken yet. From any thread; taken by the engine's alone. Decides nothing.

A measured load can wait for the next tick: at a thousand machines one comes every 30 ms, and each beat looks at all of
them.
"""

import queue
from typing import TypeVar

from orchestrator.node.events import Event, Loaded, Told

T = TypeVar("T")


class Inbox:
    """See the module. Everything is taken in the order it was put."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        #: One for each event that cannot wait, put after it: the engine may find a call whose event it has.
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def put(self, event: Event) -> None:
        """Never blocks."""
        self._events.put(event)
        if not (isinstance(event, Told) and isinstance(event.event, Loaded)):
            self._calls.put(None)

    def take(self) -> list[Event]:
        """Wait for something that cannot wait; then all there is."""
        self._calls.get()
        _emptied(self._calls)
        return self.pop_all()

    def pop_all(self) -> list[Event]:
        """All there is, if anything."""
        return _emptied(self._events)


def _emptied(things: "queue.SimpleQueue[T]") -> list[T]:
    taken = []
    while not things.empty():
        taken.append(things.get())
    return taken
