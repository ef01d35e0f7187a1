"""What is long and in no hurry, on a real connection: little of it under way, none of it lost, no waiting for ever."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from orchestrator.errors import NodeUnreachable
from orchestrator.node.transport import Transport
from orchestrator.ssh import pacing
from orchestrator.ssh.pacing import LEAST_BYTES
from orchestrator.ssh.stream import Stream
from tests.support import wait
from tests.support.hosts import Hosts

pytestmark = pytest.mark.sshd
SIZE = 4 << 20


@pytest.fixture
def transport(hosts: Hosts) -> Iterator[Transport]:
    made = hosts.transports()
    yield made.connected(hosts.machine(hosts.start()))
    made.stop()


def _open(transport: Transport, *argv: str) -> Stream:
    stream = transport.open(argv)
    assert isinstance(stream, Stream)
    return stream


def _under_way(stream: Stream) -> int:
    return int(stream._window_bytes - stream._channel.out_window_size)


def test_all_of_it_arrives(transport: Transport) -> None:
    data = hashlib.shake_256(b"folder").digest(SIZE)
    stream = _open(transport, "sha256sum")
    for start in range(0, SIZE, 1 << 16):
        stream.send_gently(data[start : start + (1 << 16)])
    stream.end_input()
    said = b""
    while part := stream.receive():
        said += part
    stream.close()
    assert said.split()[0].decode() == hashlib.sha256(data).hexdigest()


@contextmanager
def _unread(transport: Transport) -> Iterator[Stream]:
    """A command that reads nothing, and a thread that sends to it gently until its end."""
    stream = _open(transport, "sh", "-c", "echo here; sleep 600")
    assert stream.receive() == b"here\n"
    ended: list[Exception] = []

    def send() -> None:
        try:
            stream.send_gently(bytes(SIZE))
        except NodeUnreachable as error:
            ended.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield stream
    finally:
        stream.close()
        sender.join(30)
    assert not sender.is_alive()
    assert len(ended) == 1


def test_a_reader_that_stopped_gets_no_more_than_a_little_ahead(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent plainly would fill the two megabytes that OpenSSH takes ahead; others use the line meanwhile."""
    monkeypatch.setattr(pacing, "SILENCE_S", 600.0)
    with _unread(transport) as stream:
        wait.until(lambda: _under_way(stream) >= LEAST_BYTES, what="as much under way as may be", timeout_s=30)
        assert transport.run(["echo", "hi"], timeout_s=30).stdout == b"hi\n"
        assert _under_way(stream) == LEAST_BYTES


def test_an_end_that_never_tells_what_it_took_is_sent_all_it_takes(transport: Transport) -> None:
    with _unread(transport) as stream:
        wait.until(lambda: _under_way(stream) > 1 << 20, what="a window that is full", timeout_s=60)
