"""The stream of one command on a node, over one SSH channel. Skips the login's noise, keeps deadlines.

Knows paramiko's channels; who opens them, and what runs on them, is ``transport``'s.
"""

import threading
import time
from collections.abc import Callable

import paramiko

from orchestrator.errors import NodeRefused, NodeUnreachable
from orchestrator.node.transport import Completed
from orchestrator.ssh.pacing import SILENCE_S, Pacing
from orchestrator.ssh.quoting import after_mark

_CHUNK_BYTES = 1 << 16
_TAIL_BYTES = 4096
_NOISE_LIMIT_BYTES = 1 << 20
#: How long the other end may take no input at all before we call it unreachable.
_SEND_S = 30.0
#: How often a full window is looked at again; paramiko tells nobody when it opens.
_WINDOW_POLL_S = 0.005


class Wake:
    """Set by both buffers of a channel when something came or ended; cleared by the reader alone."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        """Asked by a buffer that is empty; the other one may not be."""

    def wait(self, timeout_s: float | None) -> bool:
        """Wait, and be ready to be set again."""
        came = self._event.wait(timeout_s)
        self._event.clear()
        return came


class Stream:
    """One command's stdin, stdout and stderr. ``mark``: what it prints before anything of its own."""

    def __init__(self, who: str, channel: paramiko.Channel, mark: str, on_close: Callable[[], None]) -> None:
        self._who = who
        self._channel = channel
        self._mark = mark
        self._on_close = on_close
        self._before_mark: bytearray | None = bytearray()
        self._early = b""
        self._stderr_tail = bytearray()
        self._sending = threading.Lock()
        self._closing = threading.Lock()
        self._closed = False
        self._wake = Wake()
        #: What the other end takes ahead, and how we make use of it.
        self._window_bytes = channel.out_window_size
        self._pacing = Pacing()
        channel.settimeout(_SEND_S)
        channel.in_buffer.set_event(self._wake)  # type: ignore[arg-type] # it calls set and clear, no more
        channel.in_stderr_buffer.set_event(self._wake)  # type: ignore[arg-type]

    def await_mark(self, ends_at: float) -> None:
        """Wait until the command has begun; what it printed since is kept for the reader."""
        if not self.begins(ends_at):
            raise NodeUnreachable(f"{self._who}: a command did not begin in time")

    def begins(self, ends_at: float) -> bool:
        """The same, but False where it does not begin by then. NodeRefused: it ended without."""
        while True:
            at_end = self._at_end()
            self._early += self._past_mark(self._read(self._stderr_tail))
            if self._begun():
                return True
            if at_end:
                raise self._not_begun(bytes(self._stderr_tail))
            if not self._wake.wait(max(0.0, ends_at - time.monotonic())):
                return False

    def communicate(self, stdin: bytes, ends_at: float) -> Completed:
        """Feed it, read both outputs to their ends, answer how it exited. NodeUnreachable after ``ends_at``."""
        stdout, stderr = bytearray(self._taken_early()), self._stderr_tail
        left = self._feed(memoryview(stdin))
        while not self._at_end():
            if not self._wake.wait(self._patience(ends_at, bool(left))) and time.monotonic() >= ends_at:
                raise NodeUnreachable(f"{self._who}: a command gave no end in time")
            stdout += self._past_mark(self._read(stderr))
            left = self._feed(left) if left else left
        stdout += self._past_mark(self._read(stderr))
        return self._completed(bytes(stdout), bytes(stderr), ends_at)

    def send(self, data: bytes) -> None:
        with self._sending:
            try:
                if not self._alive():
                    raise EOFError
                self._channel.sendall(data)
            except TimeoutError as error:
                raise NodeUnreachable(f"{self._who}: the command takes no input") from error
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise NodeUnreachable(f"{self._who}: the stream has ended: {self.stderr_tail()}") from error

    def send_gently(self, data: bytes) -> None:
        """As ``send``, for what is long and in no hurry: what others send over this connection passes soon."""
        left = memoryview(data)
        while left:
            piece = left[: self._room()]
            self.send(bytes(piece))
            self._pacing.sent(len(piece), time.monotonic())
            left = left[len(piece) :]

    def _room(self) -> int:
        """How many bytes may be sent gently now, at least one; waits for it, not longer than a silence."""
        with self._channel.out_buffer_cv:
            while True:
                under_way = max(0, self._window_bytes - self._channel.out_window_size)
                self._pacing.taken(under_way, time.monotonic())
                room = self._pacing.limit_bytes - under_way
                if room > 0 or not self._alive():
                    return max(1, room)
                self._channel.out_buffer_cv.wait(SILENCE_S)

    def end_input(self) -> None:
        """Nothing more will be sent."""
        with self._sending:
            self._feed(memoryview(b""))

    def receive(self) -> bytes:
        if self._early:
            return self._taken_early()
        while True:
            at_end = self._at_end()
            data = self._past_mark(self._read(self._stderr_tail))
            del self._stderr_tail[:-_TAIL_BYTES]
            if data or at_end:
                return data
            self._wake.wait(None)

    def exit_code(self, ends_at: float) -> int:
        """How the command exited; -1 where a signal ended it."""
        if not self._channel.status_event.wait(max(0.0, ends_at - time.monotonic())):
            raise NodeUnreachable(f"{self._who}: a command gave no exit code in time")
        if self._channel.exit_status < 0 and not self._channel.get_transport().is_active():
            raise NodeUnreachable(f"{self._who}: the connection ended during a command")
        return self._channel.exit_status

    def stderr_tail(self) -> str:
        return bytes(self._stderr_tail[-_TAIL_BYTES:]).decode("utf-8", "replace")

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
        try:
            self._channel.close()
        except (OSError, EOFError, paramiko.SSHException):
            pass  # the connection went first
        finally:
            self._wake.set()
            self._on_close()

    def _alive(self) -> bool:
        return not self._channel.closed and self._channel.get_transport().is_active()

    def _at_end(self) -> bool:
        return bool(self._channel.eof_received or self._channel.closed)

    def _read(self, stderr: bytearray) -> bytes:
        while self._channel.recv_stderr_ready():
            stderr += self._channel.recv_stderr(_CHUNK_BYTES)
        parts = []
        while self._channel.recv_ready():
            parts.append(self._channel.recv(_CHUNK_BYTES))
        return b"".join(parts)

    def _feed(self, left: memoryview) -> memoryview:
        """Send what the window takes; the end of input after the last of it."""
        try:
            while left and self._channel.send_ready() and not self._channel.closed:
                left = left[self._channel.send(bytes(left[:_CHUNK_BYTES])) :]
            if not left:
                self._channel.shutdown_write()
        except (OSError, EOFError):
            return left[:0]  # it ended without reading all: its exit code says what that means
        return left

    def _patience(self, ends_at: float, feeding: bool) -> float:
        left_s = max(0.0, ends_at - time.monotonic())
        return min(left_s, _WINDOW_POLL_S) if feeding else left_s

    def _completed(self, stdout: bytes, stderr: bytes, ends_at: float) -> Completed:
        code = self.exit_code(ends_at)
        if not self._begun():
            raise self._not_begun(stderr)
        return Completed(code, stdout, stderr)

    def _begun(self) -> bool:
        return self._before_mark is None

    def _not_begun(self, stderr: bytes) -> Exception:
        if not self._channel.get_transport().is_active():
            return NodeUnreachable(f"{self._who}: the connection ended during a command")
        return NodeRefused(f"{self._who}: {shell_refusal(bytes(self._before_mark or b'') + stderr)}", pause=True)

    def _taken_early(self) -> bytes:
        early, self._early = self._early, b""
        return early

    def _past_mark(self, data: bytes) -> bytes:
        if self._before_mark is None or not data:
            return data
        self._before_mark += data
        rest = after_mark(bytes(self._before_mark), self._mark)
        if rest is None:
            del self._before_mark[:-_NOISE_LIMIT_BYTES]
            return b""
        self._before_mark = None
        return rest


def shell_refusal(output: bytes) -> str:
    """Why a command was not even begun, in the login shell's words."""
    said = output[-400:].decode("utf-8", "replace").strip()
    return f"the login shell did not run our command; it said: {said or 'nothing'}"
