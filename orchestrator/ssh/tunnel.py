"""Carry what nodes send through their reverse tunnels to the report listener. One thread for all of them.

It never waits for one node: a channel that takes nothing is looked at again later, while the others go on.
"""

import contextlib
import logging
import os
import select
import selectors
import socket
import threading
from collections import Counter, deque
from typing import Final

import paramiko

log = logging.getLogger(__name__)

#: Connections one node may hold open at once; a runner needs one.
PER_NODE: Final = 8
_CHUNK_BYTES: Final = 1 << 16
#: Small enough to fit whenever the kernel calls a socket writable, so that a send never waits.
_REPLY_BYTES: Final = 1 << 12
_BUFFER_BYTES: Final = 1 << 20
_RETRY_S: Final = 0.01
#: ValueError: a socket that another thread has closed meanwhile has no descriptor.
_FAILURES: Final = (OSError, EOFError, ValueError, paramiko.SSHException)


class Pump:
    """Owns the thread ``tunnel``, from ``start`` to ``stop``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._ready: deque[_Carried] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._carried: set[_Carried] = set()
        self._thread = threading.Thread(target=self._run, name="tunnel", daemon=True)
        self._stopping = False

    def start(self) -> None:
        self._thread.start()

    def carry(self, channel: paramiko.Channel, local_port: int, node: str) -> None:
        """Join a forwarded channel to 127.0.0.1:local_port. Quick, from any thread; refused by closing the channel."""
        with self._lock:
            refused = self._stopping or self._held[node] >= PER_NODE
            if not refused:
                self._held[node] += 1
        if refused:
            log.warning("%s opens too many connections through its tunnel", node, extra={"machine_id": node})
            channel.close()
            return
        carried = _Carried(channel, local_port, node, self)
        channel.in_buffer.set_event(carried)  # type: ignore[arg-type] # it calls set and clear, no more
        self.awake(carried)

    def stop(self) -> None:
        """Close all connections and the thread; nothing is carried afterwards."""
        with self._lock:
            stopped, self._stopping = self._stopping, True
        if stopped:
            return
        if self._thread.ident is not None:
            self._nudge()
            self._thread.join()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def awake(self, carried: "_Carried") -> None:
        """Something happened on a channel: look at it. Called by the transports' threads."""
        self._ready.append(carried)
        self._nudge()

    def _nudge(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: it has stopped
            os.write(self._wake_write, b"x")

    def _run(self) -> None:
        stuck: set[_Carried] = set()
        while not self._stopping:
            touched = self._wait(_RETRY_S if stuck else None) | stuck
            stuck = {carried for carried in touched if self._advance(carried)}
        for carried in list(self._carried):
            self._drop(carried)

    def _wait(self, timeout_s: float | None) -> set["_Carried"]:
        touched = set()
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj == self._wake_read:
                os.read(self._wake_read, _CHUNK_BYTES)
            else:
                touched.add(key.data)
        while self._ready:
            touched.add(self._ready.popleft())
        return touched

    def _advance(self, carried: "_Carried") -> bool:
        """Move what can be moved; answer whether it must be looked at again without an event."""
        if carried.dropped:
            return False
        try:
            if carried.sock is None:
                self._join(carried)
            stuck = carried.move()
            self._watch(carried)
        except _FAILURES as error:
            log.debug("%s: tunnel connection ended: %s", carried.node, error)
            self._drop(carried)
            return False
        except Exception:
            log.exception("a tunnel connection failed", extra={"machine": carried.node})
            self._drop(carried)  # it alone: this thread carries what all machines report
            return False
        if carried.done:
            self._drop(carried)
        return stuck and not carried.dropped

    def _join(self, carried: "_Carried") -> None:
        carried.sock = sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._carried.add(carried)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(("127.0.0.1", carried.local_port))
        sock.setblocking(False)

    def _watch(self, carried: "_Carried") -> None:
        """Ask the selector for just what this connection waits for."""
        assert carried.sock is not None  # noqa: S101 - joined before
        wanted = carried.interest()
        if wanted == carried.watched:
            return
        if not carried.watched:
            self._selector.register(carried.sock, wanted, carried)
        elif not wanted:
            self._selector.unregister(carried.sock)
        else:
            self._selector.modify(carried.sock, wanted, carried)
        carried.watched = wanted

    def _drop(self, carried: "_Carried") -> None:
        carried.dropped = True
        self._carried.discard(carried)
        if carried.sock is not None:
            if carried.watched:
                self._selector.unregister(carried.sock)
            carried.sock.close()
        with contextlib.suppress(*_FAILURES):
            carried.channel.close()
        with self._lock:
            self._held[carried.node] -= 1
            if not self._held[carried.node]:
                del self._held[carried.node]


class _Carried:
    """One connection: a channel on the node's side, a socket on ours, what is between them."""

    def __init__(self, channel: paramiko.Channel, local_port: int, node: str, pump: Pump) -> None:
        self.channel = channel
        self.local_port = local_port
        self.node = node
        self.sock: socket.socket | None = None
        self.watched = 0
        self.dropped = False
        self._pump = pump
        self._to_server = bytearray()
        self._to_node = bytearray()
        self._server_ended = False
        self._node_ended = False
        channel.settimeout(0.0)

    def set(self) -> None:
        """Paramiko's word for: data came, or the end."""
        self._pump.awake(self)

    def clear(self) -> None:
        """Paramiko's word for: all data taken."""

    @property
    def done(self) -> bool:
        return self.channel.closed or (self._server_ended and not self._to_node)

    def move(self) -> bool:
        """Move bytes both ways as far as nobody has to wait; answer whether the node's side is full."""
        self._from_node()
        self._to_the_server()
        self._from_server()
        return self._to_the_node()

    def interest(self) -> int:
        read = 0 if self._server_ended or len(self._to_node) >= _BUFFER_BYTES else selectors.EVENT_READ
        return read | (selectors.EVENT_WRITE if self._to_server else 0)

    def _from_node(self) -> None:
        while len(self._to_server) < _BUFFER_BYTES and self.channel.recv_ready():
            self._to_server += self.channel.recv(_CHUNK_BYTES)

    def _to_the_server(self) -> None:
        assert self.sock is not None  # noqa: S101 - joined before
        while self._to_server:
            try:
                del self._to_server[: self.sock.send(self._to_server)]
            except BlockingIOError:
                return
            self._from_node()
        if self.channel.eof_received and not self._node_ended:
            self._node_ended = True
            self.sock.shutdown(socket.SHUT_WR)

    def _from_server(self) -> None:
        assert self.sock is not None  # noqa: S101 - joined before
        if self._server_ended or len(self._to_node) >= _BUFFER_BYTES:
            return
        with contextlib.suppress(BlockingIOError):
            data = self.sock.recv(_CHUNK_BYTES)
            self._to_node += data
            self._server_ended = not data

    def _to_the_node(self) -> bool:
        while self._to_node:
            if not (self.channel.send_ready() and _takes_bytes(self.channel.get_transport())):
                return True
            del self._to_node[: self.channel.send(bytes(self._to_node[:_REPLY_BYTES]))]
        return False


def _takes_bytes(transport: paramiko.Transport) -> bool:
    """Whether a small packet can be sent without waiting: no new keys being agreed on, room in the socket."""
    if not transport.clear_to_send.is_set():
        return not transport.is_active()
    sock = transport.sock
    if isinstance(sock, paramiko.Channel):
        return sock.send_ready()
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    return bool(poller.poll(0))
