"""A progress line for a terminal, for scripts that want one without bringing a library."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

from .values import Progress

WIDTH = 30

Report = Callable[[Progress], None]


def reporter(wanted: Report | bool | None) -> Report:
    """What to tell progress to: the given function, a line on stderr where that is a terminal, or nobody."""
    if callable(wanted):
        return wanted
    if wanted and sys.stderr.isatty():
        return line_on(sys.stderr)
    return lambda _: None


def line_on(stream: TextIO) -> Report:
    """A reporter that keeps rewriting one line of ``stream``."""

    def show(progress: Progress) -> None:
        ended = "\n" if progress.pending == 0 else ""
        stream.write(f"\r{line_of(progress)}\x1b[K{ended}")
        stream.flush()

    return show


def line_of(progress: Progress) -> str:
    """Progress as text: ``[#####.....] 12 of 40, 1 failed``."""
    failed = f", {progress.failed} failed" if progress.failed else ""
    if not progress.total:
        return f"{progress.finished} finished{failed}"
    filled = WIDTH * min(progress.finished, progress.total) // progress.total
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {progress.finished} of {progress.total}{failed}"
