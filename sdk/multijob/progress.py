"""Progress of jobs for people who wait: a bar in a notebook, a line on a terminal (rich's where it is installed)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, Union

from .values import Progress

WIDTH = 30

Report = Callable[[Progress], None]
#: What a caller may ask for: True, or a function that is told.
Wanted = Union[Report, bool, None]


@contextmanager
def reporting(wanted: Wanted) -> Iterator[Report]:
    """What to tell progress to: the given function, a bar where somebody can see one, or nobody."""
    if callable(wanted):
        yield wanted
    elif not wanted:
        yield _nobody
    elif _in_notebook():
        yield _notebook_bar()
    elif not sys.stderr.isatty():
        yield _nobody
    elif _has_rich():
        with _rich_bar() as show:
            yield show
    else:
        yield line_on(sys.stderr)


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


def _nobody(_: Progress) -> None:
    pass


def _in_notebook() -> bool:
    """Whether this is a notebook's kernel; a script must not pay for the question by an import."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def _notebook_bar() -> Report:
    display: Any = sys.modules["IPython"].display
    handle = display.display(Progress(0, 0, None, None), display_id=True)

    def show(progress: Progress) -> None:
        handle.update(progress)

    return show


def _has_rich() -> bool:
    try:
        import rich.progress
    except ImportError:
        return False
    return bool(rich.progress)


@contextmanager
def _rich_bar() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    failed = TextColumn("[red]{task.fields[failed]}[/]")
    columns = (BarColumn(), MofNCompleteColumn(), failed, TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, failed="")

        def show(progress: Progress) -> None:
            failed = f"{progress.failed} failed" if progress.failed else ""
            bar.update(task, total=progress.total, completed=progress.finished, failed=failed)

        yield show
