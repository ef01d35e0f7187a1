"""Run return_main for jobs whose remote part is done: on the server, in processes of its own, never in ours.

A few threads run the calls, each with its own warm processes, one per (job type, version). The outcome goes
back to the store, which decides what follows (guarantees T12 to T14). A call that our own stop cut short is told apart
from one that failed.
"""

import contextlib
import logging
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jobs.errors import JobsError, StoreUnavailable
from jobs.model import JobVersion, PendingReturn, ReturnAnswer, ReturnOutcome
from jobs.service import JobService
from orchestrator.bounded_log import BoundedLog
from remote_runner import protocol

log = logging.getLogger(__name__)

#: Calls taken from the store at once, and how many a thread may have before it.
TAKE: Final = 100
AHEAD: Final = 25
#: Warm processes a thread keeps; the one unused for longest goes first.
WARM: Final = 4
IDLE_S: Final = 1.0
STORE_AWAY_S: Final = 1.0
#: How long an outcome may wait for others, to be told to the store together.
TELL_S: Final = 0.02
#: Where job.yml sets no return_timeout.
TIMEOUT_S: Final = 3600.0
STOP_GRACE_S: Final = 5.0
#: How often a call that says nothing is looked at.
LOOK_S: Final = 0.5
#: What of our own environment a return_main sees (guarantees S11): no tokens, no database, no agent.
SHOWN_ENV: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME")


class ReturnFailed(Exception):
    """return_main raised, died or took too long; the text is for people."""


class ReturnInterrupted(Exception):
    """We are stopping."""


class Returns:
    """One thread takes calls, some run them, one tells how they went.

    ``start`` once, ``wake`` when a job may be ready, ``stop`` once.
    """

    def __init__(self, service: JobService, folder: Path, logs: Path, threads: int) -> None:
        self._service = service
        self._folder = folder
        self._logs = logs
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._calls: queue.SimpleQueue[PendingReturn | None] = queue.SimpleQueue()
        self._room = threading.BoundedSemaphore(threads * AHEAD)
        self._runners = [
            threading.Thread(target=self._run, name=f"returns-{number}", daemon=True) for number in range(threads)
        ]
        self._taker = threading.Thread(target=self._take, name="returns", daemon=True)
        self._answers: queue.SimpleQueue[ReturnAnswer | None] = queue.SimpleQueue()
        self._teller = threading.Thread(target=self._tell, name="returns-told", daemon=True)

    def start(self) -> None:
        """Put back what an earlier life of the server began and did not end, then work."""
        self._service.recover_returns()
        for thread in (*self._runners, self._taker, self._teller):
            thread.start()

    def wake(self) -> None:
        """Jobs may be ready. Never blocks."""
        self._ready.set()

    def stop(self) -> None:
        """Interrupt what runs; it will run again."""
        self._stopping.set()
        self._ready.set()
        if self._taker.ident is None:
            return
        self._taker.join(STOP_GRACE_S)
        for _ in self._runners:
            self._calls.put(None)
        for thread in self._runners:
            thread.join(STOP_GRACE_S * 2)
        self._answers.put(None)
        self._teller.join(STOP_GRACE_S)

    def _take(self) -> None:
        while not self._stopping.is_set():
            try:
                if not self._take_some():
                    self._ready.wait(IDLE_S)
                    self._ready.clear()
            except StoreUnavailable as error:
                log.warning("the store does not answer: %s", error)
                self._stopping.wait(STORE_AWAY_S)
            except Exception:
                log.exception("taking returns failed")
                self._stopping.wait(STORE_AWAY_S)

    def _take_some(self) -> bool:
        """Take as many calls as there is room for, at least one; False: none is due."""
        self._room.acquire()
        room = 1
        while room < TAKE and self._room.acquire(blocking=False):
            room += 1
        taken: list[PendingReturn] = []
        try:
            if not self._stopping.is_set():
                taken = self._service.take_returns(room)
        finally:
            for _ in range(room - len(taken)):
                self._room.release()
        for call in taken:
            self._calls.put(call)
        return bool(taken)

    def _run(self) -> None:
        processes = _Warm(self._service, self._folder, self._logs, self._stopping)
        try:
            while (call := self._calls.get()) is not None:
                self._answers.put(self._outcome(call, processes))
        finally:
            processes.close()

    def _outcome(self, call: PendingReturn, processes: "_Warm") -> ReturnAnswer:
        """Run it. Whatever goes wrong, there is an answer: a call without one would never end."""
        try:
            while not self._stopping.is_set():
                try:
                    processes.call(call)
                    return ReturnAnswer(call.job_id, call.attempt, ReturnOutcome.DONE)
                except StoreUnavailable as error:  # its version could not be read: it has not begun
                    log.warning("the store does not answer: %s", error)
                    self._stopping.wait(STORE_AWAY_S)
        except ReturnInterrupted:
            pass
        except (ReturnFailed, JobsError, OSError) as error:
            return ReturnAnswer(call.job_id, call.attempt, ReturnOutcome.FAILED, _storable(str(error)))
        except Exception as error:
            log.exception("a return failed in us", extra={"job": call.job_id})
            return ReturnAnswer(call.job_id, call.attempt, ReturnOutcome.FAILED, _storable(repr(error)))
        return ReturnAnswer(call.job_id, call.attempt, ReturnOutcome.INTERRUPTED)

    def _tell(self) -> None:
        """Tell the store how calls went, those that ended about the same time together."""
        while (first := self._answers.get()) is not None:
            time.sleep(TELL_S)
            answers = [first, *self._more_answers()]
            try:
                self._tell_some(answers)
            finally:
                for _ in answers:
                    self._room.release()

    def _more_answers(self) -> list[ReturnAnswer]:
        answers: list[ReturnAnswer] = []
        while len(answers) < TAKE - 1:
            try:
                answer = self._answers.get_nowait()
            except queue.Empty:
                break
            if answer is None:
                self._answers.put(None)
                break
            answers.append(answer)
        return answers

    def _tell_some(self, answers: list[ReturnAnswer]) -> None:
        """For as long as the store needs to listen; one that it can never take does not cost the others theirs."""
        try:
            while True:
                try:
                    self._service.answer_returns(answers)
                    return
                except StoreUnavailable as error:
                    log.warning("the store does not answer: %s", error)
                    if self._stopping.wait(STORE_AWAY_S):
                        return  # told at the next start: what was taken and not answered was interrupted
        except Exception:
            log.exception("the outcome of returns was not taken", extra={"jobs": [one.job_id for one in answers]})
            if len(answers) > 1:
                for one in answers:
                    self._tell_some([one])


class _Warm:
    """The processes of one thread."""

    def __init__(self, service: JobService, folder: Path, logs: Path, stopping: threading.Event) -> None:
        self._service = service
        self._folder = folder
        self._logs = logs
        self._stopping = stopping
        self._processes: OrderedDict[tuple[str, int], ReturnProcess] = OrderedDict()

    def call(self, call: PendingReturn) -> None:
        key = (call.job_type, call.version)
        process = self._warm(key) or self._start(self._service.version(*key))
        try:
            process.call(call, self._stopping)
        finally:
            if process.alive:
                self._keep(key, process)
            else:
                process.close()

    def _warm(self, key: tuple[str, int]) -> "ReturnProcess | None":
        """The one that waits for a call, unless it has died since the last: that is not this call's failure."""
        process = self._processes.pop(key, None)
        if process is None or process.alive:
            return process
        process.close()
        return None

    def _start(self, version: JobVersion) -> "ReturnProcess":
        source = self._service.server_folder(version.job_type, version.version)
        cwd = self._folder / version.job_type
        show_entries(source, cwd)
        return ReturnProcess(version, source, cwd, self._logs / f"{version.job_type}.log")

    def _keep(self, key: tuple[str, int], process: "ReturnProcess") -> None:
        self._processes[key] = process
        while len(self._processes) > WARM:
            self._processes.popitem(last=False)[1].close()

    def close(self) -> None:
        for process in self._processes.values():
            process.close()


class ReturnProcess:
    """One warm process that runs the return_main of one version, call after call."""

    def __init__(self, version: JobVersion, source: Path, cwd: Path, log_path: Path) -> None:
        self._timeout_s = version.settings.return_timeout_s or TIMEOUT_S
        self._log = BoundedLog(log_path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.return_process", str(source)],
            cwd=cwd,
            env=_environment(version.settings.env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._decoder = protocol.Decoder()
        assert self._process.stderr is not None  # noqa: S101 - for the type checker: we asked for a pipe
        self._pump = threading.Thread(target=self._log.pump, args=(self._process.stderr,), daemon=True)
        self._pump.start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def call(self, call: PendingReturn, stopping: threading.Event) -> None:
        """Raises ReturnFailed with what went wrong, or ReturnInterrupted; the process may be dead after either."""
        message = {"t": "call", "job": call.job_id, "attempt": call.attempt, "data": call.return_data}
        try:
            self._stdin().write(protocol.encode(message))
            self._stdin().flush()
            answer = self._answer(stopping)
        except (BrokenPipeError, EOFError) as error:
            raise ReturnFailed(f"return_main ended its process ({self._ended()})") from error
        except protocol.ProtocolError as error:
            self._kill()
            raise ReturnFailed(f"return_main wrote into what is not its own: {error}") from error
        if answer.get("error"):
            raise ReturnFailed(str(answer["error"]))

    def _answer(self, stopping: threading.Event) -> Mapping[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - for the type checker: we asked for a pipe
        deadline_s = time.monotonic() + self._timeout_s
        while True:
            alive = self.alive  # looked at first: what a dead one still said is read
            ready, _, _ = select.select([stdout], [], [], LOOK_S)
            if ready:
                data = os.read(stdout.fileno(), 65536)
                answers: list[dict[str, Any]] = self._decoder.feed(data)
                if answers:
                    return answers[0]
            if stopping.is_set():
                self._kill()
                raise ReturnInterrupted
            if (ready and not data) or not (ready or alive):
                raise EOFError
            if time.monotonic() > deadline_s:
                self._kill()
                raise ReturnFailed(f"return_main did not end within {self._timeout_s:.0f} s")

    def _stdin(self) -> Any:
        return self._process.stdin

    def _ended(self) -> str:
        """How; one that only closed its answers is ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LOOK_S)
        if self.alive:
            self._kill()
        code = self._process.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _kill(self) -> None:
        """The process and whatever else it started in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_GRACE_S)

    def close(self) -> None:
        """End it; an idle one ends by itself when its input closes."""
        try:
            self._stdin().close()
            self._process.wait(STOP_GRACE_S)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            pass
        self._kill()
        self._pump.join(STOP_GRACE_S)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._log.close()


_showing = threading.Lock()


def show_entries(source: Path, cwd: Path) -> None:
    """Let a lasting folder show a version's entries as links, beside the files that calls have written there."""
    with _showing:
        cwd.mkdir(parents=True, exist_ok=True)
        for entry in cwd.iterdir():
            if entry.is_symlink() and entry.readlink().parent.parent == source.parent:  # of this version or another
                entry.unlink()
        for entry in source.iterdir():
            link = cwd / entry.name
            if not os.path.lexists(link):
                link.symlink_to(entry)


def _storable(text: str) -> str:
    """Whatever user code put into its error, as text that every database takes."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{SYMBOL FOR NULL}")


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    shown = {name: os.environ[name] for name in SHOWN_ENV if name in os.environ}
    return {**shown, **extra, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}
