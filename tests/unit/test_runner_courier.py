"""The courier against a server that answers in every way a server may."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from remote_runner import courier, protocol
from remote_runner.courier import Courier, parse_url

BODY = b'{"stored": 5, "stop": [[1, 2]]}'


def answer(body: bytes, head: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Server:
    """Answers each request with the next of its answers; None closes the connection instead."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/report?x=1"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            with sock:
                while self._one(sock):
                    pass

    def _one(self, sock: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data or len(data) < self._whole(data):
            more = sock.recv(65536)
            if not more:
                return False
            data += more
        self.requests.append(data)
        reply = self.answers.pop(0)
        if reply is None:
            return False
        sock.sendall(reply)
        return b"connection: close" not in reply.lower() and not reply.startswith(b"HTTP/1.0")

    def _whole(self, data: bytes) -> int:
        head, _, _ = data.partition(b"\r\n\r\n")
        size = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        return len(head) + 4 + int(size.split(b":")[1])

    def close(self) -> None:
        for sock in self._open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.fixture
def made() -> Iterator[Callable[[], Courier]]:
    couriers: list[Courier] = []

    def make() -> Courier:
        couriers.append(Courier("r1", b"key"))
        return couriers[-1]

    yield make
    for each in couriers:
        each.close()


def test_a_report_is_signed_and_kept_alive(server: Server, made: Callable[[], Courier]) -> None:
    server.answers = [answer(BODY), answer(BODY)]
    sender = made()
    for _ in range(2):
        assert sender.report(server.url, b"{body}") == {"stored": 5, "stop": [[1, 2]]}
    assert server.connections == 1
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == b"{body}"
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /report?x=1 HTTP/1.1"
    assert f"{protocol.RUNNER_HEADER}: r1" in lines
    assert f"{protocol.SIGNATURE_HEADER}: {protocol.sign(b'key', b'{body}')}" in lines


def test_long_texts_are_put_beside_the_report_where_the_server_knows_of_that(
    server: Server, made: Callable[[], Courier]
) -> None:
    server.answers = [answer(BODY)] * 3
    sender = made()
    body = protocol.encode_report("r1", [protocol.Record(1, "end", 7, 1, {"ok": True, "result": '"é"' + " " * 99})])
    for beside_bytes in (0, 1000, 50):
        assert sender.report(server.url, body, beside_bytes)["stored"] == 5
    types = [protocol.REPORT_TYPE, protocol.REPORT_TYPE, protocol.BESIDE_TYPE]
    bodies = [body, body, protocol.put_beside(body, 50)]
    for request, content_type, sent in zip(server.requests, types, bodies, strict=True):
        head, _, found = request.partition(b"\r\n\r\n")
        assert found == sent
        assert f"Content-Type: {content_type}" in head.decode().split("\r\n")
        assert f"{protocol.SIGNATURE_HEADER}: {protocol.sign(b'key', found)}" in head.decode()


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"
        + BODY[:5]
        + b"\r\n%x;a=b\r\n" % (len(BODY) - 5)
        + BODY[5:]
        + b"\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(BODY),
        answer(BODY, b"Connection: close\r\n"),
    ],
    ids=["chunked", "continue", "close"],
)
def test_answers_in_every_shape(server: Server, made: Callable[[], Courier], reply: bytes) -> None:
    server.answers = [reply, reply]
    sender = made()
    for _ in range(2):
        assert sender.report(server.url, b"x")["stored"] == 5


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n{}",
        answer(b"{}"),
        answer(b"[]"),
        answer(b"garbage"),
        answer(b'{"stored": "5"}'),
        answer(b'{"stored": 5, "stop": [1]}'),
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
    ],
)
def test_anything_else_is_a_failure_and_the_next_may_succeed(
    server: Server, made: Callable[[], Courier], reply: bytes
) -> None:
    server.answers = [reply, answer(BODY)]
    sender = made()
    assert "failed" in sender.report(server.url, b"x")
    assert sender.report(server.url, b"x")["stored"] == 5


def test_a_stale_connection_is_tried_once_more(server: Server, made: Callable[[], Courier]) -> None:
    server.answers = [answer(BODY), None, answer(BODY)]
    sender = made()
    assert sender.report(server.url, b"x")["stored"] == 5
    assert sender.report(server.url, b"y")["stored"] == 5
    assert server.connections == 2


def test_nobody_there(made: Callable[[], Courier]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "failed" in made().report(f"http://127.0.0.1:{port}/", b"x")
    assert "failed" in made().report("ftp://nowhere/", b"x")


def test_urls() -> None:
    assert parse_url("https://user:secret@host/report") == courier.Target(True, "host", 443, "/report", "host")
    assert parse_url("http://[::1]:81") == courier.Target(False, "::1", 81, "/", "[::1]:81")
    with pytest.raises(ValueError, match="http or https"):
        parse_url("file:///etc/passwd")
