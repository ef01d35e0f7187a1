"""Open and authenticate one SSH connection, through jump hosts or a proxy command, host keys checked.

Ends with a live paramiko Transport, or with an error that says who must act. Commands and files are ``transport``'s.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fabric
import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from inventory.machine import Machine
from orchestrator.errors import HostKeyRefused, NodeUnreachable
from orchestrator.ssh.deadlines import deadline
from orchestrator.ssh.errors import told_apart
from orchestrator.ssh.gate import ConnectGate
from orchestrator.ssh.keys import KnownHosts, StrictPolicy
from orchestrator.ssh.settings import HANDSHAKE_S, USUAL_FILES, algorithms, key_name, options, resolve
from orchestrator.ssh.socket import ChannelSocket, EagerSocket, by_command, cut, dial, end, shut

CONNECT_S = 60.0
#: Paramiko sends its keepalive after this much silence, looking once in IDLE_WAKE_S.
KEEPALIVE_S = 15
#: Between looks at a silent socket. Paramiko's own 0.1 s costs a third of a core at a thousand connections.
IDLE_WAKE_S = 10.0
#: Kinds of host keys a pin may be of, the likeliest first.
PINNED_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


class _Trust(NamedTuple):
    """Whose key we are about to see: of which machine, pinned or not, and which kinds we ask for, if not any."""

    machine_id: str
    pin: str | None = None
    kinds: tuple[str, ...] = ()


class Link:
    """An authenticated connection with all it stands on: jump hosts and a proxy command are closed with it."""

    def __init__(self, transport: paramiko.Transport, below: Callable[[], None]) -> None:
        self.transport = transport
        self._below = below

    def calm_down(self) -> None:
        """The first command has run: from now on the connection may be lazy."""
        if isinstance(self.transport.sock, EagerSocket):
            self.transport.sock.eager = False

    def close(self) -> None:
        cut(self.transport)
        self._below()
        self.transport.join(5)


class Connector:
    """Connects machines; holds what all connections share. ``ssh_config``: a file in place of the usual ones."""

    def __init__(self, known_hosts: KnownHosts, gate: ConnectGate, ssh_config: Path | None = None) -> None:
        self.known_hosts = known_hosts
        self._gate = gate
        self._ssh_config = [ssh_config] if ssh_config else USUAL_FILES

    def connect(self, machine: Machine) -> Link:
        """A live connection, or NodeUnreachable, NodeRefused, HostKeyRefused."""
        with told_apart(machine):
            return self._by_any_kind(machine) if machine.host_key else self._connect(machine, ())

    def _connect(self, machine: Machine, kinds: tuple[str, ...]) -> Link:
        return self._link(resolve(machine, self._ssh_config), _Trust(machine.machine_id, machine.host_key, kinds))

    def _by_any_kind(self, machine: Machine) -> Link:
        """A pin may be of any of the host's keys: ask for one kind after the other until it fits."""
        refused: HostKeyRefused | None = None
        for kinds in ((), *((kind,) for kind in PINNED_KINDS)):
            try:
                return self._connect(machine, kinds)
            except HostKeyRefused as error:
                refused = refused or error
            except IncompatiblePeer:
                if refused is None:
                    raise
        raise refused or NodeUnreachable("no key was shown")

    def _link(self, target: fabric.Connection, trust: "_Trust") -> Link:
        """Connect through whatever the target lies behind: nothing, a command, or other hosts."""
        address = f"{target.host}:{target.port}"
        if isinstance(target.gateway, fabric.Connection):
            gateway = self._link(target.gateway, _Trust(trust.machine_id))
            return self._above(gateway.close, lambda: _through(gateway, target), target, trust)
        if target.gateway:
            process, sock = by_command(str(target.gateway))
            return self._above(lambda: end(process), lambda: sock, target, trust)
        with self._gate.passing(address, CONNECT_S):
            return self._above(
                lambda: None, lambda: dial(target.host, target.port, target.connect_timeout), target, trust
            )

    def _above(
        self,
        below: Callable[[], None],
        reach: Callable[[], Any],
        target: fabric.Connection,
        trust: "_Trust",
    ) -> Link:
        try:
            return Link(self._handshake(reach(), target, trust), below)
        except BaseException:
            below()
            raise

    def _handshake(self, sock: Any, target: fabric.Connection, trust: "_Trust") -> paramiko.Transport:
        name = key_name(target)
        known = self.known_hosts.kinds(name)
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(StrictPolicy(self.known_hosts, trust.machine_id, name, trust.pin))
        with deadline(CONNECT_S, lambda: shut(sock)):
            try:
                client.connect(
                    **options(target),
                    sock=sock,
                    transport_factory=lambda *args, **kwargs: _asking(trust.kinds, known, *args, **kwargs),
                )
            except BaseException:
                shut(sock)
                client.close()
                raise
        transport = client.get_transport()
        if transport is None or not transport.is_active():
            raise NodeUnreachable(f"{trust.machine_id}: the connection ended right after login")
        return _settled(transport)


def _asking(only: Sequence[str], first: Sequence[str], *args: Any, **kwargs: Any) -> paramiko.Transport:
    """A transport that asks the host for ``only`` these kinds of keys, or for ``first`` ones before others."""
    transport = paramiko.Transport(*args, **kwargs)
    choice = transport.get_security_options()
    wanted = [name for kind in only or first for name in algorithms(kind) if name in choice.key_types]
    rest = [] if only else [name for name in choice.key_types if name not in wanted]
    choice.key_types = wanted + rest
    return transport


def _settled(transport: paramiko.Transport) -> paramiko.Transport:
    """Ready for a long idle life: seldom waking up, noticing a dead peer."""
    transport.set_keepalive(KEEPALIVE_S)
    transport.sock.settimeout(IDLE_WAKE_S)
    return transport


def _through(gateway: Link, target: fabric.Connection) -> ChannelSocket:
    channel = gateway.transport.open_channel(
        "direct-tcpip", (target.host, target.port), ("127.0.0.1", 0), timeout=HANDSHAKE_S
    )
    return ChannelSocket(channel)
