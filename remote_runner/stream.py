"""A non-blocking socket in an event loop: frames come in, bytes go out as the other end takes them."""

import selectors
import socket
from typing import Any, Callable, Dict, List, Optional

from remote_runner.protocol import Decoder, ProtocolError, encode

#: Below the size for which every allocation is a mapping of its own.
_CHUNK = 1 << 16

FINISH_S = 2.0

Loop = selectors.BaseSelector
Message = Dict[str, Any]


class Stream:
    """Reads frames for ``on_message``; calls ``on_end`` once when the other end is gone or speaks garbage."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_message: Callable[["Stream", Message], None],
        on_end: Callable[["Stream"], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._on_message = on_message
        self._on_end = on_end
        self._decoder = Decoder()
        self._waiting: List[memoryview] = []
        self.is_open = True
        sock.setblocking(False)
        loop.register(sock, selectors.EVENT_READ, self._ready)

    def redirect(self, on_message: Callable[["Stream", Message], None], on_end: Callable[["Stream"], None]) -> None:
        """From now on somebody else listens."""
        self._on_message, self._on_end = on_message, on_end

    def send(self, message: Message) -> None:
        """Send a message as a frame."""
        self.send_bytes(encode(message))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes; what does not fit now goes when there is room."""
        if not self.is_open:
            return
        self._waiting.append(memoryview(data))
        if len(self._waiting) == 1:
            self._push()

    def has_room(self) -> bool:
        """Whether everything given so far is on its way."""
        return not self._waiting

    def close(self) -> None:
        """Let go, without telling ``on_end``."""
        if self.is_open:
            self.is_open = False
            self._loop.unregister(self._sock)
            self._sock.close()
            self._waiting = []

    def finish(self) -> None:
        """Close after what is waiting has gone out, or cannot."""
        if self.is_open:
            self._sock.settimeout(FINISH_S)
            try:
                for part in self._waiting:
                    self._sock.sendall(part)
            except OSError:
                pass
            self.close()

    def _ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and self.is_open:
            self._push()
        if mask & selectors.EVENT_READ and self.is_open:
            self._pull()

    def _push(self) -> None:
        try:
            while self._waiting:
                sent = self._sock.send(self._waiting[0])
                if sent == len(self._waiting[0]):
                    del self._waiting[0]
                else:
                    self._waiting[0] = self._waiting[0][sent:]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._end()
            return
        self._watch()

    def _watch(self) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._waiting else 0)
        if self._loop.get_key(self._sock).events != events:
            self._loop.modify(self._sock, events, self._ready)

    def _pull(self) -> None:
        data = self._receive()
        if data is None:
            return
        if not data:
            self._end()
            return
        try:
            messages = self._decoder.feed(data)
        except ProtocolError:
            self._end()
            return
        for message in messages:
            if self.is_open:
                self._on_message(self, message)

    def _receive(self) -> Optional[bytes]:
        try:
            return self._sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def _end(self) -> None:
        if self.is_open:
            self.close()
            self._on_end(self)
