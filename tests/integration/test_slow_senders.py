"""The report listener as it is served: reports that come slowly, cut short or too large hold up nobody else."""

import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from remote_runner import protocol
from remote_runner.protocol import Record
from tests.support import wait
from tests.support.fake_service import FakeService
from web.reports import RunnerKey, create_reports_app
from web.serve import Listener, Patience

KEY = b"k" * 32
BODY = protocol.encode_report("r1", [Record(1, "start", 7, 1, {})])
ARRIVAL_S = 2.0
THREADS = 2
MANY = 60
HEAD = (
    f"POST /report HTTP/1.1\r\nHost: x\r\n{protocol.RUNNER_HEADER}: r1\r\n"
    f"{protocol.SIGNATURE_HEADER}: {protocol.sign(KEY, BODY)}\r\nContent-Length: {{length}}\r\n\r\n"
)


class House:
    """Two threads, so that two senders who held one would already hold up everybody."""

    def __init__(self, patience: Patience) -> None:
        self.service = FakeService()
        app = create_reports_app(self.service, {"r1": RunnerKey("lab-1", KEY)}.get)
        self.listener = Listener(app, "127.0.0.1", 0, THREADS, patience=patience)
        self.listener.start()
        self._open: list[socket.socket] = []

    def knock(self, text: str = "", count: int = 1) -> list[socket.socket]:
        new = [socket.create_connection(("127.0.0.1", self.listener.port), timeout=60) for _ in range(count)]
        self._open += new
        for sock in new:
            sock.sendall(text.encode())
        return new

    def report(self) -> int:
        """As an honest runner does; the status."""
        link = http.client.HTTPConnection("127.0.0.1", self.listener.port, timeout=60)
        headers = {protocol.RUNNER_HEADER: "r1", protocol.SIGNATURE_HEADER: protocol.sign(KEY, BODY)}
        try:
            link.request("POST", "/report", body=BODY, headers=headers)
            return link.getresponse().status
        finally:
            link.close()

    def close(self) -> None:
        for sock in self._open:
            sock.close()
        self.listener.stop()


@pytest.fixture
def house() -> Iterator[House]:
    made = House(Patience(arrival_s=ARRIVAL_S))
    yield made
    made.close()


def ended(sock: socket.socket) -> bool:
    sock.settimeout(0.01)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def drip(socks: list[socket.socket], text: bytes) -> None:
    """A byte at a time to each, until all are closed by the other side."""
    left, at, ends_at = list(socks), 0, time.monotonic() + 90
    while left and time.monotonic() < ends_at:
        for sock in left:
            try:
                sock.send(text[at % len(text) :][:1])
            except OSError:
                continue
        at += 1
        left = [sock for sock in left if not ended(sock)]
    assert not left, "a byte now and then keeps a connection for ever"


@pytest.mark.parametrize(
    ("begun", "more"),
    [("", b""), ("POST /rep", b"o"), (HEAD.format(length=len(BODY)), BODY), (HEAD.format(length=1 << 20), b"x")],
    ids=["says nothing", "a head that does not end", "a report by the byte", "a long body by the byte"],
)
def test_slow_senders_hold_up_nobody_and_are_let_go(house: House, begun: str, more: bytes) -> None:
    slow = house.knock(begun, MANY)
    assert [house.report() for _ in range(5)] == [200] * 5, "while many others are half sent"
    if more and begun.startswith("POST /report"):
        drip(slow, b" ")  # never more than a fraction of it
    wait.until(lambda: all(map(ended, slow)), what="the slow ones to be let go", timeout_s=60)
    assert house.report() == 200
    assert len(house.service.reports) == 6


def test_what_arrives_at_a_pace_is_waited_for(house: House) -> None:
    body = protocol.encode_report("r1", [Record(1, "end", 7, 1, {"ok": False, "error": "x" * 100_000})])
    head = HEAD.format(length=len(body)).replace(protocol.sign(KEY, BODY), protocol.sign(KEY, body))
    (sock,) = house.knock(head)
    began = time.monotonic()
    for at in range(0, len(body), 10_000):
        sock.sendall(body[at : at + 10_000])
        due_s = began + ARRIVAL_S * 1.2 * at / len(body)
        wait.until(lambda due_s=due_s: time.monotonic() > due_s, pause_s=0.05)
    assert sock.recv(12) == b"HTTP/1.1 200"


def test_a_report_cut_short_is_nothing(house: House) -> None:
    for sock in house.knock(HEAD.format(length=len(BODY)) + BODY.decode()[:-1], 10):
        sock.close()
    for sock in house.knock(HEAD.format(length=len(BODY)) + BODY.decode()[:-1], 10):
        sock.shutdown(socket.SHUT_WR)
    assert house.report() == 200
    assert len(house.service.reports) == 1


def test_what_is_too_large_is_refused_before_it_is_read(house: House) -> None:
    (sock,) = house.knock(HEAD.format(length=10 << 30))
    assert sock.recv(12).endswith(b" 413")
    (sock,) = house.knock("POST /report HTTP/1.1\r\nHost: " + "x" * 300_000)
    assert sock.recv(12).endswith(b" 431")
    assert house.report() == 200


def test_among_many_connections_the_quietest_make_room() -> None:
    house = House(Patience(arrival_s=60, connections=20))
    try:
        first = house.knock(count=20)
        assert house.report() == 200
        later = house.knock(count=MANY)
        assert house.report() == 200
        wait.until(lambda: all(map(ended, first)), what="the first to be let go", timeout_s=60)
        assert not all(map(ended, later))
    finally:
        house.close()
