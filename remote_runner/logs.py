"""What an attempt prints, bounded: its ends in memory for the record, more of it in a file for whoever looks live."""

import os
import struct
from typing import Any, Dict, Optional, Tuple

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 192 * 1024
FILE_HEAD_BYTES = 1024 * 1024
FILE_RING_BYTES = 9 * 1024 * 1024
#: Printed text waits here before a file is made for it; most attempts print less and are over soon.
EARLY_BYTES = 64 * 1024

_TOTAL = struct.Struct("<Q")
_FRONT = 16


class Log:
    """One stream of one attempt."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._head = bytearray()
        self._tail = bytearray()
        self._early: Optional[bytearray] = bytearray()
        self._file: Optional[int] = None
        self.total = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        room = HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += data[:room]
        if len(data) > room:
            self._tail += data[max(0, room) :]
            if len(self._tail) > 2 * TAIL_BYTES:
                del self._tail[:-TAIL_BYTES]
        if self._early is not None:
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self.keep()
        elif self._file is not None:
            write_ring(self._file, self.total, data)
        self.total += len(data)

    def keep(self) -> None:
        """Make the file: the attempt lasts, or prints much. Without room for it the record's ends must do."""
        if self._early is None:
            return
        early, self._early = self._early, None
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError:
            return
        write_ring(self._file, 0, bytes(early))

    def record(self) -> Dict[str, Any]:
        """The part that goes home."""
        tail = bytes(self._tail[-TAIL_BYTES:])
        return {
            "head": self._head.decode("utf-8", "replace"),
            "tail": tail.decode("utf-8", "replace"),
            "total": self.total,
        }

    def close(self) -> None:
        """Forget it, file and all."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            os.unlink(self._path)


def write_ring(file: int, total: int, data: bytes) -> None:
    """Put bytes that begin at offset ``total`` of the stream where they belong; a full disk loses them, no more."""
    view = memoryview(data)
    at = total
    try:
        while view:
            place, room = _place(at)
            part = view[:room]
            os.pwrite(file, part, place)
            at += len(part)
            view = view[room:]
        os.pwrite(file, _TOTAL.pack(at), 0)
    except OSError:
        pass


def _place(at: int) -> Tuple[int, int]:
    """Where offset ``at`` of the stream lies in the file, and how many bytes fit from there."""
    if at < FILE_HEAD_BYTES:
        return _FRONT + at, FILE_HEAD_BYTES - at
    inside = (at - FILE_HEAD_BYTES) % FILE_RING_BYTES
    return _FRONT + FILE_HEAD_BYTES + inside, FILE_RING_BYTES - inside


def read_ring(path: str, offset: int, limit: int) -> Dict[str, Any]:
    """Live reading: bytes from ``offset`` on, or from the first later one that is still there."""
    with open(path, "rb") as stream:
        (total,) = _TOTAL.unpack(stream.read(_TOTAL.size))
        oldest = max(FILE_HEAD_BYTES, total - FILE_RING_BYTES)
        if FILE_HEAD_BYTES <= offset < oldest:
            offset = oldest
        out = bytearray()
        at = offset
        while at < total and len(out) < limit:
            if FILE_HEAD_BYTES <= at < oldest:
                break
            place, room = _place(at)
            stream.seek(place)
            part = stream.read(min(room, total - at, limit - len(out)))
            if not part:
                break
            out += part
            at += len(part)
    return {"offset": offset, "next": at, "total": total, "text": out.decode("utf-8", "replace")}
