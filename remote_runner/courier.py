"""The courier: a small process that takes report bodies from the runner and POSTs them, one at a time.

Apart from the runner so that a slow name service, TLS handshake or server never holds up the workers. Forked before
it is needed by any job and free of job code. One request is one sendall: parts sent apart stall in a tunnel. Long texts
are put beside the report here, where nobody else has to wait for it.
"""

import json
import os
import signal
import socket
import struct
from typing import Any, Dict, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

from remote_runner import protocol
from remote_runner.processes import die_with_parent, name_this
from remote_runner.protocol import RUNNER_HEADER, SIGNATURE_HEADER, encode, sign

CONNECT_S = 10.0
ANSWER_S = 15.0
ANSWER_LIMIT_BYTES = 4 * 1024 * 1024
HEAD_LIMIT_BYTES = 64 * 1024

Target = NamedTuple("Target", [("tls", bool), ("host", str), ("port", int), ("path", str), ("name", str)])

_HEAD = struct.Struct(">III")


class ReportFailed(Exception):
    """The report did not get its answer; it may still have arrived."""


def parse_url(url: str) -> Target:
    """Where to send to; raises ValueError for anything but http and https."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a report goes to an http or https address, not %r" % url)
    tls = parts.scheme == "https"
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    return Target(tls, parts.hostname, parts.port or (443 if tls else 80), path, parts.netloc.rpartition("@")[2])


class Connection:
    """A kept-alive connection to one target."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._buffer = bytearray()
        self._sock = self._connect()

    def _connect(self) -> socket.socket:
        plain = socket.create_connection((self._target.host, self._target.port), CONNECT_S)
        plain.settimeout(ANSWER_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._target.tls:
            return plain
        import ssl

        return ssl.create_default_context().wrap_socket(plain, server_hostname=self._target.host)

    def post(self, headers: Dict[str, str], body: bytes) -> Tuple[int, bytes]:
        """Send one request whole; answer status and body."""
        lines = ["POST %s HTTP/1.1" % self._target.path, "Host: " + self._target.name]
        lines += ["%s: %s" % pair for pair in headers.items()]
        lines.append("Content-Length: %d\r\n\r\n" % len(body))
        self._sock.sendall("\r\n".join(lines).encode("latin-1") + body)
        return self._answer()

    def _answer(self) -> Tuple[int, bytes]:
        head = self._until(b"\r\n\r\n", HEAD_LIMIT_BYTES).decode("latin-1").split("\r\n")
        try:
            status = int(head[0].split(" ", 2)[1])
        except (IndexError, ValueError):
            raise ReportFailed("not an HTTP answer") from None
        if 100 <= status < 200:
            return self._answer()
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = self._body(fields)
        if fields.get("connection", "").lower() == "close" or head[0].startswith("HTTP/1.0"):
            self.close()
        return status, body

    def _body(self, fields: Dict[str, str]) -> bytes:
        if "chunked" in fields.get("transfer-encoding", "").lower():
            return self._chunks()
        size = fields.get("content-length", "")
        if not size.isdigit() or int(size) > ANSWER_LIMIT_BYTES:
            raise ReportFailed("an answer of unknown or too great length")
        return self._exactly(int(size))

    def _chunks(self) -> bytes:
        out = bytearray()
        while True:
            try:
                size = int(self._until(b"\r\n", 1024).split(b";")[0], 16)
            except ValueError:
                raise ReportFailed("a broken chunk") from None
            if size == 0:
                while self._until(b"\r\n", HEAD_LIMIT_BYTES):
                    pass
                return bytes(out)
            if not 0 < size <= ANSWER_LIMIT_BYTES - len(out):
                raise ReportFailed("an answer of too great length")
            out += self._exactly(size)
            self._exactly(2)

    def _until(self, end: bytes, limit: int) -> bytes:
        while True:
            at = self._buffer.find(end)
            if at >= 0:
                found = bytes(self._buffer[:at])
                del self._buffer[: at + len(end)]
                return found
            if len(self._buffer) > limit:
                raise ReportFailed("the head of the answer does not end")
            self._more()

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def _more(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise ReportFailed("the connection ended before the answer")
        self._buffer += data

    @property
    def is_open(self) -> bool:
        """Whether it may carry another request."""
        return self._sock.fileno() >= 0

    def close(self) -> None:
        """Let go."""
        self._sock.close()


class Courier:
    """Sends bodies for one runner, keeping its connection while the url stays the same."""

    def __init__(self, runner: str, key: bytes) -> None:
        self._runner = runner
        self._key = key
        self._url = ""
        self._connection: Optional[Connection] = None

    def report(self, url: str, body: bytes, beside_bytes: int = 0) -> Dict[str, Any]:
        """Answer {"stored", "stop"} or {"failed": why}. A kept connection that has gone stale gets a second try.

        ``beside_bytes``: texts of so many bytes travel beside the report; 0: none.
        """
        with_texts = protocol.put_beside(body, beside_bytes) if beside_bytes else None
        if with_texts is None:
            return self._report(url, protocol.REPORT_TYPE, body)
        return self._report(url, protocol.BESIDE_TYPE, with_texts)

    def _report(self, url: str, content_type: str, body: bytes) -> Dict[str, Any]:
        kept = self._connection is not None and self._connection.is_open and url == self._url
        try:
            try:
                return self._post(url, content_type, body)
            except (OSError, ReportFailed):
                if not kept:
                    raise
                return self._post(url, content_type, body)
        except (OSError, ReportFailed, ValueError) as error:
            return {"failed": str(error) or type(error).__name__}

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, url: str, content_type: str, body: bytes) -> Dict[str, Any]:
        connection = self._connected(url)
        headers = {
            "Content-Type": content_type,
            RUNNER_HEADER: self._runner,
            SIGNATURE_HEADER: sign(self._key, body),
        }
        try:
            status, answer = connection.post(headers, body)
        except (OSError, ReportFailed):
            connection.close()
            raise
        if status != 200:
            raise ReportFailed("status %d" % status)
        return _checked(answer)

    def _connected(self, url: str) -> Connection:
        if self._connection is not None and url == self._url and self._connection.is_open:
            return self._connection
        self.close()
        connection = self._connection = Connection(parse_url(url))
        self._url = url
        return connection


def _checked(answer: bytes) -> Dict[str, Any]:
    """The answer's parts that we act on, or ReportFailed."""
    try:
        value = json.loads(answer.decode("utf-8"))
        stored, stop = value["stored"], value.get("stop") or []
        pairs = [[int(job), int(attempt)] for job, attempt in stop]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ReportFailed("the answer is not what a report gets") from None
    if type(stored) is not int:
        raise ReportFailed("the answer does not say what is stored")
    return {"stored": stored, "stop": pairs}


def pack(url: str, body: bytes, beside_bytes: int = 0) -> bytes:
    """What the runner writes to the courier: two lengths, which texts travel beside, the url, the body."""
    text = url.encode("utf-8")
    return _HEAD.pack(len(text), len(body), beside_bytes) + text + body


def main(line: socket.socket, runner: str, key: bytes, parent: int) -> None:
    """Be the courier; never returns. Called in a fork of the runner."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent(parent)
        name_this("mj-courier")
        _close_all_but(line.fileno())
        line.setblocking(True)
        _serve(line, Courier(runner, key))
    finally:
        os._exit(0)


def _serve(line: socket.socket, courier: Courier) -> None:
    source = line.makefile("rb")
    while True:
        head = source.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        url_size, size, beside_bytes = _HEAD.unpack(head)
        url = source.read(url_size).decode("utf-8")
        answer = courier.report(url, source.read(size), beside_bytes)
        line.sendall(encode(dict(answer, t="answer")))


def _close_all_but(kept: int) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            try:
                os.close(int(name))
            except OSError:
                pass
