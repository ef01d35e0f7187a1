"""The runner: one detached process a root. Takes assignments, keeps the crew busy, sends records home.

One thread, one event loop. Each round: what came in is taken, the journal is written, and only then anything is told
or handed out.
"""

import os
import selectors
import signal
import socket
import time
from typing import Any, NamedTuple, Optional

from remote_runner import door, journal, marks, names
from remote_runner.crew import Crew
from remote_runner.folder import remove
from remote_runner.journal import Journal
from remote_runner.lease import Lease
from remote_runner.leftovers import Leftovers
from remote_runner.outbox import Outbox
from remote_runner.places import Tools
from remote_runner.postman import Postman
from remote_runner.processes import adopt_orphans, reap
from remote_runner.progress import Teller
from remote_runner.stream import Message, Stream
from remote_runner.watches import Watches

#: How long a runner waits for its first word.
FIRST_WORD_S = 60.0
#: How long its workers have to end, at the end.
END_S = 15.0
RETRY_DISK_S = 1.0
#: Between looks whether our folder is still there.
LOOK_S = 1.0

#: What exists from the first hello on.
Work = NamedTuple(
    "Work",
    [
        ("runner", str),
        ("journal", Journal),
        ("outbox", Outbox),
        ("postman", Postman),
        ("crew", Crew),
        ("watches", Watches),
        ("progress", Teller),
    ],
)


class Runner:
    """Everything between the channel and the crew."""

    def __init__(self, root: str, listener: socket.socket) -> None:
        self._run_folder = os.path.join(root, "run")
        self._journals = os.path.join(self._run_folder, "journal")
        self._loop = selectors.DefaultSelector()
        self._door = door.Door(self._loop, listener, self)
        self._work: Optional[Work] = None
        self._leftovers = Leftovers(self._journals, self._door.trouble)
        self._linger_s = 20.0
        self._orphan_s = 600.0
        self._contact_at = self._idle_since = time.monotonic()
        self._lease = Lease(self._contact_at)
        self._next_tick = 0.0
        self._next_look = 0.0
        self._is_ending = False
        self._is_disk_full = False

    # -- life

    def run(self) -> None:
        """Work until there is nothing left to do, nobody left to talk to, or a SIGTERM."""
        self._listen_to_signals()
        self._tell_last_words()
        while not self._is_ending:
            if self._work is not None:
                time.sleep(self._work.crew.rest_s())
            for key, mask in self._loop.select(self._wait_s()):
                key.data(mask)
            if self._work is None:
                self._end_if_nobody_comes(time.monotonic())
            else:
                self._act(self._work, time.monotonic())
        self._end()

    def _listen_to_signals(self) -> None:
        adopt_orphans()
        woken, wake = os.pipe()
        for descriptor in (woken, wake):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.set_wakeup_fd(wake)
        self._loop.register(woken, selectors.EVENT_READ, lambda _mask: _woken(woken))

    def _on_sigterm(self, _number: int, _frame: object) -> None:
        self._is_ending = True

    def _tell_last_words(self) -> None:
        """A runner that failed says why; the next one brings it to a person."""
        path = os.path.join(self._run_folder, "failure")
        try:
            with open(path, encoding="utf-8") as stream:
                self._door.trouble("runner_failed", stream.read())
            os.unlink(path)
        except FileNotFoundError:
            pass

    def _act(self, work: Work, now: float) -> None:
        """The second half of a round: journal, then tell, then hand out."""
        self._keep_lease(work.crew, now)
        self._tick(work.crew, now)
        self._look_for_root(now)
        work.postman.may_gather = work.crew.has_waiting
        if work.postman.may_send(now):
            work.crew.tell_starts(now)
        if self._write_journal(work.journal):
            work.postman.send(now)
            work.crew.dispatch()
            work.outbox.tidy(work.crew.held_keys)
        work.watches.tell(self._door.channel, now)
        work.progress.tell(self._door.channel, now)
        self._leftovers.send(self._door.channel)
        self._leave_if_done(work, now)

    def _tick(self, crew: Crew, now: float) -> None:
        every = crew.tick_s()
        if every is not None and now >= self._next_tick:
            self._next_tick = now + every
            crew.tick(now)

    def _keep_lease(self, crew: Crew, now: float) -> None:
        """Ask whether the server still counts on us; without an answer for too long, end what must not run twice."""
        if self._door.channel is not None:
            number = self._lease.ping(now)
            if number is not None:
                self._door.say({"t": "ping", "n": number})
        if self._lease.left_s(now) <= 0 and self._lease.silence_s is not None:
            crew.end_exclusive(self._lease.silence_s)

    def _look_for_root(self, now: float) -> None:
        """Somebody removed the folder below us: there is nothing to work in, and nowhere to keep a result."""
        if now >= self._next_look:
            self._next_look = now + LOOK_S
            self._is_ending = self._is_ending or not os.path.exists(os.path.join(self._run_folder, "lock"))

    def _write_journal(self, lines: Journal) -> bool:
        """Journal first. A full disk is told once, and nothing else is told or begun until it takes the lines."""
        if lines.flush():
            self._is_disk_full = False
            return True
        if not self._is_disk_full:
            self._is_disk_full = True
            self._door.trouble("disk_full", "the journal in %s cannot be written" % self._journals)
        return False

    def _wait_s(self) -> float:
        """How long nothing happens without a word from outside."""
        now = time.monotonic()
        work = self._work
        if work is None:
            return 1.0
        if work.journal.is_waiting:
            return RETRY_DISK_S if self._is_disk_full else 0.0
        waits = [5.0, self._lease.wait_s(now, has_channel=self._door.channel is not None)]
        every = work.crew.tick_s()
        if every is not None:
            waits.append(min(every, self._next_tick - now))
        report = work.postman.wait_s(now)
        if report is not None:
            waits.append(report)
        if not len(work.crew):
            waits.append(self._idle_since + self._linger_s - now)
        return max(0.001, min(waits))

    # -- what the server says

    def hear_hello(self, message: Message) -> Message:
        """Take the server's settings, the first time also a name, a key and a crew; the answering hello."""
        limit = int(message["limit"])
        self._linger_s = float(message.get("linger_s", self._linger_s))
        self._orphan_s = float(message.get("orphan_s", self._orphan_s))
        if self._work is None:
            self._work = self._begin(names.check(message["runner"]), bytes.fromhex(message["key"]), limit)
        work = self._work
        work.crew.set_limit(limit)
        work.crew.set_env({str(name): str(value) for name, value in (message.get("env") or {}).items()})
        self._lease.change(_seconds(message.get("silence_s")))
        work.postman.route.change(message.get("url"))
        work.postman.beside_bytes = max(0, int(message.get("beside_bytes") or 0))
        ended = work.outbox.ended() + self._leftovers.ended()
        held = work.crew.held() + [[job, attempt, "ended"] for job, attempt in ended]
        earlier, unread = self._leftovers.runners(), self._leftovers.unread
        return {"runner": work.runner, "held": held, "earlier": earlier, "unread": unread}

    def _begin(self, runner: str, key: bytes, limit: int) -> Work:
        lines = Journal(self._journals, runner)
        box = Outbox(lines)
        postman = Postman(self._loop, runner, key, box, self._on_stop)
        file = marks.open_file(journal.marks_of(self._journals, runner))
        tools = Tools(
            self._loop, self._run_folder, file, box, self._door.trouble, postman.forget_key, postman.processes
        )
        crew = Crew(tools, limit)
        return Work(runner, lines, box, postman, crew, Watches(crew.find), Teller(crew.progress))

    def channel_changed(self, channel: Optional[Stream]) -> None:
        """There is a new channel, or none any more."""
        self._contact_at = self._idle_since = time.monotonic()
        self._leftovers.channel_lost()
        if self._work is not None:
            self._work.postman.use_channel(channel)
            self._work.watches.forget()
            self._work.progress.forget()
            if channel is not None:
                self._lease.channel_opened(self._contact_at, is_empty=not self._work.crew.exclusive())

    def hear(self, message: Message) -> None:
        """One message after hello. Unknown kinds are ignored, and so are unknown keys."""
        if self._work is not None:
            hear = door.HEARD.get(message["t"])
            if hear is not None:
                hear(self, self._work, message)

    def hear_result(self, message: Message) -> None:
        """A worker whose descriptors are gone brings its result by hand."""
        if self._work is not None:
            self._work.crew.result_by_path(message["worker"], message["line"].encode("ascii"))

    def hear_pong(self, number: int) -> None:
        """The server heard that ping."""
        self._lease.pong(number)

    def hear_leave(self) -> None:
        """End as soon as nothing runs and all is stored."""
        self._linger_s = 0.0

    def hear_stored(self, work: Work, runner: str, seq: int) -> None:
        """Records that went over the channel are stored."""
        if runner == work.runner:
            work.postman.stored(seq)
        else:
            self._leftovers.stored(runner, seq)

    def _on_stop(self, rows: Any) -> None:
        """A report's answer names attempts that no longer count."""
        if self._work is not None:
            self._work.crew.kill(names.keys(rows) or set(), door.GRACE_S)

    # -- the end

    def _end_if_nobody_comes(self, now: float) -> None:
        if now - self._contact_at > FIRST_WORD_S:
            self._is_ending = True

    def _leave_if_done(self, work: Work, now: float) -> None:
        if len(work.crew):
            self._idle_since = now
            return
        silent_s = now - max(self._contact_at, work.postman.contact_at)
        if self._door.channel is None and silent_s >= self._orphan_s:
            self._is_ending = True
        elif len(work.outbox) or len(self._leftovers):
            self._idle_since = now
        elif now - self._idle_since >= self._linger_s:
            self._door.say({"t": "leaving", "runner": work.runner})
            self._is_ending = True

    def _end(self) -> None:
        """Close the door, end the workers, remove what nobody needs; a journal that is not stored stays."""
        remove(os.path.join(self._run_folder, "sock"))
        self._door.close()
        if self._work is not None:
            self._end_work(self._work)
        _wait_for_children(END_S)
        for name in ("workers", "attempts", "pycache"):
            remove(os.path.join(self._run_folder, name))

    def _end_work(self, work: Work) -> None:
        is_empty = not len(work.crew) and not len(work.outbox)
        work.crew.dismiss()
        work.postman.close()
        work.journal.flush()
        if is_empty:
            work.journal.remove()
            os.unlink(journal.marks_of(self._journals, work.runner))


def _seconds(value: Any) -> Optional[float]:
    return None if value is None else float(value)


def _woken(descriptor: int) -> None:
    try:
        os.read(descriptor, 4096)
    except BlockingIOError:
        pass
    reap()


def _wait_for_children(limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            time.sleep(0.005)
