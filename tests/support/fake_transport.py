"""A Transport whose node is the test: commands are answered by functions, channels are two queues."""

import json
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import NodeUnreachable
from orchestrator.node.transport import Completed
from remote_runner import protocol


class FakeChannel:
    """One stream: the test reads what was sent and says what is received."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = list(argv)
        self.frames: list[dict[str, Any]] = []
        self.closed = False
        self.deaf = False
        self._decoder = protocol.Decoder()
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._stderr = ""

    # as a Channel

    def send(self, data: bytes) -> None:
        with self._changed:
            if self.closed or self.deaf:
                raise NodeUnreachable("the stream has ended")
            self.frames += self._decoder.feed(data)
            self._changed.notify_all()

    def receive(self) -> bytes:
        return b"" if self.closed else self._said.get()

    def stderr_tail(self) -> str:
        return self._stderr

    def close(self) -> None:
        self.closed = True
        self._said.put(b"")

    # as the node

    def answer_hello(self, **hello: Any) -> None:
        """Print the mark, and greet with these facts."""
        token = self.argv[self.argv.index("--token") + 1]
        self._said.put(b"Welcome!\n" + f"{protocol.MARK}{token}\n".encode())
        self.say({"t": "hello", "v": protocol.VERSION, "runner": "r1", "held": [], **hello})

    def say(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        self._said.put(len(body).to_bytes(4, "big") + body)

    def hang_up(self, stderr: str = "") -> None:
        self._stderr = stderr
        self._said.put(b"")

    def heard(self, kind: str) -> list[dict[str, Any]]:
        with self._changed:
            return [frame for frame in self.frames if frame["t"] == kind]

    def gets(self, kind: str) -> dict[str, Any]:
        """The first frame of this kind, waited for."""
        with self._changed:
            seen = self._changed.wait_for(lambda: any(frame["t"] == kind for frame in self.frames), 20)
            assert seen, f"no {kind} among {self.frames}"
            return next(frame for frame in self.frames if frame["t"] == kind)


class FakeTransport:
    """Thread-safe as far as tests need it. ``on_open`` and ``on_run`` are what the node does."""

    def __init__(self) -> None:
        self.channels: list[FakeChannel] = []
        self.connects = 0
        self.closed = False
        self.on_connect: Callable[[], None] = lambda: None
        self.on_open: Callable[[FakeChannel], None] = lambda channel: channel.answer_hello()
        self.on_run: Callable[[Sequence[str]], Completed] = lambda argv: Completed(0, b"{}", b"")
        self._alive = False

    @property
    def channel(self) -> FakeChannel:
        return self.channels[-1]

    def connect(self) -> None:
        self.connects += 1
        self.on_connect()
        self._alive = True

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Completed:
        return self.on_run(argv)

    def push(self, source: Path, dest: str, *, link_dest: str | None, timeout_s: float) -> int:
        return 0

    def open(self, argv: Sequence[str]) -> FakeChannel:
        self._alive = True
        self.channels.append(FakeChannel(argv))
        self.on_open(self.channel)
        return self.channel

    def forward(self, local_port: int) -> int:
        return local_port

    def alive(self) -> bool:
        return self._alive

    def cut(self) -> None:
        """The connection breaks."""
        self._alive = False
        for channel in self.channels:
            channel.close()

    def close(self) -> None:
        self.closed = True
        self.cut()
