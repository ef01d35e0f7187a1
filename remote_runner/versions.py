"""The folders of a root as a whole: sweep what is old, remove everything."""

import fcntl
import os
import signal
import sys
import time
from typing import Any, Dict, List, Optional, Set, Tuple

from remote_runner import environment
from remote_runner.folder import remove
from remote_runner.remains import clear_remains
from remote_runner.sealing import Refused

STAGE_AGE_S = 3600.0
JOURNAL_AGE_S = 7 * 24 * 3600.0
#: Journals that nobody collects may take so much room in all; what is younger than a day stays whatever it takes.
JOURNALS_LIMIT_BYTES = 1 << 30
JOURNAL_YOUNG_S = 24 * 3600.0
RUNNER_AGE_S = 30 * 24 * 3600.0
VERSIONS_KEPT = 3
STOP_S = 20.0
#: Of what could not be removed, so many paths are told.
LEFT_TOLD = 50


def sweep(
    root: str,
    keep: List[str],
    unused_s: float = environment.UNUSED_S,
    environments_bytes: int = environment.LIMIT_BYTES,
) -> Dict[str, Any]:
    """Remove what is too old or too much: stages, versions, environments, tools, runners long gone; and what dead
    runners left behind. Tells which environments stay.
    """
    removed = []
    old = [*_old_stages(root), *_old_versions(root, set(keep)), *_old_tools(root), *_old_runners(root)]
    if not _runner_pid(root):
        old += [*_old_journals(root), *_old_remains(root)]
    for path in old:
        remove(path)
        removed.append(os.path.relpath(path, root))
    swept = environment.sweep(root, unused_s, environments_bytes)
    removed += [os.path.join(environment.FOLDER, name) for name in swept]
    return {"removed": sorted(removed), "environments": environment.rows(root)}


def _children(folder: str) -> List[str]:
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError:
        return []


def _age_s(path: str) -> float:
    try:
        return time.time() - os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _is_stage(path: str) -> bool:
    return os.path.basename(path).startswith(".")


def _old_stages(root: str) -> List[str]:
    """Stages lie beside versions with a dot in front, or in ROOT/stage."""
    kinds = [*_children(os.path.join(root, "versions")), os.path.join(root, "tools"), os.path.join(root, "wheels")]
    beside = [each for kind in kinds for each in _children(kind) if _is_stage(each)]
    return [each for each in beside + _children(os.path.join(root, "stage")) if _age_s(each) > STAGE_AGE_S]


def _old_tools(root: str) -> List[str]:
    """Installers and sets of wheels, of which a newer one was sent: none but the newest is asked for again."""
    return [each for kind in ("tools", "wheels") for each in _children(os.path.join(root, kind)) if _is_old_tool(each)]


def _is_old_tool(path: str) -> bool:
    return not _is_stage(path) and _age_s(path) > RUNNER_AGE_S


def _old_versions(root: str, keep: Set[str]) -> List[str]:
    used = _in_use(root)
    old = []
    for kind in _children(os.path.join(root, "versions")):
        sealed = sorted((each for each in _children(kind) if not _is_stage(each)), key=_number, reverse=True)
        old += [each for each in sealed[VERSIONS_KEPT:] if each not in used and not _is_named(root, each, keep)]
    return old


def _number(path: str) -> Tuple[int, str]:
    """Folders are called ``<version>-<digest>``; others count as oldest."""
    name = os.path.basename(path)
    first = name.partition("-")[0]
    return (int(first) if first.isdigit() else -1, name)


def _is_named(root: str, path: str, keep: Set[str]) -> bool:
    return os.path.basename(path) in keep or os.path.relpath(path, root) in keep


def _in_use(root: str) -> Set[str]:
    """Versions that a worker of a living runner shows in its folder."""
    found = set()
    for worker in _children(os.path.join(root, "run", "workers")):
        main = os.path.join(worker, "main.py")
        if os.path.islink(main):
            found.add(os.path.dirname(os.readlink(main)))
    return found


def _old_journals(root: str) -> List[str]:
    """Journals nobody collected in a week; and of more than there may be, the oldest."""
    newest_first = sorted(_children(os.path.join(root, "run", "journal")), key=_age_s)
    found = []
    total = 0
    for path in newest_first:
        total += _size_bytes(path)
        age_s = _age_s(path)
        if age_s > JOURNAL_AGE_S or (total > JOURNALS_LIMIT_BYTES and age_s > JOURNAL_YOUNG_S):
            found.append(path)
    return found


def _old_remains(root: str) -> List[str]:
    """Working folders of a runner that died, where no other came for a week to clear them."""
    folders = [os.path.join(root, "run", name) for name in ("attempts", "workers", "pycache")]
    return [each for folder in folders for each in _children(folder) if _age_s(each) > JOURNAL_AGE_S]


def _size_bytes(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _old_runners(root: str) -> List[str]:
    """Bundles of releases long gone, and what an unpacking that was cut off left."""
    return [
        each for each in _children(os.path.join(root, "runner")) if _age_s(each) > RUNNER_AGE_S and not _is_us(each)
    ]


def _is_us(path: str) -> bool:
    return os.path.splitext(os.path.abspath(sys.argv[0]))[0] == os.path.splitext(path)[0]


def purge(root: str) -> Dict[str, Any]:
    """Stop the runner, end what it left, remove the root, and the folder around it where nothing else lies in that."""
    if not os.path.isdir(root):
        return {"purged": False, "stopped": False, "removed": [], "left": []}
    pid = _runner_pid(root)
    if pid is not None:
        _stop(root, pid)
    if os.path.isdir(os.path.join(root, "run", "workers")):
        left = clear_remains(os.path.join(root, "run"))
        if left:
            raise Refused("%d processes of jobs cannot be ended" % len(left))
    from remote_runner import building  # here, because whoever attaches should not pay for it

    left = building.end_all(root)
    if left:
        raise Refused("%d processes that install packages cannot be ended" % len(left))
    was_there = [_measured(path) for path in sorted(_children(root))]
    remove(root)
    left_over = _below(root)
    if not left_over:
        _remove_if_empty(os.path.dirname(root))
    return {"purged": not left_over, "stopped": pid is not None, "removed": was_there, "left": left_over[:LEFT_TOLD]}


def _measured(path: str) -> Dict[str, Any]:
    """What an entry of the root held."""
    files = [path] if not os.path.isdir(path) or os.path.islink(path) else _files(path)
    return {"path": path, "files": len(files), "bytes": sum(_size_bytes(each) for each in files)}


def _files(folder: str) -> List[str]:
    return [os.path.join(where, name) for where, _, names_ in os.walk(folder) for name in names_]


def _below(root: str) -> List[str]:
    """Everything that is still there, the root itself among it."""
    if not os.path.lexists(root):
        return []
    return [root, *[os.path.join(where, name) for where, folders, files in os.walk(root) for name in folders + files]]


def _remove_if_empty(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        pass  # another server's folder lies there, or something of the machine's owner


def _runner_pid(root: str) -> Optional[int]:
    """The pid of the living runner: the one that holds the lock."""
    try:
        lock = os.open(os.path.join(root, "run", "lock"), os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return int(os.pread(lock, 20, 0) or b"0") or None
    finally:
        os.close(lock)
    return None


def _stop(root: str, pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + STOP_S
    while _runner_pid(root) == pid:
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.01)
