"""Push a folder with rsync over a connection that is already open. Knows rsync; gets its stream from the transport.

rsync starts rsync_bridge.py as its remote shell; that passes us rsync's pipes, and we move bytes between them and a
channel. Files arrive for their owner only and unwritable, as they will stay, so that ``--link-dest`` finds them equal.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from orchestrator.errors import NodeUnfit, NodeUnreachable
from orchestrator.ssh import rsync_bridge
from orchestrator.ssh.deadlines import deadline
from orchestrator.ssh.stream import Stream

MODES = "Du=rwx,Dgo=,Fu=rX,Fgo="
#: What sh answers for a command it cannot find, or finds in a folder closed to it.
_NOT_FOUND = (126, 127)
_CHUNK_BYTES = 1 << 16
#: Each is two processes here, and what they send shares one network.
_AT_ONCE = threading.BoundedSemaphore(32)
_START = 'umask 077; mkdir -p -- "$1" && shift && exec "$@"'


class RsyncMissing(Exception):
    """There is no rsync, here or on the node: push another way."""


def push(
    start: Callable[[Sequence[str]], Stream], source: Path, dest: str, *, link_dest: str | None, ends_at: float
) -> int:
    """Copy the content of ``source`` into the new folder ``dest`` on the node; answer bytes sent. In turns."""
    if shutil.which("rsync") is None:
        raise RsyncMissing("this machine has no rsync")
    with _AT_ONCE:
        return _push(start, source, dest, link_dest, ends_at)


def _push(
    start: Callable[[Sequence[str]], Stream], source: Path, dest: str, link_dest: str | None, ends_at: float
) -> int:
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile() as said:
        with theirs:
            process = _rsync(source, dest, link_dest, theirs, said.fileno())
        try:
            exchange = _met(start, ours, dest, ends_at)
            code = exchange.run(process, ours, ends_at) if exchange else process.wait()
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        _judge(exchange, code, said.read().decode("utf-8", "replace"))
    return exchange.sent_bytes if exchange else 0


def _rsync(
    source: Path, dest: str, link_dest: str | None, bridge: socket.socket, said: int
) -> "subprocess.Popen[bytes]":
    shell = f"'{sys.executable}' -I -S '{rsync_bridge.__file__}'"
    link = [f"--link-dest=../{link_dest}"] if link_dest else []
    return subprocess.Popen(
        ["rsync", "-rps", "--checksum", f"--chmod={MODES}", *link, "-e", shell, f"{source}/", f"node:{dest}"],
        env={**os.environ, "MJ_BRIDGE_FD": str(bridge.fileno())},
        pass_fds=[bridge.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
    )


def _met(
    start: Callable[[Sequence[str]], Stream], bridge: socket.socket, dest: str, ends_at: float
) -> "_Exchange | None":
    """Take rsync's pipes from the bridge and start its other half on the node; None if rsync gave up before."""
    bridge.settimeout(max(0.0, ends_at - time.monotonic()))
    words, pipes, _, _ = socket.recv_fds(bridge, 1 << 16, 2)
    if not pipes:
        return None
    argv = words.decode("utf-8", "surrogateescape").split("\0")
    try:
        stream = start(["sh", "-c", _START, "sh", str(PurePosixPath(dest).parent), *argv])
    except BaseException:
        for pipe in pipes:
            os.close(pipe)
        raise
    return _Exchange(stream, pipes[0], pipes[1])


class _Exchange:
    """The bytes of one rsync on their way: sent by a thread of their own, received by the caller's."""

    def __init__(self, stream: Stream, from_rsync: int, to_rsync: int) -> None:
        self.sent_bytes = 0
        self.node_code: int | None = None
        self.node_said = ""
        self.late = False
        self._stream = stream
        self._from_rsync = from_rsync
        self._to_rsync = to_rsync
        self._sender = threading.Thread(target=self._send, name="rsync-send", daemon=True)

    def run(self, process: "subprocess.Popen[bytes]", bridge: socket.socket, ends_at: float) -> int:
        """Carry all of it; answer rsync's exit code."""
        self._sender.start()
        try:
            with deadline(ends_at - time.monotonic(), lambda: self._give_up(process)):
                self._receive()
                self.node_code = self._stream.exit_code(ends_at)
                os.close(self._to_rsync)
                self._to_rsync = -1
                _tell(bridge, self.node_code)
                return process.wait()
        finally:
            self._end(process)

    def _send(self) -> None:
        with contextlib.suppress(NodeUnreachable):
            while data := os.read(self._from_rsync, _CHUNK_BYTES):
                self._stream.send_gently(data)
                self.sent_bytes += len(data)
            self._stream.end_input()

    def _receive(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            while data := self._stream.receive():
                left = memoryview(data)
                while left:
                    left = left[os.write(self._to_rsync, left) :]

    def _give_up(self, process: "subprocess.Popen[bytes]") -> None:
        self.late = True
        process.kill()
        self._stream.close()

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """rsync first: with it ends the pipe the sender reads."""
        process.kill()
        process.wait()
        if self._to_rsync >= 0:
            os.close(self._to_rsync)
        self.node_said = self._stream.stderr_tail()
        self._stream.close()
        self._sender.join()
        os.close(self._from_rsync)


def _tell(bridge: socket.socket, code: int) -> None:
    with contextlib.suppress(OSError):
        bridge.sendall(bytes([code if 0 <= code <= 255 else 255]))


def _judge(exchange: _Exchange | None, code: int, said: str) -> None:
    """Raise unless rsync and its other half are both content."""
    if code == 0:
        return
    if exchange is not None and exchange.late:
        raise NodeUnreachable("pushing files took too long")
    if exchange is not None and exchange.node_code in _NOT_FOUND:
        raise RsyncMissing("the node has no rsync")
    node_said = exchange.node_said if exchange else ""
    raise NodeUnfit(f"rsync ended with {code}: {(node_said + said).strip()[-600:]}")
