"""The loop of a listener: looks only at connections that may want something else than before. Sockets only.

Waitress asks each of its connections at every turn what it waits for, several turns a request; with a machine a
connection, that cost more than the requests. Here the system keeps what each waits for, and a connection is asked again
when something came for it, while a request of its is being answered, and once a second.
"""

import selectors
import time
from collections.abc import Iterable, MutableMapping
from typing import Any, Final

from waitress import wasyncore

#: How often all are asked: what depends on time alone has no event.
SWEEP_S: Final = 1.0
_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE


class Attendance:
    """Owned by the listener's thread. ``channels``: by descriptor, as waitress keeps them."""

    def __init__(self, channels: MutableMapping[int, Any]) -> None:
        self._channels = channels
        self._selector = selectors.DefaultSelector()
        #: What each was when it was last asked, and what it waits for.
        self._asked: dict[int, tuple[Any, int]] = {}
        #: A request of theirs is being answered, so that they change on another thread, which then wakes this one.
        self._busy: set[int] = set()
        #: Somebody was let in.
        self._may_be_new = False
        self._sweep_s = 0.0

    def run(self) -> None:
        """Until there is nothing left to attend to."""
        touched: set[int] = set()
        while self._channels:
            self._ask(touched)
            touched = self._turn()
        self._selector.close()

    def _ask(self, touched: set[int]) -> None:
        now_s = time.monotonic()
        if now_s >= self._sweep_s:
            self._sweep_s = now_s + SWEEP_S
            these: Iterable[int] = self._channels.keys() | self._asked.keys()
        elif self._may_be_new:
            these = touched | self._busy | (self._channels.keys() - self._asked.keys())
        else:
            these = touched | self._busy
        self._may_be_new = False
        for number in these:
            self._look(number)

    def _turn(self) -> set[int]:
        """Wait until something comes, and let the connections take it; which they were."""
        touched = set()
        for key, came in self._selector.select(max(0.0, self._sweep_s - time.monotonic())):
            touched.add(key.fd)
            for event, take in ((_READ, wasyncore.read), (_WRITE, wasyncore.write)):
                channel = self._channels.get(key.fd)
                if came & event and channel is not None and channel is key.data:
                    take(channel)
                    self._may_be_new |= channel.accepting
        return touched

    def _look(self, number: int) -> None:
        channel = self._channels.get(number)
        before, waits_for = self._asked.get(number, (channel, 0))
        if channel is not before:  # closed, and its number may be another one's already
            self._wait_for(number, before, waits_for, 0)
            waits_for = 0
        if channel is None:
            self._asked.pop(number, None)
            self._busy.discard(number)
            return
        if getattr(channel, "requests", None):  # asked before what it waits for: it only stops being so
            self._busy.add(number)
        else:
            self._busy.discard(number)
        wanted = _READ if channel.readable() else 0
        if channel.writable() and not channel.accepting:
            wanted |= _WRITE
        self._wait_for(number, channel, waits_for, wanted)
        self._asked[number] = channel, wanted

    def _wait_for(self, number: int, channel: Any, before: int, wanted: int) -> None:
        if before == wanted:
            return
        if not before:
            self._selector.register(number, wanted, channel)
        elif not wanted:
            self._selector.unregister(number)
        else:
            self._selector.modify(number, wanted, channel)
