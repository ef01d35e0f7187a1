"""Who watches what an attempt prints: watches that the server asked for, and the frames they have coming.

Nothing is sent that nobody asked for: a watch has so many bytes to get, and ends by itself unless it is asked for anew.
All of them together get a small share of the channel.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from remote_runner.attempt import Attempt
from remote_runner.journal import Key
from remote_runner.logs import rest_bytes, text_of, whole_bytes
from remote_runner.protocol import LOG_FRAME_BYTES, LOG_WINDOW_BYTES
from remote_runner.stream import Message, Stream

#: Frames go out this often, and all watches share so many bytes each time: 480 KiB/s.
EVERY_S = 0.1
TURN_BYTES = 48 * 1024
#: No watch lasts longer than this without being asked for anew, and there are no more than so many.
LONGEST_S = 60.0
MOST = 64
STREAMS = ("stdout", "stderr")

Wish = NamedTuple("Wish", [("key", Key), ("stream", int), ("offset", int)])


class Watch:
    """One reader's place in one stream."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.at: Optional[int] = None  # the next byte to send; None before the first frame
        self.upto = 0
        self.ends_at = 0.0


class Watches:
    """By the numbers the server gave them. ``find``: an attempt that is held, or None."""

    def __init__(self, find: Callable[[Key], Optional[Attempt]]) -> None:
        self._find = find
        self._watches: Dict[int, Watch] = {}
        self._next_s = 0.0

    def ask(self, message: Message, now: float) -> None:
        """Begin a watch, let one go on, or (``for_s`` 0) end it."""
        number, for_s = int(message["n"]), min(float(message["for_s"]), LONGEST_S)
        if for_s <= 0:
            self._watches.pop(number, None)
            return
        watch = self._watches.get(number)
        if watch is None:
            if len(self._watches) >= MOST:
                return
            watch = self._watches[number] = Watch(_wish(message))
        watch.ends_at = now + for_s
        if message.get("upto") is not None:
            watch.upto = max(watch.upto, int(message["upto"]))

    def forget(self) -> None:
        """The channel they were asked for over is gone."""
        self._watches.clear()

    def tell(self, channel: Optional[Stream], now: float) -> None:
        """Send what has come, as long as the channel takes it."""
        if not self._watches or now < self._next_s or channel is None or not channel.has_room():
            return
        self._next_s = now + EVERY_S
        for message in self.turn(now):
            channel.send(message)

    def turn(self, now: float) -> List[Message]:
        """The next frames; each time another watch is the first to be served."""
        frames = []
        left = TURN_BYTES
        for number, watch in list(self._watches.items()):
            attempt = self._find(watch.wish.key)
            if now >= watch.ends_at or attempt is None:
                del self._watches[number]
                continue
            frame = self._frame(number, watch, attempt, min(left, LOG_FRAME_BYTES))
            if frame is not None:
                left -= frame[1]
                frames.append(frame[0])
                del self._watches[number]
                self._watches[number] = watch
            if left <= 0:
                break
        return frames

    def _frame(self, number: int, watch: Watch, attempt: Attempt, limit: int) -> Optional[Tuple[Message, int]]:
        """What there is for a watch, and its size. Before anything else it is told where it stands."""
        log = None if attempt.logs is None else attempt.logs[watch.wish.stream]
        is_first = watch.at is None
        asked = watch.wish.offset if watch.at is None else watch.at
        offset, data = (max(0, asked), b"") if log is None else log.read(asked, limit)
        if is_first:
            watch.upto = max(watch.upto, offset + LOG_WINDOW_BYTES)
        if offset != asked:
            cut = rest_bytes(data)
            offset, data = offset + cut, data[cut:]
        data = data[: max(0, watch.upto - offset)]
        data = data[: whole_bytes(data)]
        if not (data or is_first):
            return None
        watch.at = offset + len(data)
        total = 0 if log is None else log.total
        return _message(number, watch.wish, offset, total, text_of(data)), len(data)


def _wish(message: Message) -> Wish:
    key = (int(message["job"]), int(message["attempt"]))
    return Wish(key, STREAMS.index(message["stream"]), int(message["offset"]))


def _message(number: int, wish: Wish, offset: int, total: int, text: str) -> Dict[str, Any]:
    job, attempt = wish.key
    return {
        "t": "log",
        "n": number,
        "job": job,
        "attempt": attempt,
        "stream": STREAMS[wish.stream],
        "offset": offset,
        "total": total,
        "text": text,
    }
