"""tunnel.Pump: one thread carries for all machines, so no connection's failure may end it."""

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.ssh.tunnel import Pump
from tests.support import wait


class FakeChannel:
    """The node's side of a connection, as far as the pump looks at it."""

    def __init__(self, data: bytes = b"", failure: Exception | None = None) -> None:
        self.data = data
        self.failure = failure
        self.got = b""
        self.closed = False
        self.eof_received = False
        self.in_buffer = SimpleNamespace(set_event=lambda _event: None)

    def settimeout(self, _seconds: float) -> None: ...

    def recv_ready(self) -> bool:
        if self.failure is not None:
            raise self.failure
        return bool(self.data)

    def recv(self, size: int) -> bytes:
        data, self.data = self.data[:size], self.data[size:]
        return data

    def send_ready(self) -> bool:
        return True

    def send(self, data: bytes) -> int:
        self.got += data
        return len(data)

    def get_transport(self) -> Any:
        return SimpleNamespace(clear_to_send=threading.Event(), is_active=lambda: False)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def pump(leak_check: None) -> Iterator[Pump]:
    made = Pump()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def port() -> Iterator[int]:
    """A server that says everything back."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def echo(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            while data := connection.recv(1000):
                connection.sendall(data)


@pytest.mark.parametrize(
    "failure", [ValueError("Invalid file descriptor: -1"), OSError("reset"), RuntimeError("a bug")]
)
def test_a_connection_that_fails_takes_nobody_along(pump: Pump, port: int, failure: Exception) -> None:
    bad, good = FakeChannel(failure=failure), FakeChannel(b"a report")
    pump.carry(bad, port, "bad")  # type: ignore[arg-type]
    wait.until(lambda: bad.closed, what="the failed connection's end")
    pump.carry(good, port, "good")  # type: ignore[arg-type]
    wait.until(lambda: good.got == b"a report", what="the other connection's answer")
