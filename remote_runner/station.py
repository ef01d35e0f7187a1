"""A worker from the runner's side: its sockets and pipes, what was handed to it, what it printed."""

import os
import selectors
import socket
from collections import OrderedDict
from typing import Callable, List, Optional

from remote_runner import supervise
from remote_runner.attempt import Attempt
from remote_runner.marks import ENTRIES, Page
from remote_runner.output import Output
from remote_runner.protocol import Version
from remote_runner.seat import INLINE_BYTES, PACKET_BYTES, Seat
from remote_runner.stream import Loop

_CHUNK = 1 << 16


Finish = Callable[["Station", Attempt, int, bytes], None]
Say = Callable[["Station", List[str]], None]


class Station:
    """One worker. ``on_finish`` gets each result, ``on_say`` each word of the supervisor, [] when it is gone."""

    def __init__(
        self, loop: Loop, number: int, page: Page, ref: str, version: Version, run: str, on_finish: Finish, on_say: Say
    ) -> None:
        self.number = number
        self.ref = ref
        self.page = page
        self.version = version
        self.handed: "OrderedDict[int, Attempt]" = OrderedDict()  # by entry, in the order they were sent
        self.is_leaving = False
        self.is_ending = False  # a kill has been asked for: what it gets now might end with it
        self.idle_since = 0.0
        self.is_open = False
        self.pid = 0
        self._loop = loop
        self._run = run
        self._on_finish = on_finish
        self._on_say = on_say
        self._next_entry = 0
        self._partial: List[bytes] = []
        self._outputs: List[Output] = []

    # -- life

    def open(self, check: bool, forget: Callable[[], None]) -> None:
        """Make the sockets and pipes and fork the supervisor. ``forget`` runs in the fork, before anything else."""
        control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        jobs, their_jobs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        results, their_results = socket.socketpair()
        pipes = [os.pipe(), os.pipe()]
        root = os.path.dirname(self._run)
        theirs = (their_control.fileno(), their_jobs.fileno(), their_results.fileno(), pipes[0][1], pipes[1][1])
        seat = Seat(self.number, *theirs, page=self.page, version=self.version, root=root, run=self._run, check=check)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                forget()
                supervise.main(seat)
            finally:
                os._exit(70)
        their_control.close()
        their_results.close()
        for _, write_end in pipes:
            os.close(write_end)
        self._control, self._jobs, self._their_jobs, self._results = control, jobs, their_jobs, results
        for each in (control, jobs, results):
            each.setblocking(False)  # not their_jobs: that end is the worker's too, and shares the flag
        self._loop.register(control, selectors.EVENT_READ, self._hear)
        self._loop.register(results, selectors.EVENT_READ, self.service)
        self._outputs = [Output(self._loop, pipes[at][0], self.page, at, self._write, self.service) for at in (0, 1)]
        self.is_open = True

    def close(self) -> None:
        """Let go of everything; the supervisor takes that as the end. Events of this round may still come."""
        self.is_open = False
        for sock in (self._control, self._results):
            self._loop.unregister(sock)
        for end in (self._control, self._results, self._jobs, self._their_jobs):
            end.close()
        for output in self._outputs:
            output.close()
        self.page.close()

    def leave(self) -> None:
        """Ask the worker to end; it has nothing to do."""
        self.is_leaving = True
        self.say("leave")

    def say(self, text: str) -> None:
        """Tell the supervisor something."""
        try:
            self._control.send(text.encode("ascii"))
        except OSError:
            pass  # it is gone, or about to be; that is noticed by itself

    # -- jobs

    def hand(self, attempt: Attempt) -> bool:
        """Put an attempt into the worker's socket; False when that is full."""
        entry = self._free_entry()
        try:
            if len(attempt.input) > INLINE_BYTES:
                packet = self._in_file(entry, attempt)
            else:
                packet = b"%d %d %d t\n%s" % (entry, attempt.job, attempt.attempt, attempt.input)
            self._jobs.send(packet)
        except OSError:  # full (the socket or the disk), or its end is near; the job stays queued
            return False
        attempt.worker = self.number
        attempt.entry = entry
        self.handed[entry] = attempt
        return True

    def _free_entry(self) -> int:
        while self._next_entry in self.handed:
            self._next_entry = (self._next_entry + 1) % ENTRIES
        entry = self._next_entry
        self._next_entry = (entry + 1) % ENTRIES
        return entry

    def _in_file(self, entry: int, attempt: Attempt) -> bytes:
        path = attempt.input_path(self._run)
        with open(path, "wb") as stream:
            stream.write(attempt.input)
        return b"%d %d %d f\n" % (entry, attempt.job, attempt.attempt) + os.fsencode(path)

    def take_back(self) -> List[Attempt]:
        """Read back what the worker has not taken yet."""
        back: List[Attempt] = []
        while True:
            try:
                packet = self._their_jobs.recv(PACKET_BYTES, socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                return back
            if not packet:
                return back
            attempt = self.handed.pop(int(packet.split(b" ", 1)[0]))
            attempt.worker = None
            back.append(attempt)

    def take_all_back(self) -> List[Attempt]:
        """Nothing of what was handed over runs now: all of it comes back."""
        back = self.take_back()
        back += self.handed.values()
        self.handed.clear()
        return back

    def running(self) -> Optional[Attempt]:
        """The attempt that has begun and has not ended, as far as is known now."""
        attempt = self.handed.get(self.page.current())
        if attempt is None or self.started_us(attempt) is None:
            return None
        return attempt

    def started_us(self, attempt: Attempt) -> Optional[int]:
        """When an attempt handed to this worker began."""
        return self.page.started_us(attempt.entry, attempt.job, attempt.attempt)

    # -- results and output

    def service(self, _mask: int = 0) -> None:
        """Take what has come: results first, then output, each byte to the attempt that wrote it."""
        if not self.is_open:
            return
        lines = self._read_lines()
        for line in lines:
            self.result(line)
        if not (self._outputs[0].held or self._outputs[1].held):
            return
        # What was taken before the last result came may be the next attempt's: no more results, no more doubt.
        while lines:
            lines = self._read_lines()
            for line in lines:
                self.result(line)
        for output in self._outputs:
            output.give_to(self._first())

    def _first(self) -> Optional[Attempt]:
        return next(iter(self.handed.values())) if self.handed else None

    def _read_lines(self) -> List[bytes]:
        try:
            data = self._results.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            return []
        if b"\n" not in data:
            self._partial.append(data)
            return []
        lines = b"".join([*self._partial, data]).split(b"\n")
        self._partial = [lines.pop()]
        return lines

    def result(self, line: bytes) -> None:
        """One finished attempt."""
        entry, stdout, stderr, spent_us, body = line.split(b" ", 4)
        attempt = self.handed.pop(int(entry), None)
        if attempt is None:
            return
        outputs = self._outputs
        if int(stdout) != outputs[0].given or int(stderr) != outputs[1].given:
            outputs[0].give_up_to(int(stdout), attempt)
            outputs[1].give_up_to(int(stderr), attempt)
        self._on_finish(self, attempt, int(spent_us), body)

    def drain(self, victim: Optional[Attempt]) -> None:
        """The executor is gone: take all it sent and wrote; what belongs to no result is the victim's."""
        self.service()
        for output in self._outputs:
            while output.take():
                output.give_to(victim)

    def _write(self, attempt: Attempt, stream: int, data: bytes) -> None:
        attempt.open_logs(self._run)[stream].write(data)

    def _hear(self, _mask: int) -> None:
        if not self.is_open:
            return
        try:
            text = self._control.recv(1 << 13).decode("utf-8", "replace")
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            text = ""
        self._on_say(self, text.split(" ") if text else [])
