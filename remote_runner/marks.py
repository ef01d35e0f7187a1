"""Marks that say "work() is about to be entered", durable without a system call. One mapped page a worker.

A page lives in a file, so a mark outlives every process of ours. The executor writes marks; the supervisor and the
runner read them; the next runner reads what a dead one left. Words are 64-bit and native, so each is written whole.
"""

import mmap
import os
from typing import Optional, Set, Tuple

PAGE_BYTES = 4096
#: How many attempts of one worker may be told apart; far more than are ever handed out ahead.
ENTRIES = 64
IDLE = -1

_CURRENT = 0  # the entry being worked on, or IDLE
_PUMPING = 1  # the runner is between reading a pipe and saying so
_TAKEN = 2  # bytes the runner has taken from stdout, and from stderr in the next word
_FIRST = 8
_WORDS = 4  # job, attempt, check, started (monotonic microseconds)
_SALT = 0x6D6A6D61726B


class Page:
    """The page of one worker: of the file ``fd``, or with -1 of none, for nobody to see."""

    def __init__(self, fd: int, number: int) -> None:
        self._map = mmap.mmap(fd, PAGE_BYTES, offset=number * PAGE_BYTES)
        self._words = memoryview(self._map).cast("q")

    def reset(self) -> None:
        """Forget the current entry; the marks themselves stay."""
        self._words[_CURRENT] = IDLE

    def begin(self, entry: int, job: int, attempt: int, started_us: int) -> None:
        """Mark the start of an attempt. The check comes last: half a mark is no mark."""
        words = self._words
        at = _FIRST + entry * _WORDS
        words[at] = job
        words[at + 1] = attempt
        words[at + 3] = started_us
        words[at + 2] = _check(job, attempt)
        words[_CURRENT] = entry

    def current(self) -> int:
        """The entry that is being worked on, or IDLE."""
        return self._words[_CURRENT]

    def started_us(self, entry: int, job: int, attempt: int) -> Optional[int]:
        """When this attempt began, or None if its mark is not there."""
        words = self._words
        at = _FIRST + entry * _WORDS
        if words[at] == job and words[at + 1] == attempt and words[at + 2] == _check(job, attempt):
            return words[at + 3]
        return None

    def pumping(self, busy: bool) -> None:
        """Say around each read of a pipe that its count is on the move."""
        self._words[_PUMPING] = 1 if busy else 0

    def took(self, stream: int, total: int) -> None:
        """Say how much of stdout (0) or stderr (1) has been taken so far."""
        self._words[_TAKEN + stream] = total

    def taken(self) -> Optional[Tuple[int, int]]:
        """How much has been taken of each, or None while that is on the move."""
        words = self._words
        return None if words[_PUMPING] else (words[_TAKEN], words[_TAKEN + 1])

    def close(self) -> None:
        """Give the mapping back."""
        self._words.release()
        self._map.close()


def _check(job: int, attempt: int) -> int:
    return (job ^ (attempt << 20) ^ _SALT) & 0x7FFFFFFFFFFFFFFF


def open_file(path: str) -> int:
    """The file that holds the pages; its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def add_page(fd: int, number: int) -> Page:
    """The page of worker ``number``, written out first, so that a full disk shows here and not as a crash later."""
    os.pwrite(fd, bytes(PAGE_BYTES), number * PAGE_BYTES)
    page = Page(fd, number)
    page.reset()
    return page


def read_started(path: str) -> Set[Tuple[int, int]]:
    """Every (job, attempt) that a file of pages shows as started."""
    found: Set[Tuple[int, int]] = set()
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except FileNotFoundError:
        return found
    for start in range(0, len(data) - PAGE_BYTES + 1, PAGE_BYTES):
        words = memoryview(data)[start : start + PAGE_BYTES].cast("q")
        for at in range(_FIRST, _FIRST + ENTRIES * _WORDS, _WORDS):
            if words[at + 2] == _check(words[at], words[at + 1]):
                found.add((words[at], words[at + 1]))
    return found
