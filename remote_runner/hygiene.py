"""What an attempt must leave as it found it, compared after each one: cheaply every time, wholly now and then."""

import _signal  # type: ignore[import-not-found]
import _thread
import os
import signal
import sys
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from remote_runner.folder import Folder
from remote_runner.processes import has_children

_SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGALRM,
    signal.SIGCHLD,
    signal.SIGPIPE,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
#: The whole comparison is left out when the last was less than this ago: a flood of tiny jobs shares one.
WHOLE_EVERY_S = 0.02

State = NamedTuple(
    "State",
    [
        ("environ", Dict[bytes, bytes]),
        ("path", List[str]),
        ("handlers", Tuple[Any, ...]),
        ("umask", int),
        ("threads", int),
        ("free", int),  # the lowest free descriptor
        ("open", List[str]),  # every open descriptor
        ("fixed", Tuple[Tuple[int, int, int], ...]),  # (descriptor, device, inode) of those that carry the work home
    ],
)

# Taken before user code loads: what it replaces in these modules does not matter here.
_stat = os.stat
_fstat = os.fstat
_umask = os.umask
_dup = os.dup
_close = os.close
_listdir = os.listdir
_getsignal = _signal.getsignal  # the plain one: without the search for an enum
_monotonic = time.monotonic
_count_threads = _thread._count  # noqa: SLF001  # threading's own count can be tampered with
_environ = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001  # a tenth of the price of comparing the mapping


class Watch:
    """Remembers how things stood when main.py had been imported, and says what an attempt changed."""

    def __init__(self, folder: Folder, fixed: Tuple[int, ...]) -> None:
        self._folder = folder
        self._environ_object = os.environ
        self._path_object = sys.path
        self._before = _state(fixed)
        self._whole_at = _monotonic()
        self._signals_changed = False

    def changed(self) -> Optional[str]:
        """The first thing that is not as before, or None."""
        before = self._before
        if has_children():
            return "processes"
        if not self._folder.is_here():
            return "folder"
        if os.environ is not self._environ_object or _environ != before.environ:
            return "environment"
        if sys.path is not self._path_object or sys.path != before.path:
            return "sys.path"
        if _count_threads() != before.threads:
            return "threads"
        if self._signals_changed:
            return "signals"
        if _read_umask() != before.umask:
            return "umask"
        if _lowest_free() != before.free:
            return "descriptors"
        return self._wholly_changed()

    def signals_changed(self) -> bool:
        """Whether a handler of the job's could still strike. Asked first, while that can still be shielded."""
        self._signals_changed = _handlers() != self._before.handlers
        return self._signals_changed

    def _wholly_changed(self) -> Optional[str]:
        now = _monotonic()
        if now - self._whole_at < WHOLE_EVERY_S:
            return None
        self._whole_at = now
        if not same_files(self._before.fixed) or _open() != self._before.open:
            return "descriptors"
        return "folder" if self._folder.is_changed() else None


def _state(fixed: Tuple[int, ...]) -> State:
    return State(
        environ=dict(_environ),
        path=list(sys.path),
        handlers=_handlers(),
        umask=_read_umask(),
        threads=_count_threads(),
        free=_lowest_free(),
        open=_open(),
        fixed=identities(fixed),
    )


def identities(descriptors: Tuple[int, ...]) -> Tuple[Tuple[int, int, int], ...]:
    """What each descriptor stands for."""
    return tuple((each, _fstat(each).st_dev, _fstat(each).st_ino) for each in descriptors)


def same_files(fixed: Tuple[Tuple[int, int, int], ...]) -> bool:
    """Whether the descriptors still stand for what they did."""
    try:
        for descriptor, device, inode in fixed:
            now = _fstat(descriptor)
            if now.st_ino != inode or now.st_dev != device:
                return False
    except OSError:
        return False
    return True


def _handlers() -> Tuple[Any, ...]:
    return tuple([_getsignal(each) for each in _SIGNALS])


def _read_umask() -> int:
    mask = _umask(0o077)
    if mask != 0o077:
        _umask(mask)
    return mask


def _lowest_free() -> int:
    """The number the next descriptor would get; another one where one was left open or closed."""
    try:
        number = _dup(0)
    except OSError:
        return -1
    _close(number)
    return number


def _open() -> List[str]:
    try:
        return sorted(_listdir("/proc/self/fd"))
    except OSError:
        return []
