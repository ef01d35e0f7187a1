"""One machine's life: connect, ready, feed, lost, goodbye. Acts through a Transport; decides nothing about jobs.

One thread owns the connection. It carries out what is asked of it one thing at a time and in order; what may take long
(polls, folders) runs in the shared pool of hands instead, so that feeding never waits for it. The session tells the
engine what happens, as events, and the engine alone decides what follows.
"""

import contextlib
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from inventory.machine import Machine
from jobs.errors import StoreUnavailable
from jobs.model import AttemptKey
from orchestrator.errors import (
    ForwardingRefused,
    HostKeyRefused,
    NodeUnreachable,
    OrchestratorError,
)
from orchestrator.node import deploy, health
from orchestrator.node.errands import Errands
from orchestrator.node.events import (
    Connected,
    Down,
    MachineEvent,
)
from orchestrator.node.pace import STEADY_S, Pace, down_state
from orchestrator.node.site import Site
from orchestrator.node.stream import RunnerStream, StreamTerms
from orchestrator.node.transport import Transport, TransportFactory
from orchestrator.node.workshop import Workshop
from remote_runner import protocol
from remote_runner.bundle import Bundle

log = logging.getLogger(__name__)

#: How often a connected session looks whether its connection still lives.
WATCH_S: Final = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What all sessions share."""

    server_id: str
    connect: TransportFactory
    #: For folders on their way, and for polls, which must not wait behind them.
    hands: Executor
    polls: Executor
    #: For packages on their way, which take longest.
    builders: Executor
    shop: Workshop
    bundle: Bundle
    terms: StreamTerms
    #: Where reports are taken: the port of the report listener here, and its address for machines that reach it.
    report_port: int
    report_url: str | None
    pace: Pace = field(default_factory=Pace)


class Session:
    """See the module. ``start`` and ``stop`` belong to the engine, and so do all other public calls."""

    def __init__(self, machine: Machine, around: Surroundings, tell: Callable[[MachineEvent], None]) -> None:
        self.machine = machine
        self._around = around
        self._tell = tell
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._outbox: list[protocol.Assignment] = []
        self._outbox_lock = threading.Lock()
        self._versions: dict[str, protocol.Version] = {}
        self._exclusive: set[str] = set()
        self._stopping = threading.Event()
        #: Set to end the rest between two tries to connect.
        self._again = threading.Event()
        self._transport: Transport | None = None
        self._site: Site | None = None
        self._stream: RunnerStream | None = None
        #: A runner is to be attached to, and from when on; how often in a row one broke off.
        self._wants_runner = False
        self._attach_at_s = 0.0
        self._breaks = 0
        self._errands = Errands(
            machine.machine_id,
            self._here,
            tell,
            hands=around.hands,
            polls=around.polls,
            builders=around.builders,
            shop=around.shop,
            poll_timeout_s=around.pace.poll_timeout_s,
            on_silence=lambda transport: self._asked.put(lambda: self._break(transport)),
        )
        self._thread = threading.Thread(target=self._run, name=f"session-{machine.machine_id}", daemon=True)

    # what the engine asks; none of it blocks

    def start(self) -> None:
        self._thread.start()

    @property
    def running(self) -> bool:
        """It was started and not told to stop."""
        return self._thread.ident is not None and not self._stopping.is_set()

    @property
    def alive(self) -> bool:
        """Its thread has not ended."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Let go of the machine: the connection closes, a runner that still works goes on by itself."""
        self._stopping.set()
        self._again.set()
        self._asked.put(_nothing)

    def try_again(self) -> None:
        """What kept it from connecting may have been mended: do not rest any longer. From any thread."""
        self._again.set()

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def assign(
        self, jobs: Sequence[protocol.Assignment], versions: Iterable[protocol.Version], exclusive: Iterable[str] = ()
    ) -> None:
        """Send these attempts, already claimed, to the runner; start one where none is.

        ``exclusive``: refs of versions whose jobs may not run in two places at once.
        """
        with self._outbox_lock:
            self._outbox += jobs
            self._exclusive.update(exclusive)
            for version in versions:
                self._versions[f"{version.job_type}@{version.version}"] = version
        self._asked.put(self._feed)

    def unsent(self) -> set[AttemptKey]:
        """Attempts handed to ``assign`` that no stream has carried yet."""
        with self._outbox_lock:
            return {(job.job, job.attempt) for job in self._outbox}

    def withdraw_unsent(self) -> list[AttemptKey]:
        """Take back what has not been sent; it is not sent any more."""
        with self._outbox_lock:
            taken, self._outbox = self._outbox, []
        return [(job.job, job.attempt) for job in taken]

    def ensure_runner(self) -> None:
        """Attach to the runner, or start one: there is work, or there may be some of an earlier time."""
        self._asked.put(self._want_runner)

    def go_on(self, stream: int) -> None:
        """The engine has compared what this stream's runner holds with what it should; sending may begin."""
        self._asked.put(lambda: self._begin_feeding(stream))

    def recall(self) -> None:
        """Ask for everything back that has not started."""
        self._asked.put(lambda: self._send({"t": "recall", "attempts": None}))

    def kill(self, attempts: Sequence[AttemptKey], grace_s: float) -> None:
        """End these attempts with everything they started."""
        message = {"t": "kill", "attempts": [list(key) for key in attempts], "grace_s": grace_s}
        self._asked.put(lambda: self._send(message))

    def watch(self, message: Mapping[str, object]) -> bool:
        """Ask the runner for what an attempt prints; whether there is one to ask. From any thread."""
        stream = self._stream
        if stream is None or not stream.open:
            return False
        self._asked.put(lambda: self._send(dict(message)))
        return True

    def reconfigure(self, machine: Machine) -> None:
        """Take new parameters that do not touch the connection."""
        self.machine = machine
        self._asked.put(lambda: self._send({"t": "limit", "limit": machine.limit_process}))

    def send_version(
        self, job_type: str, version: int, digest: str, source: Callable[[], Path], present: Iterable[str]
    ) -> None:
        """Bring a version's folder to the machine; Deployed or DeployFailed follows.

        ``source`` answers the folder here (it may have to be unpacked first); ``present`` as in deploy.send_version.
        """
        self._errands.send_version(job_type, version, digest, source, list(present))

    def equip(self, digest: str, lines: Callable[[], Sequence[str]]) -> None:
        """Have the packages of this lock on the machine; Equipped or NotEquipped follows."""
        self._errands.equip(digest, lines, dict(self.machine.env))

    def poll(self) -> None:
        """Measure the machine's load; Loaded follows, or the connection is given up."""
        self._errands.poll()

    def sweep(self) -> None:
        """Remove from the machine what is old there."""
        self._errands.sweep()

    def purge(self) -> None:
        """Remove all that is ours from the machine; Purged follows, unless the connection breaks."""
        self._errands.purge()

    # the thread

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stopping.is_set():
            began_s = time.monotonic()
            error = self._live()
            if self._stopping.is_set():
                return
            shown = error.fingerprint if isinstance(error, HostKeyRefused) else ""
            self._tell(Down(self.machine.machine_id, down_state(error), str(error), shown))
            wait_s = self._around.pace.next_wait_s(wait_s, error, time.monotonic() - began_s)
            self._rest(wait_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret

    def _live(self) -> OrchestratorError:
        """Connect, and do what is asked until the connection breaks; why it did."""
        try:
            self._connect()
            self._serve()
        except OrchestratorError as error:
            return error
        except Exception:
            log.exception("session failed", extra={"machine": self.machine.machine_id})
        finally:
            self._disconnect()
        return NodeUnreachable("the session failed; the server's log says how")

    def _connect(self) -> None:
        transport = self._around.connect(self.machine)
        self._transport = transport
        transport.connect()
        timeout_s = self._around.pace.contact_s
        contact = health.first_contact(transport, self.machine, self._around.server_id, timeout_s=timeout_s)
        digest = self._around.bundle.digest
        self._site = Site(contact.root, contact.python, f"{contact.root}/runner/{digest}.pyz", contact.needs_scope)
        if digest not in contact.runners:
            deploy.send_runner(transport, self._site, self._around.bundle)
        self._tell(Connected(self.machine.machine_id, contact))

    def _serve(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Empty):
                self._asked.get(timeout=self._patience_s())()
            if self._transport is None or not self._transport.alive():
                raise NodeUnreachable("the connection broke")
            if self._wants_runner and time.monotonic() >= self._attach_at_s:
                self._attach()

    def _patience_s(self) -> float:
        """How long nothing is to be done unless asked."""
        if not self._wants_runner:
            return WATCH_S
        return min(WATCH_S, max(0.0, self._attach_at_s - time.monotonic()))

    def _rest(self, wait_s: float) -> None:
        """Wait before the next try. What was asked of the old connection is void."""
        self._again.wait(wait_s)
        self._again.clear()
        self._wants_runner = False
        with contextlib.suppress(queue.Empty):
            while True:
                self._asked.get_nowait()

    def _disconnect(self) -> None:
        stream, self._stream = self._stream, None
        transport, self._transport = self._transport, None
        for one in (stream, transport):
            try:
                if one is not None:
                    one.close()
            except Exception:
                log.exception("closing failed", extra={"machine": self.machine.machine_id})

    # what it does when asked, on the thread

    def _want_runner(self) -> None:
        """At once after a goodbye; the longer the more often a runner broke off."""
        if self._wants_runner or (self._stream is not None and self._stream.open):
            return
        self._wants_runner = True
        self._breaks = _breaks(self._breaks, self._stream)
        self._attach_at_s = time.monotonic() + self._around.pace.attach_wait_s(self._breaks)

    def _attach(self) -> None:
        transport, site = self._here()
        stream = RunnerStream(self.machine, site, self._around.terms, self._tell)
        try:
            stream.attach(transport, self._report_url(transport))
        except StoreUnavailable as error:  # no key without the store: in a while
            log.warning("no runner can be started: %s", error, extra={"machine": self.machine.machine_id})
            self._attach_at_s = time.monotonic() + self._around.pace.retry_first_s
            return
        self._stream, self._wants_runner = stream, False

    def _feed(self) -> None:
        stream = self._stream
        if stream is None or not stream.open:
            self._want_runner()
        elif stream.agreed:
            with self._outbox_lock:
                jobs, self._outbox = self._outbox, []
                versions = {ref: self._versions[ref] for ref in {job.ref for job in jobs}}
            if jobs:
                with self._only_the_stream_breaks(stream):
                    stream.assign(jobs, versions, self._exclusive)

    def _begin_feeding(self, number: int) -> None:
        """Unless that stream is gone: the next one's runner has not been compared."""
        if self._stream is not None and self._stream.number == number:
            self._stream.agreed = True
            self._feed()

    def _send(self, message: dict[str, object]) -> None:
        if self._stream is not None and self._stream.open:
            with self._only_the_stream_breaks(self._stream):
                self._stream.send(message)

    @contextlib.contextmanager
    def _only_the_stream_breaks(self, stream: RunnerStream) -> Iterator[None]:
        """A runner that is just leaving does not cost the connection; whether that lives is looked at anyway."""
        try:
            yield
        except NodeUnreachable as error:
            log.info("%s", error, extra={"machine": self.machine.machine_id})
            stream.close()

    def _report_url(self, transport: Transport) -> str | None:
        """Where the runner posts its reports as seen from the node; None: it sends them up the channel."""
        if self.machine.report == "direct":
            return self._around.report_url
        if self.machine.report == "drain":
            return None
        try:
            return f"http://127.0.0.1:{transport.forward(self._around.report_port)}/report"
        except ForwardingRefused:
            return None

    def _break(self, transport: Transport | None) -> None:
        if transport is self._transport:
            raise NodeUnreachable("the machine did not answer when its load was asked for")

    def _here(self) -> tuple[Transport, Site]:
        transport, site = self._transport, self._site
        if transport is None or site is None:
            raise NodeUnreachable("not connected")
        return transport, site


def _nothing() -> None:
    """Wakes the thread."""


def _breaks(before: int, ended: RunnerStream | None) -> int:
    """How many streams in a row broke off, now that this one has ended."""
    if ended is None or ended.left:
        return 0
    return 1 if ended.lasted_s() >= STEADY_S else before + 1
