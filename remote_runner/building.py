"""Build an environment: beside its place, then renamed. The verb ``environment`` on a node, and on the server for
return_main.

One builder at a time for each environment; it outlives the connection that asked for it, and ends by its own time
limit. What a killed one left is removed by the next.
"""

import fcntl
import json
import os
import selectors
import signal
import stat
import subprocess
import sys
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Set

from remote_runner import environment, installer, names, processes
from remote_runner.folder import remove

LOG_LIMIT_BYTES = 96 * 1024
LOCK_POLL_S = 0.2
KILL_S = 5.0
#: In the environment of all that a build starts, so that leftovers can be told.
MARKER = "MJ_BUILD"
_CHUNK = 1 << 16
_RUN_LIMIT_S = 20.0

Place = NamedTuple("Place", [("target", str), ("stage", str), ("scratch", str), ("cache", str)])


class Failed(Exception):
    """The environment could not be made. ``is_final``: another try would end the same."""

    def __init__(self, why: str, is_final: bool) -> None:
        super().__init__(why)
        self.why = why
        self.is_final = is_final


def look(root: str, spec: Mapping[str, Any]) -> Dict[str, Any]:
    """Whether the environment is there, and what there is to build it with."""
    target = _target(root, spec)
    row = environment.row(target) if environment.can_run(target) else None
    if row is not None:
        environment.touch(target)
    return {
        "ready": row,
        "platform": "%s-%s" % (sys.platform, os.uname().machine),
        "tools": _names(os.path.join(root, "tools")),
        "wheels": _names(os.path.join(root, "wheels")),
    }


def build(root: str, spec: Mapping[str, Any]) -> Dict[str, Any]:
    """Have the environment; ``ready``: its row, or ``why`` not, in the installer's own words, and its ``log``."""
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    processes.adopt_orphans()
    processes.name_this("mj-environment")
    until = time.monotonic() + float(spec["timeout_s"])
    target = _target(root, spec)
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    log = bytearray()
    try:
        lock = _lock(target, until)
        try:
            row = _there(target) or _make(_place(root, target), spec, log, until)
        finally:
            os.close(lock)
        return {"ready": row}
    except Failed as failed:
        return {"ready": None, "why": failed.why, "final": failed.is_final, "log": _text(log)}
    except OSError as error:
        return {"ready": None, "why": "%s: %s" % (error.filename, error.strerror), "final": False, "log": _text(log)}


def _target(root: str, spec: Mapping[str, Any]) -> str:
    name = environment.name_of(names.check(spec["digest"]))
    return os.path.join(root, environment.FOLDER, name)


def _place(root: str, target: str) -> Place:
    folder, name = os.path.split(target)
    stage = os.path.join(folder, "%s%s-%d" % (environment.STAGE, name, os.getpid()))
    return Place(target, stage, stage + ".tmp", os.path.join(root, environment.FOLDER, environment.CACHE))


def _lock(target: str, until: float) -> int:
    """Wait for whoever builds the same."""
    folder, name = os.path.split(target)
    lock = os.open(os.path.join(folder, ".%s.lock" % name), os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= until:
                os.close(lock)
                raise Failed("another build of it did not end in time", is_final=False) from None
            time.sleep(LOCK_POLL_S)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, b"%d\n" % os.getpid(), 0)
            return lock


def _there(target: str) -> Optional[Dict[str, Any]]:
    row = environment.row(target) if environment.can_run(target) else None
    if row is not None:
        environment.touch(target)
    return row


def _make(place: Place, spec: Mapping[str, Any], log: bytearray, until: float) -> Dict[str, Any]:
    if sys.version_info < environment.FLOOR:
        raise Failed(
            "Python %d.%d is too old for packages: 3.8 or newer is needed" % sys.version_info[:2], is_final=True
        )
    _remove_leftovers(place)
    try:
        for folder in (place.scratch, place.cache):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        os.utime(place.cache, None)
        _install(place, spec, log, until)
        _finish(place, spec)
        row = environment.row(place.target)
        if row is None:
            raise Failed("it is gone as soon as it was made", is_final=False)
        return row
    finally:
        _end_children()
        remove(place.stage)
        remove(place.scratch)
        _keep_log(place.target, log)


def _remove_leftovers(place: Place) -> None:
    """Of builders that were killed, and an environment that is not whole. The lock is ours."""
    folder, name = os.path.split(place.target)
    for each in os.listdir(folder):
        if each.startswith(environment.STAGE + name):
            remove(os.path.join(folder, each))
    remove(place.target)


def _install(place: Place, spec: Mapping[str, Any], log: bytearray, until: float) -> None:
    requirements = os.path.join(place.scratch, "requirements.txt")
    with open(requirements, "w", encoding="utf-8") as stream:
        stream.write("\n".join(spec["packages"]) + "\n")
    variables = _variables(place, spec)
    said = installer.read_pip(installer.pip_files(variables, os.path.expanduser("~")))
    found = installer.chosen(spec.get("index_url"), spec.get("wheels") or "", installer.sources(said, variables))
    uv = _find_uv([spec["uv"]] if spec.get("uv") else [])
    if found.cert:
        variables.setdefault("SSL_CERT_FILE", found.cert)
    for argv in _commands(place.stage, requirements, uv, spec.get("pip") or "", found):
        _run(argv, place.scratch, variables, log, until)


def _commands(stage: str, requirements: str, uv: Optional[str], pip: str, said: installer.Sources) -> List[List[str]]:
    """An empty environment first, then the packages; with uv where there is one, else with the pip that was sent."""
    python = os.path.join(stage, "bin", "python")
    if uv is not None:
        install = [uv, "pip", "install", "--python", python, *installer.uv_arguments(said), "-r", requirements]
        return [[uv, "venv", "--quiet", "--python", sys.executable, stage], install]
    own = [python, "-I", os.path.join(pip, "pip")] if pip else [sys.executable, "-m", "pip", "--python", python]
    install = [*own, "install", *installer.pip_arguments(said), "-r", requirements]
    return [[sys.executable, "-m", "venv", "--without-pip", stage], install]


def _find_uv(sent: List[str]) -> Optional[str]:
    """The uv that was sent, or the account's own; one that runs here and is not too old."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), os.path.expanduser("~/.local/bin")]
    for path in [*sent, *(os.path.join(folder, "uv") for folder in folders if folder)]:
        if not os.access(path, os.X_OK) or not os.path.isfile(path):
            continue
        try:
            said = subprocess.run(
                [path, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_RUN_LIMIT_S
            )
        except (OSError, subprocess.SubprocessError):
            continue
        version = installer.uv_version(said.stdout.decode("utf-8", "replace"))
        if version is not None and tuple(version) >= installer.UV_LEAST:
            return path
    return None


def _variables(place: Place, spec: Mapping[str, Any]) -> Dict[str, str]:
    """What the installer sees: the account's variables and the machine's, nothing of ours. It writes below us only."""
    shown = {name: value for name, value in os.environ.items() if not name.startswith("MJ_")}
    shown.update({str(name): str(value) for name, value in (spec.get("env") or {}).items()})
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"):
        shown.pop(name, None)
    shown.update(
        {
            MARKER: os.path.dirname(place.target),
            "TMPDIR": place.scratch,
            "PIP_CACHE_DIR": os.path.join(place.cache, "pip"),
            "UV_CACHE_DIR": os.path.join(place.cache, "uv"),
            "UV_PYTHON_DOWNLOADS": "never",
            "NO_COLOR": "1",
            "PYTHONIOENCODING": "utf-8",
        }
    )
    return shown


def _run(argv: List[str], cwd: str, variables: Mapping[str, str], log: bytearray, until: float) -> None:
    """Run one step; its words go to the log. Raises Failed."""
    parent = os.getpid()
    child = subprocess.Popen(
        argv,
        cwd=cwd,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: processes.die_with_parent(parent),  # noqa: PLW1509  # there is no other thread here
    )
    in_time = _listen(child, log, until)
    if not in_time:
        _end_children()
    code = child.wait()
    if not in_time:
        raise Failed("it took longer than it may; its last words:\n%s" % _text(log)[-500:], is_final=False)
    if code != 0:
        said = _text(log)
        is_final = code > 0 and installer.is_about_packages(said)
        raise Failed(installer.words(said) or "%s ended with %d" % (os.path.basename(argv[0]), code), is_final)


def _listen(child: "subprocess.Popen[bytes]", log: bytearray, until: float) -> bool:
    """Take what it prints until it ends it; False: its time is over first."""
    assert child.stdout is not None  # noqa: S101  # we asked for a pipe
    with child.stdout as stream, selectors.DefaultSelector() as waiting:
        waiting.register(stream, selectors.EVENT_READ)
        while True:
            if not waiting.select(max(0.0, until - time.monotonic())):
                return False
            data = os.read(stream.fileno(), _CHUNK)
            if not data:
                return True
            log += data
            del log[:-LOG_LIMIT_BYTES]


def _end_children() -> None:
    """Nothing a build started outlives it."""
    processes.kill_all(lambda: processes.descendants(os.getpid()), time.monotonic() + KILL_S)


def end_all(root: str) -> Set[int]:
    """End the builders of a root with all they started; those that cannot be ended."""
    folder = os.path.join(root, environment.FOLDER)
    if not os.path.isdir(folder):
        return set()
    marker = ("%s=%s" % (MARKER, folder)).encode("utf-8", "surrogateescape")
    return processes.kill_all(lambda: _builders(folder, marker), time.monotonic() + KILL_S)


def _builders(folder: str, marker: bytes) -> Set[int]:
    """Those that hold a lock here, and what they have started."""
    below = processes.working_below(folder, marker)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.endswith(".lock"):
            below |= _holder(os.path.join(folder, name))
    return below - {os.getpid()}


def _holder(path: str) -> Set[int]:
    """The builder that has this lock, by what it wrote into it."""
    try:
        lock = os.open(path, os.O_RDWR)
    except OSError:
        return set()
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(lock, 20, 0)
        return {int(text)} if text.strip().isdigit() else set()
    finally:
        os.close(lock)
    return set()


def _finish(place: Place, spec: Mapping[str, Any]) -> None:
    """Give the stage its name, with all that says what it is already in it."""
    _move_paths(place.stage, place.target)
    facts = {
        "digest": spec["digest"],
        "python": "%d.%d.%d" % sys.version_info[:3],
        "packages": list(spec["packages"]),
        "size_bytes": environment.size_bytes(place.stage),
    }
    with open(os.path.join(place.stage, environment.READY), "w", encoding="utf-8") as stream:
        json.dump(facts, stream)
    _make_read_only(place.stage)
    os.sync()  # after a power loss the name could be there without its content
    os.rename(place.stage, place.target)


def _move_paths(stage: str, target: str) -> None:
    """Scripts name their interpreter by its whole path, which is about to change."""
    old, new = os.fsencode(stage), os.fsencode(target)
    folder = os.path.join(stage, "bin")
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb") as stream:
            data = stream.read()
        if old in data and b"\0" not in data:
            mode = stat.S_IMODE(os.stat(path).st_mode)
            os.unlink(path)  # it may be a link into the cache
            with open(path, "wb") as stream:
                stream.write(data.replace(old, new))
            os.chmod(path, mode)


def _make_read_only(root: str) -> None:
    """For its own account alone, and no job may change what others import. Links are left: they lead outside."""
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode) and name != environment.READY:
                os.chmod(path, 0o500 if mode & stat.S_IXUSR else 0o400)
        if folder != root:
            os.chmod(folder, 0o500)


def _keep_log(target: str, log: bytearray) -> None:
    """For whoever looks on the machine itself."""
    try:
        with open(target + ".log", "wb") as stream:
            stream.write(log)
    except OSError:
        pass  # a full disk: the words travel anyway


def _text(log: bytearray) -> str:
    return bytes(log).decode("utf-8", "replace")


def _names(folder: str) -> List[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        return []
