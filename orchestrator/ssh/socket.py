"""The byte streams below SSH connections: a TCP socket set up well, or a proxy command's pipes. No SSH spoken here."""

import contextlib
import socket
import subprocess
from typing import Any

import paramiko

TCP_S = 10.0
#: The kernel gives a connection up when what we sent stays unacknowledged this long.
UNACKNOWLEDGED_S = 40


class EagerSocket(socket.socket):
    """Acknowledges at once while ``eager``: until its first command sshd holds answers back for that, 40 ms each."""

    eager = True

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        if self.eager:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


class ChannelSocket:
    """A channel of a jump host as the socket below another connection.

    Closing a channel whose own connection has died raises EOFError, and paramiko closes the socket in the middle of
    telling those who wait that a connection ended: they would wait on.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def close(self) -> None:
        """Close the channel, whatever became of what carries it."""
        with contextlib.suppress(EOFError):
            self._channel.close()


def cut(transport: paramiko.Transport) -> None:
    """End a connection at once: everybody waiting on it is freed, its thread too."""
    shut(transport.sock)
    transport.close()


def dial(host: str, port: int, timeout_s: float | None) -> socket.socket:
    """Our own socket: paramiko's would wait 40 ms for delayed acknowledgements at every channel."""
    sock = socket.create_connection((host, port), timeout=timeout_s or TCP_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_S * 1000)
    return _eager(sock)


def _eager(sock: socket.socket) -> socket.socket:
    if not hasattr(socket, "TCP_QUICKACK"):
        return sock
    timeout = sock.gettimeout()
    made = EagerSocket(fileno=sock.detach())
    made.settimeout(timeout)
    return made


def by_command(line: str) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """A ProxyCommand of ~/.ssh/config: its stdin and stdout are our socket."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {line}"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return process, ours


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def shut(sock: Any) -> None:
    """Wake whoever reads the socket; closing it would not."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        sock.shutdown(socket.SHUT_RDWR)
