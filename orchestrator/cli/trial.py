"""Run one job folder on this computer as a machine would: the same snapshot, the same runner, the same judgement.

Everything lives in one temporary folder that is gone afterwards, runner and all; no server, no network.
"""

import json
import queue
import re
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from inventory.machine import Machine
from jobs import folders, outcomes, packages, pythons, settings
from jobs.errors import InvalidInput
from jobs.folders import Part
from jobs.model import JobSettings, JobVersion, PendingReturn, ReportAnswer
from jobs.outcomes import Outcome
from jobs.status import Reason
from orchestrator import config, timing
from orchestrator.cli.shell import JobFailed, Wrong
from orchestrator.errors import NodeUnfit, NodeUnreachable
from orchestrator.node import deploy
from orchestrator.node.equip import CannotEquip, Wanted, equip
from orchestrator.node.events import MachineEvent, RunnerGone, Trouble
from orchestrator.node.local import LocalTransport
from orchestrator.node.site import Site
from orchestrator.node.stream import RunnerStream, StreamTerms
from orchestrator.node.workshop import Workshop
from remote_runner import bundle, digest
from remote_runner.protocol import LOG_WINDOW_BYTES, Assignment, Record, Version

LOOK_S: Final = 0.1
#: How long a runner may take to start, and how long it stays when we are gone.
HELLO_S: Final = 30.0
ALONE_S: Final = 60.0
PURGE_TIMEOUT_S: Final = 60.0
WATCH_S: Final = 10.0
STREAMS: Final = ("stdout", "stderr")
JOB, ATTEMPT, NUMBER = 1, 1, 0

Printed = Callable[[str], None]
Said = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A job folder as it would be published, in ``scratch``."""

    path: Path
    scratch: Path
    settings: JobSettings
    files: int
    size_bytes: int
    has_return_main: bool

    @property
    def whole(self) -> Path:
        return self.scratch / "whole"

    @property
    def node(self) -> Path:
        return self.scratch / "node"

    @property
    def settings_given(self) -> dict[str, str]:
        """What its job.yml says that is not the default."""
        plain = JobSettings()
        names = [field.name for field in fields(JobSettings)]
        said = settings.read_file(self.whole)
        given = {name: getattr(said, name) for name in names}
        return {
            name.removesuffix("_s"): ", ".join(value) if isinstance(value, Mapping) else str(value)
            for name, value in given.items()
            if value != getattr(plain, name)
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """How it ended."""

    reason: str
    result_text: str
    return_data: str | None
    count: float
    spend_s: float
    error: str | None

    @property
    def ok(self) -> bool:
        return not self.reason

    def as_dict(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "reason": self.reason,
            "result": json.loads(self.result_text) if self.result_text else None,
            "return_data": json.loads(self.return_data) if self.return_data else None,
            "count": self.count,
            "spend_s": self.spend_s,
            "error": self.error,
        }


class Called(NamedTuple):
    """How return_main ended: its error, what it printed, the files it wrote."""

    error: str
    printed: str
    wrote: list[str]


@contextmanager
def preparing(path: Path) -> Iterator[Found]:
    """The folder as it would be published. Raises Wrong for what the server would refuse."""
    scratch = Path(tempfile.mkdtemp(prefix="mj-check-"))
    try:
        yield _found(path.resolve(), scratch)
    except InvalidInput as error:
        raise Wrong(str(error)) from error
    finally:
        _remove(scratch)


def _found(path: Path, scratch: Path) -> Found:
    whole, node = scratch / "whole", scratch / "node"
    folders.copy(path, whole)
    folders.part(whole, node, Part.NODE, NUMBER, time.time())
    sent = [Path(name) for relative, name in digest.entries(str(node)) if relative != folders.INFO]
    return Found(
        path=path,
        scratch=scratch,
        settings=settings.read(whole),
        files=len(sent),
        size_bytes=sum(file.stat().st_size for file in sent),
        has_return_main=folders.has_return_main(whole),
    )


def run(found: Found, given: Mapping[str, Any], python: str | None, *, printed: Printed, said: Said) -> Trial:
    """Run ``work()`` with this input; what it prints is handed out as it comes."""
    machine = Machine(machine_id="here", connection="local")
    transport = LocalTransport(machine)
    transport.connect()
    made = bundle.build(found.scratch / "bundle")
    site = Site(str(found.scratch / "root"), python or sys.executable, made.path)
    try:
        _check_python(transport, site.python, found.settings.python)
        version = _send(transport, site, found)
        _install(transport, site, found)
        with _Runner(machine, site, transport, printed, said) as runner:
            return _trial(runner.work(version, json.dumps(given)), site.root, found.path)
    except (NodeUnfit, NodeUnreachable) as error:
        raise JobFailed(f"it cannot run here: {error}") from error
    except CannotEquip as error:
        raise JobFailed(f"its packages cannot be installed: {error.why}") from error
    finally:
        transport.run(site.command("purge", "--root", site.root), timeout_s=PURGE_TIMEOUT_S)
        transport.close()


def _check_python(transport: LocalTransport, python: str, wanted: str) -> None:
    """As the scheduler does, which sends a job to no machine whose Python its job.yml excludes."""
    asked = [python, "-c", "import platform; print(platform.python_version())"]
    version = transport.run(asked, timeout_s=HELLO_S).stdout.decode("utf-8", "replace").strip()
    if not pythons.suits(wanted, version):
        raise Wrong(f"job.yml asks for Python {wanted}, and {python} is {version or 'none'}; name one with --python")


def _send(transport: LocalTransport, site: Site, found: Found) -> Version:
    whole = digest.of_folder(str(found.node))
    name = deploy.version_name(NUMBER, whole)
    deploy.send_version(transport, site, "check", name, whole, found.node, ())
    return Version(
        "check",
        NUMBER,
        f"versions/check/{name}",
        whole,
        found.settings.timeout_s,
        dict(found.settings.env),
        found.settings.fresh_process,
        found.settings.max_jobs_per_worker,
        found.settings.environment,
    )


def _install(transport: LocalTransport, site: Site, found: Found) -> None:
    """What its folder names, from where this account's pip takes packages."""
    lock = packages.read(found.whole)
    if lock.lines:
        equip(transport, site, _workshop(found), Wanted(lock.digest, lock.lines, {}))


def _workshop(found: Found) -> Workshop:
    """With the wheels and the index of the server that lives in this account's home, if one does."""
    return replace(timing.of_packages(config.load_if_there()), cache=found.scratch / "cache")


class _Runner:
    """One runner, for one job."""

    def __init__(self, machine: Machine, site: Site, transport: LocalTransport, printed: Printed, said: Said) -> None:
        self._ends: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._said = said
        self._log = _Log(printed)
        self._transport = transport
        self._stream = RunnerStream(machine, site, self._terms(), self._hear)

    def __enter__(self) -> Self:
        self._stream.attach(self._transport, None)
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def work(self, version: Version, text: str) -> Outcome:
        self._stream.assign([Assignment(JOB, ATTEMPT, "check@0", text)], {"check@0": version})
        while True:
            try:
                outcome = self._ends.get(timeout=LOOK_S)
            except queue.Empty:
                self._log.look(self._stream)
                continue
            self._log.end(json.loads(outcome.log) if outcome.log else {})
            return outcome

    def _terms(self) -> StreamTerms:
        return StreamTerms(
            server_id="check",
            linger_s=ALONE_S,
            orphan_s=ALONE_S,
            silence_s=ALONE_S,
            hello_s=HELLO_S,
            new_runner=lambda _: (f"r{secrets.token_hex(8)}", secrets.token_bytes(32)),
            runner_up=_nothing,
            runner_left=_nothing,
            take_records=self._take,
            take_live=self._log.take,
        )

    def _take(self, _machine: str, _runner: str, records: Sequence[Record]) -> ReportAnswer:
        heard = outcomes.from_records(records)
        for _, outcome in heard.ended:
            self._ends.put(outcome)
        return ReportAnswer(heard.last_seq, [])

    def _hear(self, event: MachineEvent) -> None:
        if isinstance(event, Trouble):
            self._said(f"the runner says: {event.reason}: {event.text}")
        elif isinstance(event, RunnerGone):
            self._ends.put(Outcome(Reason.DIED, error="the runner itself ended; look at what the job does to it"))


def _nothing(*_: object) -> None:
    """Nobody else has to know."""


def _trial(outcome: Outcome, root: str, path: Path) -> Trial:
    """The runner's view as the person's: tracebacks name the files that can be edited."""
    shown = re.compile(rf"{re.escape(root)}/run/workers/[0-9]+(?=/)")
    return Trial(
        reason=str(outcome.reason),
        result_text=outcome.result or "",
        return_data=outcome.return_data,
        count=outcome.return_count,
        spend_s=outcome.spend_s,
        error=shown.sub(lambda _: str(path), outcome.error) if outcome.error else None,
    )


class _Log:
    """What the job prints: live where it prints for long, the rest from the record."""

    def __init__(self, printed: Printed) -> None:
        self._printed = printed
        self._at = dict.fromkeys(STREAMS, 0)

    def look(self, stream: RunnerStream) -> None:
        """Have the runner send what comes."""
        for number, (name, at) in enumerate(self._at.items()):
            where = {"job": JOB, "attempt": ATTEMPT, "stream": name, "offset": at, "upto": at + LOG_WINDOW_BYTES}
            stream.send({"t": "watch", "n": number, "for_s": WATCH_S, **where})

    def take(self, _machine: str, message: Mapping[str, Any]) -> None:
        if message["t"] == "log":
            if message["text"]:
                self._printed(message["text"])
            self._at[message["stream"]] = message["offset"] + len(message["text"].encode())

    def end(self, kept: Mapping[str, Mapping[str, Any]]) -> None:
        for stream, at in self._at.items():
            log = kept.get(stream)
            if log is not None and log["total"] > at:
                rest = (log["head"] + log["tail"]).encode()[-(log["total"] - at) :].decode("utf-8", "replace")
                self._printed(rest if rest.endswith("\n") else f"{rest}\n")


def call_return_main(found: Found, return_data: str) -> Called:
    """Call return_main as the server does: in a process of its own, in a lasting folder's stead."""
    from orchestrator.returns.packages import HomeEnvironments
    from orchestrator.returns.warm import ReturnFailed, ReturnProcess, show_entries

    server, cwd, log = found.scratch / "server", found.scratch / "returns", found.scratch / "return_main.log"
    folders.part(found.whole, server, Part.SERVER, NUMBER, time.time())
    show_entries(server, cwd)
    before = set(cwd.rglob("*"))
    version, error = _version(found), ""
    home = HomeEnvironments(found.scratch / "home", bundle.build(found.scratch / "bundle").path, _workshop(found))
    try:
        lines = packages.read(found.whole).lines
        installed = home.of(version, lambda: lines, threading.Event())
    except CannotEquip as failed:
        return Called(f"its packages cannot be installed: {failed.why}", "", [])
    process = ReturnProcess(version, server, cwd, log, packages=installed)
    try:
        process.call(PendingReturn(JOB, ATTEMPT, found.path.name, NUMBER, return_data, 1), threading.Event())
    except ReturnFailed as failed:
        error = str(failed)
    finally:
        process.close()
    wrote = [path.relative_to(cwd).as_posix() for path in sorted(set(cwd.rglob("*")) - before) if path.is_file()]
    printed = log.read_text("utf-8", "replace") if log.is_file() else ""
    return Called(error, printed, wrote)


def _version(found: Found) -> JobVersion:
    whole = digest.of_folder(str(found.whole))
    return JobVersion(
        job_type=found.path.name,
        version=NUMBER,
        digest=whole,
        node_digest=whole,
        has_return_main=True,
        settings=found.settings,
        size_bytes=found.size_bytes,
        created_at=time.time(),
    )


def _remove(scratch: Path) -> None:
    """Sealed folders are read-only."""
    for folder in [path for path in scratch.rglob("*") if path.is_dir() and not path.is_symlink()]:
        folder.chmod(0o700)
    shutil.rmtree(scratch, ignore_errors=True)
