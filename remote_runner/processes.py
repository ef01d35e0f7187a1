"""Processes as the kernel shows them: who descends from whom, and how to end a whole tree."""

import ctypes
import os
import signal
import time
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

# Plain numbers and names taken beforehand: in a fork, each object that is touched for the first time costs a page.
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_KILL = int(signal.SIGKILL)
_parent_of_this = os.getppid

Seen = NamedTuple("Seen", [("pid", int), ("parent", int), ("is_alive", bool)])


def _find_prctl(first: type) -> Optional[Callable[..., int]]:
    try:
        found = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    # prctl is variadic with unsigned long arguments; without the types the upper halves are whatever was there.
    found.argtypes = [ctypes.c_int, first, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]
    return found


_prctl = _find_prctl(ctypes.c_ulong)
_prctl_text = _find_prctl(ctypes.c_char_p)


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent dies; False where the system cannot."""
    return _prctl is not None and _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent does, also if that has happened already."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, _KILL, 0, 0, 0)
    if _parent_of_this() != parent:
        os._exit(1)


def name_this(name: str) -> None:
    """The name that ps and top show."""
    if _prctl_text is not None:
        _prctl_text(_PR_SET_NAME, name.encode("ascii")[:15], 0, 0, 0)


def seen() -> List[Seen]:
    """Every process of this machine. A zombie is not alive, unless other threads of it live on."""
    return [one for one in map(_see, _numbers("/proc")) if one is not None]


def _see(pid: str) -> Optional[Seen]:
    try:
        data = _read("/proc/%s/stat" % pid)
    except OSError:
        return None
    fields = data[data.rfind(b")") + 2 :].split()
    is_alive = fields[0] not in (b"Z", b"X") or int(fields[17]) > 1
    return Seen(int(pid), int(fields[1]), is_alive)


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _numbers(folder: str) -> List[str]:
    try:
        return [name for name in os.listdir(folder) if name.isdigit()]
    except OSError:
        return []


def descendants(root: int) -> Set[int]:
    """The living processes below ``root``, itself not among them.

    The dead count as links: a child may have been read before its parent died, and the parent after.
    """
    children: Dict[int, List[Seen]] = {}
    for process in seen():
        children.setdefault(process.parent, []).append(process)
    found: Set[int] = set()
    waiting = [root]
    while waiting:
        for process in children.pop(waiting.pop(), ()):
            waiting.append(process.pid)
            if process.is_alive:
                found.add(process.pid)
    return found


def below(root: int) -> Set[int]:
    """As ``descendants``, but asks each process for its children: not every process of the machine is looked at.

    One whose parent dies at that moment may be missed: for whoever asks until there is none. Not all kernels tell.
    """
    if not os.path.exists("/proc/self/task/%d/children" % os.getpid()):
        return descendants(root)
    found: Set[int] = set()
    waiting = [str(root)]
    while waiting:
        for pid in _children(waiting.pop()):
            process = _see(pid)
            if process is not None:
                waiting.append(pid)
                if process.is_alive:
                    found.add(process.pid)
    return found


def _children(pid: str) -> List[str]:
    found: List[str] = []
    for thread in _numbers("/proc/%s/task" % pid):
        try:
            found += _read("/proc/%s/task/%s/children" % (pid, thread)).decode("ascii").split()
        except OSError:
            pass
    return found


def send(pids: Iterable[int], number: int) -> None:
    """Signal each; those that are gone, or are not ours to signal, are passed over."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def reap() -> Tuple[Dict[int, int], bool]:
    """Collect every child that has ended, {pid: wait status}; and say whether any child is left."""
    ended: Dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        ended[pid] = status


def has_children() -> bool:
    """Whether this process has any child at all, ended or not."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def kill_all(living: Callable[[], Set[int]], until: float) -> Set[int]:
    """End all that ``living`` finds (it reaps, too), also what they start meanwhile; answer those left at ``until``.

    Everything found is stopped first: what cannot run cannot fork away.
    """
    stopped: Set[int] = set()
    while True:
        now_living = living()
        if not now_living:
            return set()
        new = now_living - stopped
        if new:
            send(new, signal.SIGSTOP)
            stopped |= new
            if len(stopped) < 10000:
                continue
        send(now_living, signal.SIGKILL)
        if time.monotonic() >= until:
            return living()
        time.sleep(0.002)


def working_below(folder: str, marker: bytes) -> Set[int]:
    """Living processes of this user that work below ``folder`` or began with ``marker`` in their environment."""
    inside = os.path.join(os.path.realpath(folder), "")
    mine = os.getpid()
    return {each.pid for each in seen() if each.is_alive and each.pid != mine and _belongs(each.pid, inside, marker)}


def _belongs(pid: int, inside: str, marker: bytes) -> bool:
    try:
        if os.path.join(os.readlink("/proc/%d/cwd" % pid), "").startswith(inside):
            return True
        with open("/proc/%d/environ" % pid, "rb") as stream:
            return marker in stream.read().split(b"\0")
    except OSError:
        return False
