"""The listener: a real port, real requests, and a stop that leaves nothing behind."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterable

import pytest

from web.attending import SWEEP_S
from web.serve import Listener, _Connection


def app(environ: dict, start: Callable) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def get(port: int, host: str = "127.0.0.1") -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_serves_on_a_port_of_the_systems_choice(host):
    listener = Listener(app, host, 0, 2)
    assert listener.port == 0
    try:
        listener.start()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    try:
        assert listener.port > 0
        assert get(listener.port, host) == b"hello"
    finally:
        listener.stop()


def test_stop_frees_the_port_and_every_thread():
    before = set(threading.enumerate())
    listener = Listener(app, "127.0.0.1", 0, 4)
    listener.start()
    port = listener.port
    idle = socket.create_connection(("127.0.0.1", port))
    get(port)
    listener.stop()
    listener.stop()
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(20)
    assert not [thread for thread in left if thread.is_alive()]
    assert idle.recv(1) == b""
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_stop_lets_a_running_request_finish():
    entered, leave, stopping = threading.Event(), threading.Event(), threading.Event()

    def slow(environ: dict, start: Callable) -> Iterable[bytes]:
        entered.set()
        leave.wait(20)
        return app(environ, start)

    listener = Listener(slow, "127.0.0.1", 0, 2, stopping=stopping)
    listener.start()
    answers: list[bytes] = []
    asking = threading.Thread(target=lambda: answers.append(get(listener.port)))
    asking.start()
    assert entered.wait(20)
    stopper = threading.Thread(target=listener.stop)
    stopper.start()
    assert stopping.wait(20)
    leave.set()
    asking.join(20)
    stopper.join(20)
    assert answers == [b"hello"]


def test_a_taken_port_is_said_at_start():
    first = Listener(app, "127.0.0.1", 0, 1)
    first.start()
    try:
        with pytest.raises(OSError, match="in use"):
            Listener(app, "127.0.0.1", first.port, 1).start()
    finally:
        first.stop()


def test_can_start_again_after_a_stop():
    listener = Listener(app, "127.0.0.1", 0, 1)
    for _ in range(2):
        listener.start()
        assert get(listener.port) == b"hello"
        listener.stop()


def test_a_request_costs_no_look_at_the_connections_that_are_quiet(monkeypatch):
    asked = []
    readable = _Connection.readable

    def note(self):
        asked.append(self)
        return readable(self)

    monkeypatch.setattr(_Connection, "readable", note)
    listener = Listener(app, "127.0.0.1", 0, 2)
    listener.start()
    quiet = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(40)]
    connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=60)
    try:
        connection.request("GET", "/")  # after all others, so the listener knows them
        connection.getresponse().read()
        asked.clear()
        began_s = time.monotonic()
        for _ in range(100):
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"hello"
        sweeps = 2 + (time.monotonic() - began_s) / SWEEP_S
        assert len(asked) < sweeps * len(quiet) + 100 * 10
    finally:
        connection.close()
        for one in quiet:
            one.close()
        listener.stop()


def test_a_descriptor_of_one_that_left_serves_the_next():
    listener = Listener(app, "127.0.0.1", 0, 2)
    listener.start()
    try:
        for _ in range(50):
            left = socket.create_connection(("127.0.0.1", listener.port))
            left.sendall(b"GET / HT")
            left.close()
            assert get(listener.port) == b"hello"
    finally:
        listener.stop()


def test_an_answer_that_is_read_slowly_arrives_whole():
    body = bytes(range(256)) * 64 * 1024

    def long(environ: dict, start: Callable) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body[at : at + 100_000] for at in range(0, len(body), 100_000)]

    listener = Listener(long, "127.0.0.1", 0, 2)
    listener.start()
    connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=60)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        parts = []
        while part := answer.read(300_000):
            parts.append(part)
            time.sleep(0.001)
        assert b"".join(parts) == body
    finally:
        connection.close()
        listener.stop()
