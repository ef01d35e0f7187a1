"""The executor: the one process that runs a job's code. Takes jobs one at a time, marks, calls, sends the result.

Everything it needs to bring a result home is taken before the job's code loads, because that code may change anything.
"""

import _signal  # type: ignore[import-not-found]
import array
import builtins
import fcntl
import os
import signal
import socket
import struct
import sys
import termios
import time
import types
from json.encoder import encode_basestring_ascii as _quote
from typing import Any, Dict, Optional, Tuple

from remote_runner import call, hygiene, setting
from remote_runner.failure import describe
from remote_runner.folder import Folder
from remote_runner.foresight import Foreseen
from remote_runner.marks import Page
from remote_runner.protocol import FRAME_LIMIT_BYTES, Version
from remote_runner.seat import PACKET_BYTES, Seat

# A job may replace the names every line stands on. Where it is the only one of its process they are not put back, which
# would touch each of them: what follows it, here and in ``call``, has them from a dict of its own.
__builtins__ = dict(builtins.__dict__)  # type: ignore[assignment]  # a dict is as good as the module

_write = os.write
_read_file = open
_unlink = os.unlink
_exit = os._exit
_ioctl = fcntl.ioctl
_FIONREAD = termios.FIONREAD
_monotonic = time.monotonic
_sleep = time.sleep
_sigmask = _signal.pthread_sigmask  # the plain one: without the search for enums
_ALL_SIGNALS = [int(each) for each in signal.Signals]
#: A record must fit a frame together with its neighbours' brackets and a log.
_BODY_LIMIT_BYTES = FRAME_LIMIT_BYTES - 4 * 1024 * 1024


#: After so many calls an interpreter has done for a function what it does.
_REHEARSALS = 40


class Executor:
    """One process's working life, until it has to make room for a clean one.

    Made in the supervisor, which forks: what it has at hand from the beginning costs no executor anything.
    """

    def __init__(self, seat: Seat, folder: Folder) -> None:
        self._seat = seat
        self._folder = folder
        self._page = seat.page
        self._results = seat.results
        #: Of main.py, where the supervisor has looked already.
        self.foreseen: Optional[Foreseen] = None
        self._module: Optional[types.ModuleType] = None
        self._hooks = call.Hooks(None, None)
        self._watch: Optional[hygiene.Watch] = None
        self._is_last = False  # its first job is the only one
        #: The names every line of ours stands on; a job may have replaced them when it ends.
        self._builtins: Dict[str, Any] = dict(builtins.__dict__)
        self._restore = builtins.__dict__.update
        self._home = hygiene.identities((seat.results,))
        self._jobs = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, seat.jobs)
        self._receive_into = self._jobs.recv_into
        self._buffer = bytearray(PACKET_BYTES)
        self._count = array.array("i", [0])
        self._stdout_flush, self._stderr_flush = sys.stdout.flush, sys.stderr.flush

    def run(self) -> None:
        """Take jobs until the socket ends, the bound is reached, or something was changed."""
        view = memoryview(self._buffer)
        left = jobs_of(self._seat.version)
        self._is_last = left == 1
        while left:
            size = self._receive_into(self._buffer)
            if not size:
                return
            self._attempt(bytes(view[:size]))
            left -= 1
            if self._watch is None or self._watch.changed():
                return

    def rehearse(self, jobs: socket.socket) -> None:
        """Run a job of ours some times, each as if it were the first; what is sent to ``jobs`` comes here."""
        code = compile("def work(x):\n    return x\n", "main.py", "exec")
        mask = _sigmask(signal.SIG_BLOCK, ())
        for _ in range(_REHEARSALS):
            self._module, self.foreseen = None, Foreseen(types.ModuleType("main"), code)
            jobs.send(b'0 1 1 t\n{"args":[1],"kwargs":{}}')
            self.run()
            _sigmask(signal.SIG_SETMASK, mask)
        del sys.modules["main"]
        self._jobs.close()

    def _attempt(self, packet: bytes) -> None:
        head, _, text = packet.partition(b"\n")
        entry, job, attempt, kind = head.split()
        started = _monotonic()
        self._page.begin(int(entry), int(job), int(attempt), int(started * 1000000))
        body = self._work(kind, text, started)
        self._flush()
        spent_us = int((_monotonic() - started) * 1000000)
        stdout, stderr = self._written()
        line = b"%s %d %d %d %s\n" % (entry, stdout, stderr, spent_us, body)
        self._send(line)
        self._page.reset()

    def _work(self, kind: bytes, text: bytes, started: float) -> bytes:
        """Run work() and answer the record's body. Nothing it does, short of ending the process, gets past here."""
        try:
            if self._module is None:
                self._module = self._load()
                self._hooks = call.hooks(self._module)
                if not self._is_last:  # the process ends after it anyway, and the supervisor looks what it left
                    self._builtins = dict(builtins.__dict__)  # what main.py changed at its import may stay
                    self._watch = hygiene.Watch(self._folder, _fixed(self._seat))
            if kind == b"f":
                text = self._from_file(text)
            args, kwargs = call.arguments(text.decode("utf-8", "surrogatepass"))
            value = self._module.work(*args, **kwargs)
            if not self._is_last:
                self._restore(self._builtins)
            spent = _monotonic() - started
            body = _success(call.shape_with(self._hooks, value), spent)
            self._shield()
        except BaseException as error:  # noqa: BLE001  # a job may raise anything, SystemExit and KeyboardInterrupt too
            self._restore(self._builtins)
            self._shield()
            return describe(error, _monotonic() - started)
        return body

    def _load(self) -> types.ModuleType:
        return call.load(self._folder.path) if self.foreseen is None else self.foreseen.load()

    def _shield(self) -> None:
        """A handler or alarm the job left must not strike while its result is on the way; the process ends after it."""
        if self._watch is None or self._watch.signals_changed():
            _sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)

    def _from_file(self, path: bytes) -> bytes:
        with _read_file(path, "rb") as stream:
            text = stream.read()
        _unlink(path)
        return text

    def _flush(self) -> None:
        """Push out what Python itself still holds of the attempt's output."""
        try:
            self._stdout_flush()
            self._stderr_flush()
        except Exception:  # noqa: BLE001, S110  # a closed or replaced stream has nothing to push
            pass

    def _written(self) -> Tuple[int, int]:
        """How much has been written to stdout and stderr so far: what the runner took and what still waits."""
        page = self._page
        for _ in range(2000):
            taken = page.taken()
            if taken is not None:
                stdout, stderr = self._unread(self._seat.stdout), self._unread(self._seat.stderr)
                if page.taken() == taken:
                    return taken[0] + stdout, taken[1] + stderr
            _sleep(0.0005)
        return 0, 0

    def _unread(self, pipe: int) -> int:
        """How much waits in a pipe; nothing can where the job closed it."""
        try:
            _ioctl(pipe, _FIONREAD, self._count)
        except OSError:
            return 0
        return self._count[0]

    def _send(self, line: bytes) -> None:
        """Send a result line home: over the socket we were given, or a new one where the job closed that."""
        if hygiene.same_files(self._home):
            view = memoryview(line)
            while view:
                view = view[_write(self._results, view) :]
            return
        self._send_by_path(line)

    def _send_by_path(self, line: bytes) -> None:
        message = b'{"t":"result","worker":%d,"line":%s}' % (
            self._seat.number,
            _quote(line.decode("ascii")).encode("ascii"),
        )
        os.chdir(self._seat.run)
        home = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        home.connect("sock")
        home.sendall(struct.pack(">I", len(message)) + message)
        home.recv(1)  # the runner closes when it has it


def _success(outcome: call.Outcome, spent: float) -> bytes:
    text = '{"ok":true,"result":%s,"spend_s":%.6f' % (_quote(outcome.result_text), spent)
    if outcome.count != 1:
        text += ',"count":%r' % outcome.count
    if outcome.return_data_text is not None:
        text += ',"return_data":' + _quote(outcome.return_data_text)
    if len(text) > _BODY_LIMIT_BYTES:
        raise call.TooLarge("result and return_data have %d bytes together once escaped" % len(text))
    return text.encode("ascii") + b"}"


def rehearse(seat: Seat, folder: Folder) -> None:
    """For who is about to fork many: what Python makes ready at the first calls of a function, no executor pays for.

    Goes through what an executor does with a job of our own, and where nobody sees it.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, open(os.devnull, "wb") as nowhere:
        quiet = seat._replace(jobs=theirs.detach(), results=nowhere.fileno(), page=Page(-1, 0))
        Executor(quiet, folder).rehearse(ours)


def jobs_of(version: Version) -> int:
    """How many jobs one executor takes; -1: as many as come."""
    return 1 if version.fresh_process else version.max_jobs_per_worker or -1


def _fixed(seat: Seat) -> Tuple[int, ...]:
    """The descriptors that carry the work home, and the three that everyone has."""
    return (seat.jobs, seat.results, seat.stdout, seat.stderr, 0, 1, 2)


def main(executor: Executor, folder: Folder) -> None:
    """Be an executor; never returns."""
    code = 70
    try:
        setting.enter(folder)
        executor.run()
        code = 0
    finally:
        _exit(code)
