"""How far a running attempt is: what it reported by ``multijob_progress``, else what tqdm's bar on its stderr says.

Both are a job's words: numbers are checked, and nothing else follows from them.
"""

import math
import os
import re
from typing import Any, Callable, List, NamedTuple, Optional

from remote_runner.attempt import Attempt
from remote_runner.multijob_progress import RECORD
from remote_runner.stream import Stream

#: A bar is looked for in so much of the end of what was printed.
BAR_BYTES = 2048
#: Between two looks.
EVERY_S = 1.0
#: No progress of anybody's is a larger number.
LARGEST = 1e15

Reached = NamedTuple("Reached", [("n", float), ("total", Optional[float])])

_SIZES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_NUMBER = rb"(\d+(?:\.\d+)?)([kKMGT]?)"
#: ``45%|####5     | 45/100 [00:04<00:05, 9.98it/s]`` with its total, ``45it [00:04, 9.98it/s]`` without one.
_BAR = re.compile(rb"\d%\|[^|\r\n]*\| *" + _NUMBER + rb"/" + _NUMBER + rb"[^\[\r\n]{0,20}\[\d")
_COUNT = re.compile(rb"(?:^|: |\r)" + _NUMBER + rb"[A-Za-z]{1,12} \[\d+:\d\d")
#: What tqdm prints behind a bar that stands below another one.
_UP = b"\x1b[A"


class Teller:
    """Tells the server how far the running attempts are, whenever one of them has come further."""

    def __init__(self, rows: Callable[[], List[List[Any]]]) -> None:
        self._rows = rows
        self._told: List[List[Any]] = []
        self._next_s = 0.0

    def tell(self, channel: Optional[Stream], now: float) -> None:
        """Look, if it is time for that."""
        if now < self._next_s or channel is None or not channel.has_room():
            return
        self._next_s = now + EVERY_S
        rows = self._rows()
        if rows != self._told:
            self._told = rows
            channel.send({"t": "progress", "rows": rows})

    def forget(self) -> None:
        """There is somebody new to tell."""
        self._told = []


def path_of(run: str, worker: int) -> str:
    """The file of a worker that takes what its jobs report."""
    return os.path.join(run, "workers", "%d.progress" % worker)


def of(run: str, attempt: Attempt, started_s: float) -> Optional[Reached]:
    """How far an attempt is that began at that time, by the monotonic clock; None: it does not say."""
    if attempt.worker is None:
        return None
    return reported(path_of(run, attempt.worker), started_s) or _shown(attempt)


def reported(path: str, started_s: float) -> Optional[Reached]:
    """What the file says, unless it is an earlier attempt's."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(RECORD.size)
    except OSError:
        return None
    if len(data) < RECORD.size:
        return None
    n, total, at_s = RECORD.unpack(data)
    return _checked(n, None if math.isnan(total) else total) if at_s >= started_s else None


def _shown(attempt: Attempt) -> Optional[Reached]:
    """What its bar says; looked for only where something was printed since."""
    if attempt.logs is None:
        return None
    log = attempt.logs[1]
    if log.total != attempt.bar_at:
        attempt.bar_at = log.total
        attempt.bar = bar(log.end(BAR_BYTES)) or attempt.bar
    return attempt.bar


def bar(printed: bytes) -> Optional[Reached]:
    """The last bar of tqdm in what was printed; of several below each other the uppermost."""
    for line in reversed(re.split(rb"[\r\n]", printed)):
        if line.endswith(_UP):
            continue
        match = _BAR.search(line) or _COUNT.search(line)
        if match is not None:
            n, n_size, *rest = match.groups()
            total = _number(rest[0], rest[1]) if rest else None
            found = _checked(_number(n, n_size), total)
            if found is not None:
                return found
    return None


def _number(digits: bytes, size: bytes) -> float:
    return float(digits) * _SIZES[size.decode("ascii")]


def _checked(n: float, total: Optional[float]) -> Optional[Reached]:
    """Numbers that make sense, or nothing."""
    if not 0 <= n <= LARGEST or (total is not None and not 0 < total <= LARGEST):
        return None
    return Reached(n, total)
