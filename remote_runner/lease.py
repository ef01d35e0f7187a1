"""How long the server has certainly not given up on us: what exclusive attempts may still run for. Values only.

A ping that is answered counts from when it was *sent*: the server was there later than that, and it begins to count its
own silence later still. So whoever ends with this lease ends before the server hands the work to another machine.
"""

from typing import Dict, Optional

#: Pings on their way that are remembered; those before them are not coming back.
PINGS_KEPT = 8
PING_LONGEST_S = 10.0
PING_SHORTEST_S = 0.2


class Lease:
    """``silence_s`` None: the server has not said how long it waits, and nothing ever ends because of it."""

    def __init__(self, now: float) -> None:
        self.silence_s: Optional[float] = None
        self._sure_at = now
        self._number = 0
        self._next_ping = 0.0
        self._sent: Dict[int, float] = {}

    def change(self, silence_s: Optional[float]) -> None:
        """The server says how long it may be silent."""
        self.silence_s = silence_s

    def channel_opened(self, now: float, *, is_empty: bool) -> None:
        """What is assigned from now on is assigned later than now; what is held already needs an answer first."""
        self._sent.clear()
        self._next_ping = now
        if is_empty:
            self._sure_at = now

    def ping(self, now: float) -> Optional[int]:
        """The number of the ping that is due now, if one is."""
        if self.silence_s is None or now < self._next_ping:
            return None
        self._next_ping = now + self._every_s(self.silence_s)
        self._number += 1
        self._sent[self._number] = now
        self._sent.pop(self._number - PINGS_KEPT, None)
        return self._number

    def _every_s(self, silence_s: float) -> float:
        return max(PING_SHORTEST_S, min(PING_LONGEST_S, silence_s / 4))

    def pong(self, number: int) -> None:
        """That ping was answered."""
        self._sure_at = max(self._sure_at, self._sent.pop(number, 0.0))

    def left_s(self, now: float) -> float:
        """How long it still holds; without a bound it always does."""
        return PING_LONGEST_S if self.silence_s is None else self._sure_at + self.silence_s - now

    def wait_s(self, now: float, *, has_channel: bool) -> float:
        """How long until there is something to do: a ping, or the end."""
        left_s = self.left_s(now)
        waits = [left_s] if left_s > 0 else []
        if has_channel and self.silence_s is not None:
            waits.append(self._next_ping - now)
        return min(waits) if waits else PING_LONGEST_S
