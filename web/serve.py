"""Serve one app on one address from threads of our own. Sockets and threads only; knows nothing of what it serves.

A thread is given whole requests only. A request must arrive at a pace, so that connections that send a byte now and
then hold nothing for long; and when connections become many, those that have been quiet for longest make room.
"""

import functools
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server

from web.attending import Attendance

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: Above the largest body any view takes; views have tighter limits of their own.
_BODY_LIMIT_BYTES = 65 * 1024 * 1024
_CONNECTIONS = 1000
#: Left for those that have just come, while others are made to close.
_SPARE_CONNECTIONS = 64
#: A request, or the first byte on a new connection, is waited for so long, and a second more for each so many bytes.
_ARRIVAL_S = 30.0
_PACE_BYTES = 4096
#: How long the loop waits for a thread that is just handing its answer to the system; that takes far less.
_HANDING_S = 0.005


@dataclass(frozen=True, slots=True)
class Patience:
    """With whoever connects."""

    arrival_s: float = _ARRIVAL_S
    #: More make the quietest ones close.
    connections: int = _CONNECTIONS


class _Connection(HTTPChannel):  # type: ignore[misc] # waitress brings no types
    """One that does not wait for ever. All of this runs on the listener's own thread."""

    def __init__(self, patience: Patience, *args: Any, **kwargs: Any) -> None:
        self._patience = patience
        #: Monotonic time when what is awaited was begun to be waited for; None between requests.
        self._since_s: float | None = time.monotonic()
        self._came_bytes = 0
        super().__init__(*args, **kwargs)
        _make_room(self, patience.connections)

    def received(self, data: bytes) -> bool:
        """Bytes came."""
        if self._since_s is None:
            self._since_s, self._came_bytes = time.monotonic(), 0
        self._came_bytes += len(data)
        taken: bool = super().received(data)
        if self.request is None:
            self._since_s = None
        return taken

    def readable(self) -> bool:
        """Asked of every connection, at least once a second."""
        if self._since_s is not None and not self.requests:
            spent_s = time.monotonic() - self._since_s
            self.will_close |= spent_s > self._patience.arrival_s + self._came_bytes / _PACE_BYTES
        wanted: bool = super().readable()
        return wanted

    def handle_write(self) -> None:
        """There is something to send. Where a thread is at it, wait for it rather than be called again and again."""
        if self.requests and self.outbuf_lock.acquire(timeout=_HANDING_S):
            self.outbuf_lock.release()
        super().handle_write()


def _make_room(new: Any, most: int) -> None:
    """Let the quietest connection close, of those whose request is not being answered."""
    channels = new.server.active_channels
    if len(channels) > most:
        idle = [one for one in channels.values() if one is not new and not (one.requests or one.will_close)]
        min(idle, key=lambda one: float(one.last_activity), default=new).will_close = True


class Listener:
    """One listening address: ``start`` binds it, ``stop`` lets running requests finish and frees it."""

    def __init__(
        self,
        app: "WSGIApplication",
        host: str,
        port: int,
        threads: int,
        *,
        stopping: threading.Event | None = None,
        trusted_proxy: str | None = None,
        patience: Patience = Patience(),
    ) -> None:
        """``stopping`` is set on stop, so that waiting requests can leave early; the proxy is an address or ``*``."""
        self._app = app
        self._address = (host, port)
        self._threads = threads
        self._stopping = stopping or threading.Event()
        self._proxy = trusted_proxy
        self._patience = patience
        self._server: Any = None
        self._thread: threading.Thread | None = None

    @property
    def host(self) -> str:
        return self._address[0]

    @property
    def port(self) -> int:
        """The bound port; before start the wanted one."""
        return int(self._server.effective_port) if self._server is not None else self._address[1]

    def start(self) -> None:
        """Bind and serve. Raises OSError where the address is taken or not ours."""
        listening = _bind(self._address)
        self._server = create_server(self._app, sockets=[listening], **self._adjustments())
        self._server.channel_class = functools.partial(_Connection, self._patience)
        attendance = Attendance(self._server._map)  # noqa: SLF001
        self._thread = threading.Thread(target=attendance.run, name=f"listener-{self.port}", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Take no new requests, give running ones ``timeout_s``, close every connection. Safe to call twice."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        self._stopping.set()
        server.trigger.pull_trigger(lambda: _stop_accepting(server))
        server.task_dispatcher.shutdown(timeout=timeout_s)
        pulled = threading.Event()
        server.trigger.pull_trigger(lambda: _close_all(server, pulled))
        pulled.set()
        self._thread.join(timeout_s)
        self._thread = None

    def _adjustments(self) -> dict[str, object]:
        proxy: dict[str, object] = {}
        if self._proxy is not None:
            proxy = {"trusted_proxy": self._proxy, "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-proto"}}
        return {
            "threads": self._threads,
            "connection_limit": self._patience.connections + _SPARE_CONNECTIONS,
            "max_request_body_size": _BODY_LIMIT_BYTES,
            "recv_bytes": 256 * 1024,
            "inbuf_overflow": 4 * 1024 * 1024,
            "outbuf_overflow": 4 * 1024 * 1024,
            "ident": None,
            **proxy,
        }


def _bind(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return socket.create_server(address, family=family, backlog=1024)


def _close_all(server: Any, pulled: threading.Event) -> None:
    """Only the loop's own thread may touch its connections; without any it ends.

    Something else may have woken it before the one who asks for this has written to the pipe, which is closed here.
    """
    pulled.wait()
    wasyncore.close_all(server._map, True)  # noqa: SLF001


def _stop_accepting(server: Any) -> None:
    server.accepting = False
