"""What changed between two versions of a job folder: texts line by line, binary files by size. Bytes in, values out.

Bounded: a file too long to be compared in good time is told by its sizes only, and so is what is over the whole.
"""

import difflib
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

FILE_LIMIT_BYTES: Final = 512 * 1024
FILE_LIMIT_LINES: Final = 5000
TEXT_LIMIT_BYTES: Final = 2 * 1024 * 1024


class File(NamedTuple):
    """A file of a version."""

    content: bytes
    executable: bool


class Change(NamedTuple):
    """A file that differs. Sizes are None where there is no such file."""

    path: str
    change: Literal["added", "removed", "changed"]
    old_bytes: int | None
    new_bytes: int | None
    old_executable: bool | None
    new_executable: bool | None
    binary: bool
    #: A unified diff; None for binary files, and for texts that are too long to be shown (``too_long``).
    diff: str | None
    too_long: bool


def compare(old: Mapping[str, File], new: Mapping[str, File]) -> list[Change]:
    """All files that differ, by path."""
    paths = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    changes: list[Change] = []
    left_bytes = TEXT_LIMIT_BYTES
    for path in paths:
        change = _compare(path, old.get(path), new.get(path), left_bytes)
        left_bytes -= len(change.diff or "")
        changes.append(change)
    return changes


def _compare(path: str, old: File | None, new: File | None, left_bytes: int) -> Change:
    before, after = (_text(b"" if file is None else file.content) for file in (old, new))
    names = ("/dev/null" if old is None else f"a/{path}", "/dev/null" if new is None else f"b/{path}")
    binary = before is None or after is None
    diff = None if before is None or after is None else _diff(before, after, names)
    too_long = not binary and (diff is None or len(diff) > left_bytes)
    return Change(
        path=path,
        change="added" if old is None else "removed" if new is None else "changed",
        old_bytes=None if old is None else len(old.content),
        new_bytes=None if new is None else len(new.content),
        old_executable=None if old is None else old.executable,
        new_executable=None if new is None else new.executable,
        binary=binary,
        diff=None if too_long else diff,
        too_long=too_long,
    )


def _text(content: bytes) -> str | None:
    """None: it is no text."""
    if b"\0" in content[:8192]:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _diff(old: str, new: str, names: tuple[str, str]) -> str | None:
    """None: too long to be compared."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    if max(len(old), len(new)) > FILE_LIMIT_BYTES or max(len(before), len(after)) > FILE_LIMIT_LINES:
        return None
    return "".join(_ended(line) for line in difflib.unified_diff(before, after, *names))


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
