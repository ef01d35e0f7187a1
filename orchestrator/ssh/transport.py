"""Reach a node over SSH: one connection, at most eight commands on it at once.

With quoting the only one that quotes. ``connect`` opens the connection, ``shell`` gets past the login shell, ``stream``
is one command; ``rsync_push`` and ``tar`` carry folders.
"""

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import paramiko

from inventory.machine import Machine
from orchestrator.errors import ForwardingRefused, NodeRefused, NodeUnfit, NodeUnreachable
from orchestrator.node.transport import Completed
from orchestrator.ssh import quoting, rsync_push, tar
from orchestrator.ssh import shell as ssh_shell
from orchestrator.ssh.connect import Connector, Link
from orchestrator.ssh.deadlines import deadline
from orchestrator.ssh.shell import Shell
from orchestrator.ssh.socket import cut
from orchestrator.ssh.stream import Stream
from orchestrator.ssh.tunnel import Pump

log = logging.getLogger(__name__)

CHANNELS = 8
#: What opening a channel may take, beyond which the connection is cut.
_OPEN_S = 15.0
#: How long a new long-lived command waits for one of the channels to be free.
_TURN_S = 30.0
_PROBE_S = 45.0
#: How long a server may take to notice that one of our earlier commands has ended.
_ROOM_S = 3.0
_ROOM_POLL_S = 0.05


class SshTransport:
    """A Transport over one SSH connection."""

    def __init__(self, machine: Machine, connector: Connector, pump: Pump) -> None:
        self._machine = machine
        self._who = machine.machine_id
        self._connector = connector
        self._pump = pump
        self._link: Link | None = None
        #: How commands reach a shell there; None until the first of a connection has found out.
        self._shell: Shell | None = None
        self._finding_out = threading.Lock()
        self._channels = threading.BoundedSemaphore(CHANNELS)
        self._forwarding = threading.Lock()
        self._forwarded: int | None = None
        self._rsync_missing = False

    def connect(self) -> None:
        self._shell = None
        self._link = self._connector.connect(self._machine)

    def alive(self) -> bool:
        return self._link is not None and self._link.transport.is_active()

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Completed:
        stream = self._start(argv, time.monotonic() + timeout_s)
        try:
            return stream.communicate(stdin, time.monotonic() + timeout_s)
        finally:
            stream.close()

    def push(self, source: Path, dest: str, *, link_dest: str | None, timeout_s: float) -> int:
        ends_at = time.monotonic() + timeout_s
        with self._naming():
            if not self._rsync_missing:
                try:
                    return rsync_push.push(self.open, source, dest, link_dest=link_dest, ends_at=ends_at)
                except rsync_push.RsyncMissing as reason:
                    self._rsync_missing = True
                    log.info("%s: %s; folders travel as tar", self._who, reason, extra={"machine_id": self._who})
            return tar.push(self.open, source, dest, ends_at)

    def open(self, argv: Sequence[str]) -> Stream:
        return self._start(argv, time.monotonic() + _TURN_S)

    def forward(self, local_port: int) -> int:
        with self._forwarding:
            if self._forwarded is None:
                self._forwarded = self._forward(self._live(), local_port)
            return self._forwarded

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _live(self) -> paramiko.Transport:
        if self._link is None or not self._link.transport.is_active():
            raise NodeUnreachable(f"{self._who}: not connected")
        return self._link.transport

    def _start(self, argv: Sequence[str], ends_at: float) -> Stream:
        """Start a command; its stream holds one of the eight channels until it is closed."""
        shell = self._shell
        if shell is None:
            with self._finding_out:
                if self._shell is None:
                    return self._start_first(argv, ends_at)
                shell = self._shell
        return self._start_by(shell, argv, ends_at)

    def _start_first(self, argv: Sequence[str], ends_at: float) -> Stream:
        """Start it the usual way. Where it does not begin, something else may be waiting for input: find that out."""
        stream = self._start_by(Shell.BY_COMMAND, argv, ends_at)
        try:
            found = Shell.BY_COMMAND if stream.begins(time.monotonic() + ssh_shell.RESCUE_S) else self._probe()
            if found is Shell.BY_COMMAND:
                stream.await_mark(time.monotonic() + ssh_shell.RESCUE_S)
        except BaseException:
            stream.close()
            raise
        if self._link is not None:
            self._link.calm_down()
        self._shell = found
        if found is Shell.BY_COMMAND:
            return stream
        stream.close()
        return self._start_by(found, argv, ends_at)

    def _probe(self) -> Shell:
        transport = self._live()
        with self._guarded(transport, _PROBE_S):
            channel = transport.open_session(timeout=_OPEN_S)
            with contextlib.closing(channel):
                return ssh_shell.probe(self._who, channel)

    def _start_by(self, shell: Shell, argv: Sequence[str], ends_at: float) -> Stream:
        transport = self._live()
        if not self._channels.acquire(timeout=max(0.0, ends_at - time.monotonic())):
            raise NodeUnreachable(f"{self._who}: all {CHANNELS} channels stayed busy")
        try:
            with self._guarded(transport, _OPEN_S):
                return self._begin(transport, shell, argv, ends_at)
        except BaseException:
            self._channels.release()
            raise

    def _begin(self, transport: paramiko.Transport, shell: Shell, argv: Sequence[str], ends_at: float) -> Stream:
        mark = secrets.token_hex(8)
        line = quoting.framed(argv, mark)
        channel = _session(transport, min(ends_at, time.monotonic() + _ROOM_S))
        try:
            ssh_shell.begin(channel, line, shell)
            stream = Stream(self._who, channel, mark, self._channels.release)
            if shell is Shell.BY_INPUT:
                stream.await_mark(ends_at)
        except BaseException:
            channel.close()
            raise
        return stream

    def _forward(self, transport: paramiko.Transport, local_port: int) -> int:
        def carry(channel: paramiko.Channel, _origin: object, _server: object) -> None:
            self._pump.carry(channel, local_port, self._who)

        try:
            with deadline(_OPEN_S, lambda: cut(transport)):
                return transport.request_port_forward("127.0.0.1", 0, carry)
        except (paramiko.SSHException, OSError, EOFError) as error:
            if not transport.is_active():
                raise NodeUnreachable(f"{self._who}: the connection ended while asking for a tunnel") from error
            raise ForwardingRefused(f"{self._who}: its SSH server forbids reverse forwarding") from error

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        """Say which machine it was, for hands that do not know."""
        try:
            yield
        except NodeUnfit as error:
            raise NodeUnfit(f"{self._who}: {error}") from error

    @contextlib.contextmanager
    def _guarded(self, transport: paramiko.Transport, seconds: float) -> Iterator[None]:
        """Wrap paramiko's errors; cut the connection when the other end leaves a question open that long."""
        try:
            with deadline(seconds, lambda: cut(transport)):
                yield
        except paramiko.ChannelException as error:
            message = f"{self._who}: its SSH server opens no more sessions ({error.text}); see MaxSessions there"
            raise NodeRefused(message, pause=False) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            if transport.is_active():
                raise NodeRefused(f"{self._who}: its SSH server runs no commands: {error}", pause=True) from error
            raise NodeUnreachable(f"{self._who}: the connection ended: {str(error) or 'cut off'}") from error


def _session(transport: paramiko.Transport, ends_at: float) -> paramiko.Channel:
    """A new session, once the server has room for it: it counts a command until it has seen it end."""
    while True:
        try:
            return transport.open_session(timeout=_OPEN_S)
        except paramiko.ChannelException:
            if time.monotonic() > ends_at:
                raise
            time.sleep(_ROOM_POLL_S)
