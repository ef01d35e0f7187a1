"""The door to what running attempts print and how far they are: in memory, for as long as somebody looks.

In the engine's process ``on_watch`` reaches the machines, and what they answer comes in by ``take``, unchecked. Other
processes on the same database ask the engine through the table of commands.
"""

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from jobs import progress
from jobs.commands import Commands
from jobs.errors import TooMuch
from jobs.model import AttemptKey, CommandState, Job, Progress
from jobs.status import Status
from jobs.windows import Aim, Window
from remote_runner.protocol import LOG_FRAME_BYTES, LOG_WINDOW_BYTES

#: A machine has so long to send its first bytes; a request that waits looks up this often.
FIRST_S: Final = 1.0
SLICE_S: Final = 0.5
#: A watch that nobody renews ends on the machine after this; it is renewed this often, and here kept a little longer.
WATCH_S: Final = 10.0
RENEW_S: Final = 2.0
KEPT_S: Final = 30.0
#: Windows onto one stream, for readers at different places in it, and windows in all.
A_STREAM: Final = 3
IN_ALL: Final = 128
#: What another process may wait for the engine, the engine for the machine, and what an answer may hold.
ELSEWHERE_S: Final = 3.0
ELSEWHERE_WAIT_S: Final = 0.5
ELSEWHERE_BYTES: Final = 128 * 1024

#: (machine id, message to its runner): whether there is a runner to take it.
Send = Callable[[str, Mapping[str, object]], bool]


class Asked(NamedTuple):
    """Which part of what; a negative offset counts from the end."""

    machine_id: str
    job_id: int
    attempt: int
    stream: str
    offset: int
    limit: int


class Seen(NamedTuple):
    """What there is from some place on: as much of it as has come."""

    offset: int
    text: str
    #: Bytes printed so far, as far as is known.
    total: int
    #: The machine answers. Else this is what came from it before.
    live: bool


@dataclass(slots=True)
class _Held:
    window: Window
    looked_s: float
    renewed_s: float | None = None
    #: The machine may send up to this offset.
    granted: int = 0
    reached: bool = False


class Live:
    """See the module. Safe from every thread."""

    def __init__(
        self,
        commands: Commands,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = commands
        self._clock = clock
        self._monotonic = monotonic
        self._news = threading.Condition()
        self._numbers = itertools.count(1)
        self._held: dict[int, _Held] = {}
        self._tracks: dict[str, Mapping[AttemptKey, progress.Track]] = {}
        #: Set in the engine's process.
        self.on_watch: Send | None = None

    # who looks

    def progress(self, job: Job) -> Progress | None:
        """How far a running job says it is."""
        if job.status != Status.RUNNING:
            return None
        track = self._tracks.get(job.machine_id, {}).get((job.job_id, job.attempt))
        return None if track is None else track.reached

    def look(self, asked: Asked, wait_s: float = 0.0) -> Seen:
        """What a running attempt has printed from there on; waits for more than nothing, but no longer than that."""
        send = self.on_watch
        if send is None:
            return self._elsewhere(asked, wait_s)
        began_s = self._monotonic()
        held = self._open(asked, send)
        while True:
            held.reached = self._renew(held, asked.offset, send)
            patience_s = wait_s if held.window.heard else max(wait_s, FIRST_S)
            left_s = began_s + patience_s - self._monotonic()
            with self._news:
                if left_s <= 0 or not held.reached or _has_news(held.window, asked.offset):
                    return _seen(held, asked)
                self._news.wait_for(lambda: _has_news(held.window, asked.offset), min(left_s, SLICE_S))

    def _open(self, asked: Asked, send: Send) -> _Held:
        """The window that serves this reader, or a new one."""
        aim = Aim(asked.machine_id, (asked.job_id, asked.attempt), asked.stream, asked.offset)
        now_s = self._monotonic()
        with self._news:
            for number in [number for number, held in self._held.items() if now_s - held.looked_s > KEPT_S]:
                del self._held[number]
            same = [held for held in self._held.values() if held.window.aim[:3] == aim[:3]]
            for held in same:
                if _serves(held.window, aim):
                    held.looked_s = now_s
                    return held
            ended = _oldest(same, A_STREAM) or _oldest(list(self._held.values()), IN_ALL)
            if ended is not None:
                del self._held[ended.window.number]
            held = _Held(Window(next(self._numbers), aim), now_s)
            self._held[held.window.number] = held
        if ended is not None:
            send(ended.window.aim.machine_id, _message(ended.window, None, 0))
        return held

    def _renew(self, held: _Held, offset: int, send: Send) -> bool:
        """Have the machine send on, unless it was told just now; whether it can be told."""
        window, now_s = held.window, self._monotonic()
        upto = max(offset, 0) + LOG_WINDOW_BYTES if window.heard else None
        is_short = upto is not None and upto - held.granted > LOG_WINDOW_BYTES // 4
        if held.reached and not is_short and held.renewed_s is not None and now_s - held.renewed_s < RENEW_S:
            return True
        held.renewed_s = now_s
        held.granted = max(held.granted, upto or 0)
        return send(window.aim.machine_id, _message(window, upto, WATCH_S))

    def _elsewhere(self, asked: Asked, wait_s: float) -> Seen:
        """As the engine's process sees it."""
        args = asked._replace(limit=min(asked.limit, ELSEWHERE_BYTES))._asdict() | {"wait_s": wait_s}
        try:
            number = self._commands.ask("log", asked.machine_id, args, who="")
        except TooMuch:
            return Seen(asked.offset, "", 0, live=False)
        try:
            found = self._commands.wait(number, seen=0, timeout_s=ELSEWHERE_S)
        finally:
            self._commands.forget(number)
        if found.state is not CommandState.DONE or found.answer is None:
            return Seen(asked.offset, "", 0, live=False)
        return Seen(**found.answer)

    def answer(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """In the engine's process: what another one asked."""
        asked = Asked(**{name: args[name] for name in Asked._fields})
        return self.look(asked, min(float(args["wait_s"]), ELSEWHERE_WAIT_S))._asdict()

    # what machines say

    def take(self, machine_id: str, message: Mapping[str, Any]) -> None:
        """A frame of a runner. What nobody asked for, or what makes no sense, is dropped."""
        if message.get("t") == "progress":
            self._tracks[machine_id] = progress.tracks(
                self._tracks.get(machine_id, {}), message.get("rows"), self._clock()
            )
            return
        match message:
            case {"n": int(number), "offset": int(offset), "total": int(total), "text": str(text)} if (
                0 <= offset <= total < 2**62 and len(text) <= LOG_FRAME_BYTES
            ):
                with self._news:
                    held = self._held.get(number)
                    if held is not None and held.window.aim.machine_id == machine_id:
                        held.window.take(offset, total, text)
                        self._news.notify_all()


def _has_news(window: Window, offset: int) -> bool:
    return window.heard and (offset < 0 or window.end > offset)


def _seen(held: _Held, asked: Asked) -> Seen:
    if not held.window.heard:
        return Seen(asked.offset, "", 0, live=False)
    offset, text = held.window.read(asked.offset, asked.limit)
    return Seen(offset, text, held.window.total, live=held.reached)


def _serves(window: Window, aim: Aim) -> bool:
    return window.holds(aim.offset) if window.heard else window.aim.offset == aim.offset


def _oldest(held: list[_Held], limit: int) -> _Held | None:
    """The one to make room, where there is none left."""
    return min(held, key=lambda one: one.looked_s) if len(held) >= limit else None


def _message(window: Window, upto: int | None, for_s: float) -> dict[str, object]:
    aim = window.aim
    return {
        "t": "watch",
        "n": window.number,
        "job": aim.key[0],
        "attempt": aim.key[1],
        "stream": aim.stream,
        "offset": window.end if window.heard else aim.offset,
        "upto": upto,
        "for_s": for_s,
    }
