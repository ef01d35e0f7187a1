"""Start the runner of a root, or find the living one, and relay the channel between it and our stdin and stdout."""

import fcntl
import os
import signal
import socket
import sys
import time
import traceback
from typing import Optional

from remote_runner import processes, protocol
from remote_runner.folder import remove
from remote_runner.remains import clear_remains

_CHUNK = 1 << 18
#: How long a runner that is on its way out may hold the lock.
LOCK_S = 30.0
FOLDERS = ("run", "run/journal", "run/workers", "run/attempts")


class NotStarted(OSError):
    """The runner could not be started; the text says why."""


def attach(root: str, token: str) -> int:
    """The verb: relays until either side ends."""
    prepare(root)
    os.chdir(os.path.join(root, "run"))
    runner = connect() or start(root)
    os.write(1, (protocol.MARK + token + "\n").encode("ascii"))
    relay(runner)
    return 0


def prepare(root: str) -> None:
    """Make the folders, for the owner alone."""
    os.umask(0o077)
    os.makedirs(root, mode=0o700, exist_ok=True)
    for name in FOLDERS:
        os.makedirs(os.path.join(root, name), mode=0o700, exist_ok=True)


def connect() -> Optional[socket.socket]:
    """The living runner's socket, from inside run/ (a whole path may be too long for a socket)."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect("sock")
    except OSError:
        sock.close()
        return None
    return sock


def start(root: str) -> socket.socket:
    """Start a runner, detached, and connect to it."""
    ready, report = os.pipe()
    child = os.fork()
    if child == 0:
        _detach(root, report)
    os.close(report)
    os.waitpid(child, 0)
    with os.fdopen(ready, "rb") as stream:
        words = stream.read().decode("utf-8", "replace")
    runner = connect()
    if runner is None:
        raise NotStarted(words or "the runner ended at once")
    return runner


def _detach(root: str, report: int) -> None:
    """In the first fork: leave the session, fork again, be the runner. Never returns."""
    try:
        os.setsid()
        if os.fork() == 0:
            _be_runner(root, report)
    finally:
        os._exit(0)


def _be_runner(root: str, report: int) -> None:
    try:
        _close_all_but(report)
        listener = _take_root(root)
        if listener is not None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            processes.name_this("mj-runner")
            from remote_runner.runner import Runner  # here, because most attaches find a runner and need no other

            runner = Runner(root, listener)
            os.close(report)
            runner.run()
    except BaseException as error:  # noqa: BLE001  # the last place where anyone could learn of it
        _leave_words(root, report, error)
    finally:
        os._exit(0)


def _leave_words(root: str, report: int, error: BaseException) -> None:
    """To whoever waits for our start; in a file, for the next runner, when nobody does any more."""
    try:
        os.write(report, ("%s: %s" % (type(error).__name__, error)).encode("utf-8", "replace"))
    except OSError:
        with open(os.path.join(root, "run", "failure"), "w", encoding="utf-8", errors="replace") as stream:
            stream.write(traceback.format_exc()[-8000:])


def _close_all_but(kept: int) -> None:
    """Nothing of the connection we came by stays open, or sshd would wait for us."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            try:
                os.close(int(name))
            except OSError:
                pass


def _take_root(root: str) -> Optional[socket.socket]:
    """Wait for the lock, clear what the last runner left, listen. None: another one was quicker."""
    lock = os.open("lock", os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + LOCK_S
    while not _lock(lock):
        other = connect()
        if other is not None:
            other.close()
            return None
        if time.monotonic() > until:
            raise NotStarted("another runner holds %s/run/lock and does not answer" % root)
        time.sleep(0.01)
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    prepare(root)
    clear_remains(os.path.join(root, "run"))
    remove("sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind("sock")
    listener.listen(64)
    return listener


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def relay(runner: socket.socket) -> None:
    """Pass bytes both ways until one side ends."""
    import threading  # not above: where it is loaded, every fork of a runner's costs a quarter more

    threading.Thread(target=_inward, args=(runner,), daemon=True).start()
    while True:
        try:
            data = runner.recv(_CHUNK)
        except ConnectionError:  # it was about to leave when we came
            data = b""
        if not data or not _write_all(data):
            sys.stdout.flush()
            os._exit(0)


def _inward(runner: socket.socket) -> None:
    while True:
        data = os.read(0, _CHUNK)
        if not data:
            os._exit(0)
        try:
            runner.sendall(data)
        except OSError:
            return  # the other direction still has what the runner said last


def _write_all(data: bytes) -> bool:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(1, view) :]
    except OSError:
        return False
    return True
