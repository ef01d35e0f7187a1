"""A window onto one stream of a running attempt: the bytes that came last from its machine. Memory only; no clock.

Offsets are bytes of UTF-8 within what was printed. Frames of a window follow one another; where bytes in between are
gone on the machine, the window begins anew behind them and remembers from where on they are missing.
"""

from typing import Final, NamedTuple

from jobs.model import AttemptKey
from remote_runner.protocol import LOG_WINDOW_BYTES

#: What is kept: frames on their way may come on top of what was asked for.
KEPT_BYTES: Final = 2 * LOG_WINDOW_BYTES


class Aim(NamedTuple):
    """What a window looks at, and from where on; a negative offset counts from the end."""

    machine_id: str
    key: AttemptKey
    stream: str
    offset: int


class Window:
    """See the module."""

    def __init__(self, number: int, aim: Aim) -> None:
        self.number = number
        self.aim = aim
        #: The machine has answered.
        self.heard = False
        self.total = 0
        self._begin = max(0, aim.offset)
        #: From here on this window knows what became of the bytes.
        self._reach = self._begin
        self._data = bytearray()

    @property
    def end(self) -> int:
        """Behind the last byte that came."""
        return self._begin + len(self._data)

    def holds(self, offset: int) -> bool:
        """Whether a reader at this offset is served by what is here, or comes next."""
        return self.heard and self._reach <= offset <= self.end

    def take(self, offset: int, total: int, text: str) -> None:
        """A frame came. One that repeats what is here says nothing new."""
        data = text.encode("utf-8", "replace")
        if not self.heard:
            self._begin = offset
            self._reach = offset if self.aim.offset < 0 else min(self.aim.offset, offset)
            self.heard = True
        if offset < self.end:
            return
        if offset > self.end:
            self._reach, self._begin = self.end, offset
            self._data.clear()
        self._data += data
        self.total = max(self.total, total, self.end)
        over = len(self._data) - KEPT_BYTES
        if over > 0:
            over += _rest(self._data, over)
            del self._data[:over]
            self._begin += over
            self._reach = self._begin

    def read(self, offset: int, limit: int) -> tuple[int, str]:
        """From there on, or from the first later byte there is: where that is, and the text. Ends with a character.

        A negative offset means where the window began.
        """
        at = min(max(offset, self._begin), self.end)
        first = at - self._begin
        last = min(first + limit, len(self._data))
        while first < last < len(self._data) and self._data[last] & 0xC0 == 0x80:
            last -= 1
        return at, self._data[first:last].decode("utf-8", "replace")


def _rest(data: bytearray, at: int) -> int:
    """How many bytes from there on belong to a character that began before."""
    count = 0
    while at + count < len(data) and data[at + count] & 0xC0 == 0x80:
        count += 1
    return count
