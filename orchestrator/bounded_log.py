"""A log file that never outgrows its bound: when full it becomes ``<name>.1`` and begins anew. Bytes in, file out."""

import contextlib
import os
from pathlib import Path
from typing import BinaryIO, Final, Protocol

LIMIT_BYTES: Final = 5 * 2**20


class _Readable(Protocol):
    def fileno(self) -> int: ...


class BoundedLog:
    """Keeps between one and two times ``limit_bytes`` of the newest output."""

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._limit_bytes = limit_bytes
        self._file: BinaryIO = path.open("ab")

    def write(self, data: bytes) -> None:
        if self._file.tell() + len(data) > self._limit_bytes:
            self._file.close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._file = self._path.open("ab")
        self._file.write(data[-self._limit_bytes :])
        self._file.flush()

    def pump(self, source: _Readable) -> None:
        """Copy a pipe until it ends; for a thread of its own. What cannot be written is dropped: the pipe must flow."""
        while data := os.read(source.fileno(), 1 << 16):
            with contextlib.suppress(OSError, ValueError):
                self.write(data)

    def close(self) -> None:
        self._file.close()
