"""How much of a folder may be under way at once on a connection that jobs share. Pure: counts, times in; a bound out.

What is sent waits in one queue, here, on the line and at the other end; the few bytes of a job wait behind it. OpenSSH
takes two megabytes ahead: two seconds of a line that carries one a second. So no more is under way than the line takes
in a moment, found out as RFC 6817 (LEDBAT) does: what is taken later than the quickest so far, by more than
``TARGET_S``, has waited in a queue that is ours.
"""

from collections import deque
from typing import Final

#: OpenSSH tells what it took in steps of three packets (98,304 bytes); with less under way than that nothing moves.
LEAST_BYTES: Final = 128 * 1024
#: Nothing taken for so long: the other end tells it in larger steps, as some do that are not OpenSSH.
SILENCE_S: Final = 3.0
#: How much longer than without us others may wait for our bytes.
TARGET_S: Final = 0.025
#: More than any window.
_ALL: Final = 1 << 32


class Pacing:
    """Of one stream. ``sent`` after each piece, ``taken`` whenever the other end may have taken some."""

    def __init__(self) -> None:
        #: So many bytes may be under way.
        self.limit_bytes = LEAST_BYTES
        self._sent_bytes = self._taken_bytes = 0
        #: (how many bytes had been sent then, when) of each piece under way.
        self._pieces: deque[tuple[int, float]] = deque()
        self._quickest_s = float("inf")
        self._heard_s = float("-inf")

    def sent(self, count: int, now_s: float) -> None:
        """So many bytes more were sent."""
        self._sent_bytes += count
        if not self._pieces:
            self._heard_s = now_s
        self._pieces.append((self._sent_bytes, now_s))

    def taken(self, under_way_bytes: int, now_s: float) -> None:
        """Of all that was sent, so much is still under way."""
        taken_bytes = self._sent_bytes - under_way_bytes
        fresh, self._taken_bytes = taken_bytes - self._taken_bytes, taken_bytes
        if fresh > 0:
            self._heard_s = now_s
            if self.limit_bytes >= _ALL and fresh <= LEAST_BYTES:
                self.limit_bytes = LEAST_BYTES  # small steps after all: it had only paused
        elif self._pieces and now_s - self._heard_s >= SILENCE_S:
            self.limit_bytes = _ALL
        sent_s = None
        while self._pieces and self._pieces[0][0] <= taken_bytes:
            sent_s = self._pieces.popleft()[1]
        if sent_s is None:
            return
        took_s = now_s - sent_s
        self._quickest_s = min(self._quickest_s, took_s)
        if took_s <= self._quickest_s + TARGET_S:
            self.limit_bytes += fresh
        else:
            self.limit_bytes = max(LEAST_BYTES, self.limit_bytes - fresh // 2)
