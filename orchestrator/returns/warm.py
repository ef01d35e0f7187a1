"""The processes that run return_main: one call at a time each, warm for the next of the same version.

A process sees a clean environment and works in a lasting folder of its job type; what it prints goes to a bounded log.
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from jobs.model import JobVersion, PendingReturn
from jobs.service import JobService
from orchestrator.bounded_log import BoundedLog
from orchestrator.node.equip import CannotEquip
from orchestrator.returns.account import Quarters
from orchestrator.returns.packages import HomeEnvironments, Interrupted
from remote_runner import protocol

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


class Warm:
    """Processes that wait for a call, by version; at most so many, the one unused for longest goes first."""

    def __init__(
        self,
        service: JobService,
        quarters: Quarters,
        logs: Path,
        stopping: threading.Event,
        *,
        environments: HomeEnvironments,
        most: int,
        timeout_s: float,
    ) -> None:
        self._environments = environments
        self._service = service
        self._quarters = quarters
        self._logs = logs
        self._stopping = stopping
        self._most = most
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, tuple[tuple[str, int], ReturnProcess]] = OrderedDict()

    def call(self, call: PendingReturn) -> None:
        """Run one call in a process of its version. Raises ReturnFailed, ReturnInterrupted, StoreUnavailable."""
        key = (call.job_type, call.version)
        process = self._take(key) or self._start(self._service.version(*key))
        try:
            process.call(call, self._stopping)
        finally:
            if process.alive:
                self._keep(key, process)
            else:
                process.close()

    def _take(self, key: tuple[str, int]) -> "ReturnProcess | None":
        """One that waits for a call, unless it has died since the last: that is not this call's failure."""
        while True:
            with self._lock:
                found = next((number for number, (its, _) in self._idle.items() if its == key), None)
                if found is None:
                    return None
                process = self._idle.pop(found)[1]
            if process.alive:
                return process
            process.close()

    def _start(self, version: JobVersion) -> "ReturnProcess":
        job_type = version.job_type
        source = self._quarters.readable(self._service.server_folder(job_type, version.version), job_type)
        cwd = self._quarters.cwd(job_type)
        show_entries(source, cwd)
        log_path = self._logs / f"{job_type}.log"
        packages = self._quarters.packages(self._packages(version))
        return ReturnProcess(version, source, cwd, log_path, self._timeout_s, self._quarters, packages)

    def _packages(self, version: JobVersion) -> Path | None:
        lines = partial(self._service.packages, version.job_type, version.version)
        try:
            return self._environments.of(version, lines, self._stopping)
        except CannotEquip as error:
            raise ReturnFailed(f"its packages could not be installed on the server: {error.why}") from error
        except Interrupted as error:
            raise ReturnInterrupted from error

    def _keep(self, key: tuple[str, int], process: "ReturnProcess") -> None:
        with self._lock:
            self._idle[id(process)] = (key, process)
            spare = [self._idle.popitem(last=False)[1][1] for _ in range(len(self._idle) - self._most)]
        for one in spare:
            one.close()

    def close(self) -> None:
        """End them all; nobody calls any more."""
        with self._lock:
            processes = [process for _, process in self._idle.values()]
            self._idle.clear()
        for process in processes:
            process.close()


class ReturnProcess:
    """One warm process that runs the return_main of one version, call after call."""

    def __init__(
        self,
        version: JobVersion,
        source: Path,
        cwd: Path,
        log_path: Path,
        timeout_s: float = TIMEOUT_S,
        quarters: Quarters | None = None,
        packages: Path | None = None,
    ) -> None:
        """``timeout_s``: for a call, where the version's job.yml says nothing. No quarters: ours, usual bounds.

        ``packages``: the environment it imports from.
        """
        self._timeout_s = version.settings.return_timeout_s or timeout_s
        quarters = quarters or Quarters(cwd.parent)
        shown = {name: os.environ[name] for name in SHOWN_ENV if name in os.environ}
        self._log = BoundedLog(log_path)
        self._process = subprocess.Popen(
            quarters.command(source, packages),
            cwd=cwd,
            env=quarters.environment(shown, version.settings.env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **quarters.options(),
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
        if code == -signal.SIGXCPU:
            return "it used all the processor time it may, return_cpu_s"
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
