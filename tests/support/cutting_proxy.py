"""A proxy that loses answers: it carries a request to the server, hears the answer to its end, and then hangs up."""

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

#: Given the method, the path and how often that pair was asked for; answers whether this answer is to be lost.
Lose = Callable[[str, str, int], bool]


class CuttingProxy:
    """Listens between ``start`` and ``stop``; ``lost`` counts the answers that never came."""

    def __init__(self, port: int, lose: Lose) -> None:
        self.target = ("127.0.0.1", port)
        self.lose = lose
        self.lost = 0
        self._asked: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.proxy = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="cutting-proxy")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def loses(self, method: str, path: str) -> bool:
        with self._lock:
            count = self._asked[method, path] = self._asked.get((method, path), 0) + 1
            losing = self.lose(method, path, count)
            self.lost += losing
        return losing


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._carry()

    def do_POST(self) -> None:
        self._carry()

    def do_PATCH(self) -> None:
        self._carry()

    def log_message(self, *_: object) -> None:
        pass

    def _carry(self) -> None:
        proxy: Any = self.server.proxy  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with_server = http.client.HTTPConnection(*proxy.target, timeout=60)
        try:
            with_server.request(self.command, self.path, body, dict(self.headers))
            answer = with_server.getresponse()
            text = answer.read()
        finally:
            with_server.close()
        if proxy.loses(self.command, self.path.partition("?")[0]):
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name in ("Content-Type", "Retry-After"):
            if answer.headers.get(name):
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
