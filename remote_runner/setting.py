"""Set the scene for a job's code: streams, environment, sys.path, a blank __main__.

Most of it once, in the supervisor: every page an executor need not touch makes its start cheaper.
"""

import _signal  # type: ignore[import-not-found]
import io
import os
import signal
import site
import sys
import types

from remote_runner import environment, multijob_progress, progress
from remote_runner.folder import Folder
from remote_runner.seat import Seat

#: In the environment of everything a worker starts, so that leftovers can be told.
MARKER = "MJ_WORKER"

# What every executor needs, at hand: it has fewer pages to touch than by looking for it.
_chdir, _wake_nobody, _handle = os.chdir, signal.set_wakeup_fd, _signal.signal
_CHLD, _TERM, _HUP, _INT = (int(each) for each in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT))
_DEFAULT, _INTERRUPT = _signal.SIG_DFL, signal.default_int_handler


def prepare(seat: Seat, folder: Folder) -> None:
    """What all executors of a worker share; they inherit it. Calls no code of a job."""
    _environment(seat, folder)
    _streams(seat)
    _path(folder.path, seat.version.env.get("PYTHONPATH", ""))
    packages = environment_of(seat)
    if packages:
        environment.enter(packages)
    else:
        _add_user_site()
    _offer_progress(os.path.join(seat.root, seat.version.folder))
    sys.argv = ["main.py"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    os.umask(0o077)


def environment_of(seat: Seat) -> str:
    """The folder of the packages that a seat's version asks for; "": it asks for none."""
    digest = seat.version.environment
    return os.path.join(seat.root, environment.FOLDER, environment.name_of(digest)) if digest else ""


def enter(folder: Folder) -> None:
    """What is left to do in an executor."""
    _chdir(folder.path)
    _wake_nobody(-1)
    _handle(_CHLD, _DEFAULT)
    _handle(_TERM, _DEFAULT)
    _handle(_HUP, _DEFAULT)
    _handle(_INT, _INTERRUPT)


def _environment(seat: Seat, folder: Folder) -> None:
    os.environ.update(seat.version.env)
    os.environ[MARKER] = marker(seat.run)
    os.environ["PWD"] = folder.path
    os.environ[multijob_progress.VARIABLE] = progress.path_of(seat.run, seat.number)
    os.environ.setdefault("PYTHONIOENCODING", "utf-8")
    # Compiled files never land in a version's folder, whose digest must not change.
    if sys.version_info >= (3, 8):
        # One place for each content: workers take turns in one folder, and Python tells two sources of one path apart
        # only by size and whole seconds.
        sys.pycache_prefix = os.path.join(seat.run, "pycache", seat.version.digest)
        os.environ.setdefault("PYTHONPYCACHEPREFIX", sys.pycache_prefix)
    else:
        sys.dont_write_bytecode = True
        os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")


def _offer_progress(version: str) -> None:
    """``import multijob_progress`` finds ours, unless the job brings one of its own."""
    name = "multijob_progress"
    if not os.path.exists(os.path.join(version, name + ".py")):
        sys.modules[name] = multijob_progress


def marker(run: str) -> str:
    """The value of MARKER for all workers of one root."""
    return os.path.realpath(run)


def _streams(seat: Seat) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (seat.stdout, 1), (seat.stderr, 2)):
        os.dup2(source, target)
    os.close(null)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stdout = sys.__stdout__ = _writer(1, "surrogateescape")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _writer(2, "backslashreplace")  # type: ignore[misc]


def _writer(descriptor: int, errors: str) -> io.TextIOWrapper:
    """A line-buffered text stream, so that what was printed is out when the process dies."""
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors=errors, line_buffering=True)


def _path(folder: str, more: str) -> None:
    """The job's folder first; then what the version asks for; then the node's own packages. Ours is gone."""
    ours = ("", sys.argv[0], os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    kept = [each for each in sys.path if each not in ours]
    sys.path[:] = [folder, *[each for each in more.split(os.pathsep) if each], *kept]


def _add_user_site() -> None:
    """The runner runs isolated; a job that asks for no packages may use what the node's user has installed."""
    own = site.getusersitepackages()
    if own not in sys.path and os.path.isdir(own):
        site.addsitedir(own)
