"""The plain page: a few files of our own, read once, served from memory. No data in them, so no credential needed."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from flask import Flask, Response, request

_FOLDER: Final = Path(__file__).parent / "plain"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FILES: Final = {
    "/": "page.html",
    "/home": "page.html",
    "/readme": "readme.html",
    "/plain/page.css": "page.css",
    "/plain/page.js": "page.js",
    "/plain/words.js": "words.js",
    "/plain/icon.svg": "icon.svg",
}
#: Every path of the page; the gate lets them pass without a credential.
PATHS: Final = frozenset(_FILES)


def install(app: Flask) -> None:
    """Serve each file under its exact path; there is no folder to wander in."""
    for path, name in _FILES.items():
        app.add_url_rule(path, f"page:{path}", _server_of(_FOLDER / name), methods=["GET"])


def _server_of(file: Path) -> Callable[[], Response]:
    body = file.read_bytes()
    tag = sha256(body).hexdigest()[:32]
    content_type = _TYPES[file.suffix]

    def serve() -> Response:
        response = Response(body, content_type=content_type)
        response.set_etag(tag)
        response.headers["Cache-Control"] = "no-cache"
        response.make_conditional(request)
        return response

    return serve
