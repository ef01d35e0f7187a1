"""What it takes to reach one node. The promise only: no SSH and no subprocess here."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from inventory.machine import Machine


class Completed(NamedTuple):
    """A command that ran to its end. A non-zero exit is a value, not an error."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Channel(Protocol):
    """The byte stream of one long-lived remote command (its stdin and stdout)."""

    def send(self, data: bytes) -> None:
        """Send all of it or raise NodeUnreachable; never blocks past the transport's deadline."""
        ...

    def receive(self) -> bytes:
        """The next bytes, at least one; ``b""`` at the end. Blocks; ``close`` from another thread ends it."""
        ...

    def stderr_tail(self) -> str:
        """What the command wrote to stderr so far, the last 4 KiB, for error messages."""
        ...

    def close(self) -> None: ...


class Transport(Protocol):
    """Reach one node. NodeUnreachable means no answer came: the command may still have run.

    Thread-safe once connected; one connection for all of it.
    """

    def connect(self) -> None:
        """Open the connection, or raise NodeUnreachable, NodeRefused (credentials, limits) or HostKeyRefused."""
        ...

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Completed:
        """Run a command to its end. ``argv`` is a list; quoting is the transport's business alone."""
        ...

    def push(self, source: Path, dest: str, *, link_dest: str | None, timeout_s: float) -> int:
        """Make the absolute node folder ``dest`` (which does not exist) a copy of ``source``; answer bytes sent.

        Files equal by checksum to those in the sibling folder named ``link_dest`` are linked, not sent.
        """
        ...

    def open(self, argv: Sequence[str]) -> Channel:
        """Start a long-lived command and answer its stream."""
        ...

    def forward(self, local_port: int) -> int:
        """Let the node reach ``127.0.0.1:local_port`` here; answer the port on the node's loopback.

        Raises ForwardingRefused where the node forbids it. One forward a connection; asked again, the same answer.
        """
        ...

    def alive(self) -> bool: ...

    def close(self) -> None: ...


#: How a transport is made for a machine; the session does not know which kind it gets.
TransportFactory = Callable[[Machine], Transport]
