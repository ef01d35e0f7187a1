"""The supervisor of one worker: starts executors one after another, and ends a whole process tree when told to.

It runs no code of a job, and every orphan below it becomes its child: so it knows when nothing is left.

runner -> supervisor    "kill ENTRY GRACE_S", "go", "leave"; the end of the socket means that the runner is gone
supervisor -> runner    "ready", "damaged TEXT", "broken TEXT", "exit STATUS ENTRY SWEPT", "late ENTRY",
                        "unkillable COUNT"
"""

import gc
import os
import select
import signal
import socket
import time
from typing import Callable, Optional, Set

from remote_runner import digest, environment, foresight, processes, setting, worker
from remote_runner.folder import Folder, remove
from remote_runner.marks import IDLE
from remote_runner.seat import Seat, descriptors

#: How long KILL may take before a tree is called unkillable.
KILL_S = 5.0
FREEZE_S = 2.0
#: So many executors may end before they take a job.
IDLE_DEATHS = 3
_POLL_S = 0.01


class Supervisor:
    """One worker. ``run`` returns when the worker is to end."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._folder = Folder(os.path.join(seat.run, "workers", str(seat.number)), self._version_folder())
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, seat.control)
        self._executor = 0
        self._ended: Optional[int] = None  # the executor's wait status, until it has been told
        self._woken, self._wake = os.pipe()
        self._ending = False
        self._is_single = worker.jobs_of(seat.version) == 1  # each executor takes one job
        self._ends_well = False  # one of them did
        self._idle_deaths = 0  # executors in a row that ended without a job and without being asked to

    def _version_folder(self) -> str:
        return os.path.join(self._seat.root, self._seat.version.folder)

    def run(self) -> None:
        """Work until told to leave, or until the runner is gone; nothing below lives on after that."""
        try:
            self._serve()
        finally:
            self._ending = True
            self._clear()
            remove(self._folder.path)

    def _serve(self) -> None:
        """Check the version if asked to, then keep one executor going."""
        self._listen()
        if not self._has_environment() or (self._seat.check and not self._is_sound()):
            return
        setting.prepare(self._seat, self._folder)
        if self._is_single:
            self._rehearse()
        self._next = worker.Executor(self._seat, self._folder)
        getattr(gc, "freeze", int)()  # no collection needs to touch the pages of what is here now, in any fork
        self._start()
        while not self._ending:
            ready, _, _ = select.select([self._seat.control, self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._after_end()
            if self._seat.control in ready:
                self._obey()

    def _listen(self) -> None:
        for descriptor in (self._woken, self._wake):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wake)

    def _has_environment(self) -> bool:
        """Hold the packages the version asks for, if it does: they stay as long as this worker."""
        path = setting.environment_of(self._seat)
        try:
            if path:
                environment.hold(path)
        except OSError as error:
            self._tell("damaged its packages are not there: %s" % error)
            return False
        return True

    def _is_sound(self) -> bool:
        try:
            found = digest.of_folder(self._version_folder())
        except (OSError, ValueError) as error:
            self._tell("damaged %s" % error)
            return False
        if found != self._seat.version.digest:
            self._tell("damaged the folder's digest is %s" % found)
            return False
        self._tell("ready")
        return True

    def _rehearse(self) -> None:
        try:
            worker.rehearse(self._seat, self._folder)
        except OSError:
            pass  # it only saves time

    def _start(self) -> None:
        """Fork an executor in a session of its own."""
        self._folder.make()
        if self._is_single and self._ends_well and self._next.foreseen is None:
            self._next.foreseen = foresight.foresee(self._folder.path)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_executor(parent)
        self._executor = pid

    def _become_executor(self, parent: int) -> None:
        try:
            os.setsid()
            processes.die_with_parent(parent)
            if not self._is_single:  # it would ask after each job what the last one left; here that is ours to find
                processes.adopt_orphans()
            processes.name_this("mj-executor")
            for each in (self._seat.control, self._woken, self._wake):
                os.close(each)
            worker.main(self._next, self._folder)
        finally:
            os._exit(70)

    def _reap(self) -> bool:
        """Collect who has ended. Whether anyone is left below: who has no child has no descendant."""
        ended, is_left = processes.reap()
        status = ended.get(self._executor)
        if status is not None:
            self._ended = status
            self._executor = 0
        return is_left

    def _after_end(self, was_asked: bool = False) -> None:
        """The executor may have ended: end what it left, say so, start the next.

        ``was_asked``: the runner wants to hear of it. Else one that ended in peace is not worth waking it.
        """
        is_left = self._reap()
        if self._ended is None:
            return
        status, self._ended = self._ended, None
        entry = self._seat.page.current()
        swept = is_left and self._clear()
        self._seat.page.reset()
        self._ends_well = status == 0 and entry == IDLE
        if was_asked or swept or not self._ends_well:
            self._tell("exit %d %d %d" % (status, entry, swept))
        if not self._ends_well:
            self._await_go()
        self._count_idle_death(status, entry)
        if not self._ending:
            self._start()

    def _count_idle_death(self, status: int, entry: int) -> None:
        """Executors that cannot even wait for a job are not started for ever."""
        self._idle_deaths = self._idle_deaths + 1 if status != 0 and entry == IDLE else 0
        if self._idle_deaths >= IDLE_DEATHS:
            self._tell("broken its processes end before they take a job, with status %d" % status)
            self._ending = True

    def _await_go(self) -> None:
        """After a death the runner sorts out which jobs are still to do, before anyone takes another."""
        while not self._ending and self._hear() != "go":
            pass

    def _hear(self) -> str:
        try:
            message = self._control.recv(200).decode("ascii")
        except OSError:
            message = ""
        self._ending = self._ending or message in ("", "leave")
        return message

    def _obey(self) -> None:
        words = self._hear().split()
        if words and words[0] == "kill":
            self._kill(int(words[1]), float(words[2]))

    def _kill(self, entry: int, grace_s: float) -> None:
        """End the tree if it is this entry that runs; frozen first, so that the answer is certain."""
        self._freeze()
        if not self._executor:
            self._after_end(was_asked=True)
            return
        if self._seat.page.current() != entry:
            processes.send([self._executor], signal.SIGCONT)
            self._tell("late %d" % entry)
            return
        below = self._living(processes.descendants)
        processes.send(below, signal.SIGTERM)
        processes.send(below, signal.SIGCONT)
        self._wait_until_gone(grace_s)
        self._clear()
        self._after_end(was_asked=True)

    def _freeze(self) -> None:
        """Stop the executor. That takes effect in its own time: wait until it stands still, is gone, or cannot stop."""
        processes.send([self._executor] if self._executor else [], signal.SIGSTOP)
        until = time.monotonic() + FREEZE_S
        while self._executor and time.monotonic() < until:
            pid, status = os.waitpid(self._executor, os.WUNTRACED | os.WNOHANG)
            if pid and os.WIFSTOPPED(status):
                return
            if pid:
                self._ended, self._executor = status, 0
            time.sleep(0.0005)

    def _living(self, find: Callable[[int], Set[int]] = processes.below) -> Set[int]:
        """All below. ``_clear`` asks until there are none."""
        self._reap()
        return find(os.getpid()) | ({self._executor} if self._executor else set())

    def _wait_until_gone(self, grace_s: float) -> None:
        until = time.monotonic() + grace_s
        while time.monotonic() < until and processes.has_children():
            if select.select([self._control], [], [], _POLL_S)[0] and not self._hear():
                return
            self._reap()

    def _clear(self) -> bool:
        """End all that is left below, if anything is; insist as long as the runner is there to be told."""
        if not self._reap():
            return False
        while processes.has_children():
            left = processes.kill_all(self._living, time.monotonic() + KILL_S)
            if not left:
                time.sleep(0.001)
                continue
            if self._ending:
                return True
            self._tell("unkillable %d" % len(left))
            if select.select([self._control], [], [], 1.0)[0]:
                self._hear()
        return True

    def _tell(self, text: str) -> None:
        try:
            self._control.send(text.encode("utf-8", "replace")[:4000])
        except OSError:
            self._ending = True


def main(seat: Seat) -> None:
    """Be a supervisor; never returns. Called in a fork of the runner."""
    try:
        os.setsid()
        _keep_only(seat)
        processes.adopt_orphans()
        processes.name_this("mj-worker")
        os.chdir(seat.run)
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        Supervisor(seat).run()
    finally:
        os._exit(0)


def _keep_only(seat: Seat) -> None:
    """Close what belongs to the runner: its lock, its sockets, its journal."""
    signal.set_wakeup_fd(-1)
    kept = {0, 1, 2, *descriptors(seat)}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                pass
