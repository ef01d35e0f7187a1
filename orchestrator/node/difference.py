"""What a version's folder has that an older one has not, as one small message for the runner's verb ``receive``.

Reads files, talks to nobody. What is large is None: rsync carries that, and finds what is equal inside of files too.
"""

import functools
import json
import os
import stat
import threading
from pathlib import Path
from typing import Final

from remote_runner import digest

#: Of the whole message. A command with so much input fits into a channel's window, so nothing waits for more room.
LIMIT_BYTES: Final = 256 << 10
_CHUNK_BYTES: Final = 1 << 20
#: So that a hundred machines that need the same message at once have it made once.
_making = threading.Lock()


def message(base: Path | None, source: Path) -> bytes | None:
    """See ``remote_runner.sealing.receive``; None if it would be large. Versions never change."""
    with _making:
        return _message(base, source)


@functools.lru_cache(maxsize=8)
def _message(base: Path | None, source: Path) -> bytes | None:
    rows: list[tuple[str, bool, int | None]] = []
    contents: list[bytes] = []
    room_bytes = LIMIT_BYTES
    for relative, path in digest.entries(str(source)):
        facts = Path(path).stat()
        executable = bool(facts.st_mode & stat.S_IXUSR)
        linked = base is not None and _is_equal(Path(path), facts, base / relative)
        room_bytes -= 0 if linked else facts.st_size
        if room_bytes < 0:
            return None
        if not linked:
            contents.append(Path(path).read_bytes())
        rows.append((os.fsencode(relative).decode("latin-1"), executable, None if linked else facts.st_size))
    whole = b"".join((json.dumps(rows, separators=(",", ":")).encode("ascii"), b"\n", *contents))
    return whole if len(whole) <= LIMIT_BYTES else None


def _is_equal(path: Path, facts: os.stat_result, earlier: Path) -> bool:
    """Same content, and executable as before."""
    try:
        other = earlier.lstat()
        if not stat.S_ISREG(other.st_mode) or other.st_size != facts.st_size:
            return False
        if (other.st_mode ^ facts.st_mode) & stat.S_IXUSR:
            return False
        with path.open("rb") as ours, earlier.open("rb") as theirs:
            while block := ours.read(_CHUNK_BYTES):
                if block != theirs.read(_CHUNK_BYTES):
                    return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
