"""What an attempt prints, bounded: its ends in memory for the record, more of it in a file for whoever looks live.

Offsets are bytes of what was printed. Text that goes to the server has exactly as many bytes of UTF-8 as what was
printed there, so that offsets are the same everywhere: a byte that is no UTF-8 becomes a question mark.
"""

import codecs
import os
from typing import Any, Dict, Optional, Tuple

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 192 * 1024
FILE_HEAD_BYTES = 1024 * 1024
FILE_RING_BYTES = 9 * 1024 * 1024
#: Printed text waits here before a file is made for it; most attempts print less and are over soon.
EARLY_BYTES = 64 * 1024

#: How bytes that are no UTF-8 are shown: see the module.
_EXACT = "multijob-exact"
codecs.register_error(_EXACT, lambda error: ("?" * (error.end - error.start), error.end))  # type: ignore[attr-defined]


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
            self._put(self._file, self.total, data)
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
        self._put(self._file, 0, bytes(early))

    def _put(self, file: int, total: int, data: bytes) -> None:
        """Write bytes that begin at this offset of the stream where they belong; a full disk costs the whole file."""
        view = memoryview(data)
        try:
            while view:
                place, room = _place(total)
                done = os.pwrite(file, view[:room], place)
                total += done
                view = view[done:]
        except OSError:
            self._drop_file()

    def _drop_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
            try:
                os.unlink(self._path)
            except OSError:  # somebody removed it
                pass

    def record(self) -> Dict[str, Any]:
        """The part that goes home. Neither part begins or ends inside a character, unless the output itself does."""
        head, tail = bytes(self._head), bytes(self._tail[-TAIL_BYTES:])
        if tail:
            cut = whole_bytes(head)
            tail = head[cut:] + tail if len(head) + len(tail) == self.total else tail[rest_bytes(tail) :]
            head = head[:cut]
        return {"head": text_of(head), "tail": text_of(tail), "total": self.total}

    def read(self, offset: int, limit: int) -> Tuple[int, bytes]:
        """Live reading: bytes from ``offset`` on, or from the first later one that is still there; and where that is.

        A negative offset counts from the end.
        """
        offset = max(0, self.total + offset) if offset < 0 else min(offset, self.total)
        head_end, oldest = self._hole()
        if head_end <= offset < oldest:
            offset = oldest
        limit = min(limit, (head_end if offset < head_end else self.total) - offset)
        if self._early is not None:
            return offset, bytes(self._early[offset : offset + limit])
        if self._file is not None:
            return offset, self._from_file(offset, limit)
        part, at = (self._head, offset) if offset < head_end else (self._tail, len(self._tail) - (self.total - offset))
        return offset, bytes(part[at : at + limit])

    def _hole(self) -> Tuple[int, int]:
        """Where what can still be read ends for the first time, and where it begins again."""
        if self._early is not None:
            return self.total, self.total
        if self._file is None:
            return len(self._head), self.total - len(self._tail)
        head_end = min(FILE_HEAD_BYTES, self.total)
        return head_end, max(head_end, self.total - FILE_RING_BYTES)

    def _from_file(self, offset: int, limit: int) -> bytes:
        out = b""
        while len(out) < limit and self._file is not None:
            place, room = _place(offset + len(out))
            try:
                part = os.pread(self._file, min(room, limit - len(out)), place)
            except OSError:
                part = b""
            if not part:
                break
            out += part
        return out

    def end(self, limit: int) -> bytes:
        """The last bytes, at most so many and as far as they are in memory."""
        return bytes((self._tail if len(self._tail) >= limit else self._head + self._tail)[-limit:])

    def close(self) -> None:
        """Forget it, file and all."""
        self._drop_file()


def _place(at: int) -> Tuple[int, int]:
    """Where offset ``at`` of the stream lies in the file, and how many bytes fit from there."""
    if at < FILE_HEAD_BYTES:
        return at, FILE_HEAD_BYTES - at
    inside = (at - FILE_HEAD_BYTES) % FILE_RING_BYTES
    return FILE_HEAD_BYTES + inside, FILE_RING_BYTES - inside


def text_of(data: bytes) -> str:
    """Bytes as text of the same length in UTF-8, without NUL, which not every database takes."""
    return data.decode("utf-8", _EXACT).replace("\0", "?")


def whole_bytes(data: bytes) -> int:
    """How many bytes there are before a character that has begun and is not all there."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            size = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return len(data) - back if size > back else len(data)
    return len(data)


def rest_bytes(data: bytes) -> int:
    """How many bytes at the beginning belong to a character that began before."""
    count = 0
    while count < min(3, len(data)) and data[count] & 0xC0 == 0x80:
        count += 1
    return count
