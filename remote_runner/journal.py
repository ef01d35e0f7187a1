"""The runner's memory on disk: which attempts it holds and every record it has made, written before anyone is told.

A file of lines. ``{"v", "runner"}`` first; ``{"held": [[job, attempt], ...]}``; records as they go on the wire.
Nothing is synced: it outlives our processes, not the machine's power (guarantees: *Start*).
"""

import json
import os
from typing import Any, Iterable, List, NamedTuple, Optional, Set, Tuple

from remote_runner import marks
from remote_runner.protocol import VERSION

#: A file of which this much is of no use any more is written anew.
WASTE_BYTES = 8 * 1024 * 1024

Key = Tuple[int, int]

#: Where a record lies in its file.
Place = NamedTuple("Place", [("seq", int), ("offset", int), ("size", int)])


def path_of(folder: str, runner: str) -> str:
    """The journal of a runner."""
    return os.path.join(folder, runner + ".jnl")


def marks_of(folder: str, runner: str) -> str:
    """The marks of a runner's workers."""
    return os.path.join(folder, runner + ".marks")


class Journal:
    """The file of the living runner. ``append`` collects, ``flush`` writes; offsets are known at once."""

    def __init__(self, folder: str, runner: str) -> None:
        self._path = path_of(folder, runner)
        self._head = _line({"v": VERSION, "runner": runner})
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._waiting: List[bytes] = []
        self._written = 0
        self.end = 0  # where the next line goes
        self.append(self._head)

    @property
    def is_waiting(self) -> bool:
        """Whether something collected is not yet written."""
        return bool(self._waiting)

    def append(self, line: bytes) -> int:
        """Take a line (with its newline); answer the offset it will have."""
        at = self.end
        self._waiting.append(line)
        self.end += len(line)
        return at

    def hold(self, keys: Iterable[Key]) -> None:
        """Note attempts that are held from now on."""
        self.append(_line({"held": [list(key) for key in keys]}))

    def flush(self) -> bool:
        """Write what was collected. False: the disk would not take it; nothing of it may be told, it is tried again."""
        if not self._waiting:
            return True
        data = b"".join(self._waiting)
        try:
            if os.write(self._file, data) == len(data):
                self._waiting = []
                self._written += len(data)
                return True
        except OSError:
            pass
        os.ftruncate(self._file, self._written)
        self._waiting = [data]
        return False

    def read(self, place: Place) -> bytes:
        """A record that was written."""
        return os.pread(self._file, place.size, place.offset)

    def restart(self, held: List[Key], kept: List[bytes]) -> List[int]:
        """Replace the file by one with only this in it; answer the new offsets of ``kept``."""
        lines = [self._head, _line({"held": [list(key) for key in held]}), *kept]
        beside = self._path + ".new"
        file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        data = b"".join(lines)
        if not _write_whole(file, data):
            os.close(file)
            os.unlink(beside)
            raise OSError("no room for a new journal")
        os.rename(beside, self._path)
        os.close(self._file)
        self._file, self._written, self.end = file, len(data), len(data)
        return _offsets(lines)[2:]

    def empty(self) -> None:
        """Nothing is held and everything is stored: only the head stays."""
        os.ftruncate(self._file, len(self._head))
        self._written = self.end = len(self._head)

    @property
    def head_bytes(self) -> int:
        """The size of a journal without content."""
        return len(self._head)

    def remove(self) -> None:
        """End it for good."""
        os.close(self._file)
        os.unlink(self._path)


def _write_whole(file: int, data: bytes) -> bool:
    try:
        return os.write(file, data) == len(data)
    except OSError:
        return False


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def _offsets(lines: List[bytes]) -> List[int]:
    out, at = [], 0
    for line in lines:
        out.append(at)
        at += len(line)
    return out


class Left:
    """The journal of a runner that died: its open attempts are ended, and it waits here to be collected."""

    def __init__(self, folder: str, runner: str) -> None:
        self.runner = runner
        self._path = path_of(folder, runner)
        self._marks = marks_of(folder, runner)
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND)
        self.places: List[Place] = []
        #: Attempts whose end is among the records.
        self.ended: Set[Key] = set()
        self._open: Set[Key] = set()
        self._read_all()
        self._end_open()

    def _read_all(self) -> None:
        """Read line by line; what follows the last whole line was never told to anyone."""
        at = 0
        with open(self._path, "rb") as stream:
            for line in stream:
                if not line.endswith(b"\n") or not self._take(line, at):
                    break
                at += len(line)
        os.ftruncate(self._file, at)
        self._end = at

    def _take(self, line: bytes, at: int) -> bool:
        try:
            value = json.loads(line.decode("ascii"))
        except ValueError:
            return False
        if isinstance(value, dict):
            self._open.update((job, attempt) for job, attempt in value.get("held", ()))
        else:
            self.places.append(Place(value[0], at, len(line) - 1))
            if value[1] != "start":
                self._open.discard((value[2], value[3]))
                self.ended.add((value[2], value[3]))
        return True

    def _end_open(self) -> None:
        """Give each open attempt its end, on the evidence of the marks, durably before it is told."""
        started = marks.read_started(self._marks) if self._open else set()
        seq = max([place.seq for place in self.places], default=0)
        data = bytearray()
        for job, attempt in sorted(self._open):
            seq += 1
            line = _line([seq, "end", job, attempt, _died((job, attempt) in started)])
            self.places.append(Place(seq, self._end + len(data), len(line) - 1))
            data += line
            self.ended.add((job, attempt))
        if data and not _write_whole(self._file, bytes(data)):
            raise OSError("no room in %s" % self._path)
        self._end += len(data)

    def texts(self, limit_records: int, limit_bytes: int) -> List[bytes]:
        """The first records, as many as may go together."""
        out: List[bytes] = []
        size = 0
        for place in self.places[:limit_records]:
            size += place.size
            if out and size > limit_bytes:
                break
            out.append(os.pread(self._file, place.size, place.offset))
        return out

    def stored(self, seq: int) -> None:
        """The server has everything up to seq."""
        self.places = [place for place in self.places if place.seq > seq]

    def remove(self) -> None:
        """All of it is stored."""
        os.close(self._file)
        for path in (self._path, self._marks):
            if os.path.exists(path):
                os.unlink(path)


def _died(started: bool) -> Any:
    return {"ok": False, "reason": "died", "error": "the runner on the node died", "started": started}


def left_behind(folder: str, living: Optional[str] = None) -> List[str]:
    """The runners, other than the living one, that left a journal here."""
    names = [name[:-4] for name in os.listdir(folder) if name.endswith(".jnl")]
    return sorted(name for name in names if name != living)
