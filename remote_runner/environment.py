"""The environments of a root: packages for jobs, one folder for each (lock, Python), made once by ``building``.

Which there are, how a process takes one on, and which are too old or too many. Installs nothing.
"""

import fcntl
import json
import os
import site
import sys
import time
from typing import Any, Dict, Iterable, List, NamedTuple, Optional

from remote_runner.folder import remove

FOLDER = "environments"
#: Written into an environment before it gets its name; its mtime is the last use.
READY = "ready.json"
CACHE = ".cache"
STAGE = ".stage-"
#: A stage whose builder was killed is swept after so long; no build may take longer.
STAGE_AGE_S = 6 * 3600.0
#: Where nobody says otherwise: so long it may stay unused, and so much room all may take.
UNUSED_S = 30 * 86400.0
LIMIT_BYTES = 20 << 30
#: What was used within an hour stays, whatever room it takes.
YOUNG_S = 3600.0
#: The oldest Python that packages are installed for.
FLOOR = (3, 8)

Kept = NamedTuple("Kept", [("name", str), ("size_bytes", int), ("used_at", float)])


def tag() -> str:
    """What an environment is made for besides its lock: kind and minor version of this Python, and the processor."""
    kind = {"cpython": "cp", "pypy": "pp"}.get(sys.implementation.name, sys.implementation.name)
    return "%s%d%d-%s" % (kind, sys.version_info[0], sys.version_info[1], os.uname().machine)


def name_of(digest: str) -> str:
    """The folder of an environment for this Python, below FOLDER."""
    return "%s-%s" % (digest, tag())


def row(path: str) -> Optional[Dict[str, Any]]:
    """What is known of the environment at this path; None: there is none that is whole."""
    ready = os.path.join(path, READY)
    try:
        with open(ready, encoding="utf-8") as stream:
            facts = json.load(stream)
        return {
            "name": os.path.basename(path),
            "digest": str(facts["digest"]),
            "python": str(facts["python"]),
            "size_bytes": int(facts["size_bytes"]),
            "used_at": os.stat(ready).st_mtime,
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def rows(root: str) -> List[Dict[str, Any]]:
    """All that are whole."""
    found = [row(os.path.join(root, FOLDER, name)) for name in sorted(_names(root)) if not name.startswith(".")]
    return [each for each in found if each is not None]


def can_run(path: str) -> bool:
    """Whether it is for this Python, and that is still where it was."""
    return os.path.basename(path).endswith("-" + tag()) and os.access(os.path.join(path, "bin", "python"), os.X_OK)


def hold(path: str) -> int:
    """Keep it from being swept while the descriptor is open, and note that it is used. Raises OSError: not there."""
    if not can_run(path):
        raise OSError("%s is not an environment of this Python" % os.path.basename(path))
    file = os.open(os.path.join(path, READY), os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_SH)
    touch(path)
    return file


def touch(path: str) -> None:
    """It is used now."""
    os.utime(os.path.join(path, READY), None)


def enter(path: str) -> None:
    """Import from it, and no more from what the machine has installed; what this process starts does the same."""
    installed = {os.path.realpath(each) for each in site.getsitepackages() + [site.getusersitepackages()]}
    sys.path[:] = [each for each in sys.path if os.path.realpath(each) not in installed]
    site.addsitedir(os.path.join(path, "lib", "python%d.%d" % sys.version_info[:2], "site-packages"))
    sys.executable = os.path.join(path, "bin", "python")
    sys.prefix = sys.exec_prefix = path
    os.environ["VIRTUAL_ENV"] = path
    os.environ["PATH"] = os.pathsep.join([os.path.join(path, "bin"), os.environ.get("PATH", os.defpath)])
    os.environ.pop("PYTHONHOME", None)
    # It holds its own compiled files, and takes no others.
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    if sys.version_info >= (3, 8):
        sys.pycache_prefix = None
        os.environ.pop("PYTHONPYCACHEPREFIX", None)


# -- sweeping


def choose(kept: Iterable[Kept], now: float, age_s: float, limit_bytes: int) -> List[str]:
    """The names of those to remove: unused for too long, and the longest unused of more than there may be. Pure."""
    chosen = []
    total = 0
    for each in sorted(kept, key=lambda one: -one.used_at):
        total += each.size_bytes
        unused_s = now - each.used_at
        if unused_s > age_s or (total > limit_bytes and unused_s > YOUNG_S):
            chosen.append(each.name)
    return chosen


def sweep(root: str, age_s: float, limit_bytes: int) -> List[str]:
    """Remove stages of builders that died, and what ``choose`` names unless a worker holds it; what was removed."""
    folder = os.path.join(root, FOLDER)
    now = time.time()
    removed = [name for name in _names(root) if name.startswith(STAGE) and _is_left(os.path.join(folder, name), now)]
    for name in removed:
        remove(os.path.join(folder, name))
    kept = [Kept(each["name"], each["size_bytes"], each["used_at"]) for each in rows(root)]
    removed += [name for name in choose(kept, now, age_s, limit_bytes) if _remove_unheld(folder, name)]
    removed += _remove_words(folder, now - age_s)
    cache = os.path.join(folder, CACHE)
    if os.path.isdir(cache) and (now - os.stat(cache).st_mtime > age_s or _over(kept, cache, limit_bytes)):
        remove(cache)
        removed.append(CACHE)
    return removed


def _remove_words(folder: str, before: float) -> List[str]:
    """Locks and logs of environments that never came to be, or are gone."""
    removed = []
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if name.endswith((".lock", ".log")) and os.lstat(path).st_mtime < before:
            os.unlink(path)
            removed.append(name)
    return removed


def _over(kept: Iterable[Kept], cache: str, limit_bytes: int) -> bool:
    """Packages that were kept for the next build are the first to go; one that goes on may use them."""
    is_quiet = time.time() - os.stat(cache).st_mtime > YOUNG_S
    return is_quiet and sum(each.size_bytes for each in kept) + size_bytes(cache) > limit_bytes


def _remove_unheld(folder: str, name: str) -> bool:
    path = os.path.join(folder, name)
    try:
        file = os.open(os.path.join(path, READY), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        away = os.path.join(folder, STAGE + "away-%s-%d" % (name, os.getpid()))
        os.chmod(path, 0o700)
        os.rename(path, away)  # at once: half of one is never there under its name
    except OSError:
        return False
    finally:
        os.close(file)
    remove(away)
    for beside in (".%s.lock" % name, "%s.log" % name):
        remove(os.path.join(folder, beside))
    return True


def _is_left(path: str, now: float) -> bool:
    try:
        return now - os.lstat(path).st_mtime > STAGE_AGE_S
    except OSError:
        return False


def size_bytes(path: str) -> int:
    """The room all below takes."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                pass
    return total


def _names(root: str) -> List[str]:
    try:
        return os.listdir(os.path.join(root, FOLDER))
    except OSError:
        return []
