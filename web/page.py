"""The page's files, read once and served from memory: the built dashboard, or the plain page where it was not built.

No data is in them, so no credential is needed. Every path is known before the first request; there is no folder to
wander in. Files whose name carries their digest are kept by browsers for good, all others are asked for again.
"""

import gzip
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from flask import Flask, Response, request

_PLAIN: Final = Path(__file__).parent / "plain"
_BUILT: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_GOOD: Final = "public, max-age=31536000, immutable"
#: Smaller ones are not worth packing.
_PACKED_FROM_BYTES: Final = 1024


def files_of(built: Path, plain: Path) -> Mapping[str, Path]:
    """Path → file. The plain page stands in for a dashboard that was not built; the manual is always there."""
    files = {f"/plain/{name}": plain / name for name in ("page.css", "page.js", "words.js", "icon.svg")}
    files["/readme"] = plain / "readme.html"
    start = built / "index.html"
    if start.is_file():
        found = sorted(path for path in built.rglob("*") if path.is_file() and path.suffix in _TYPES and path != start)
        files |= {f"/{path.relative_to(built).as_posix()}": path for path in found}
    else:
        start = plain / "page.html"
    return files | {"/": start, "/home": start}


_FILES: Final = files_of(_BUILT, _PLAIN)
#: Every path of the page; the gate lets them pass without a credential.
PATHS: Final = frozenset(_FILES)


def install(app: Flask) -> None:
    """Serve each file under its exact path."""
    for path, file in _FILES.items():
        app.add_url_rule(path, f"page:{path}", _server_of(path, file), methods=["GET"])


def _server_of(path: str, file: Path) -> Callable[[], Response]:
    body = file.read_bytes()
    packed = gzip.compress(body, mtime=0) if len(body) >= _PACKED_FROM_BYTES else None
    tag = sha256(body).hexdigest()[:32]
    content_type = _TYPES[file.suffix]
    cached = _FOR_GOOD if path.startswith("/assets/") else "no-cache"

    def serve() -> Response:
        small = packed is not None and request.accept_encodings.quality("gzip") > 0
        response = Response(packed if small else body, content_type=content_type)
        if small:
            response.headers["Content-Encoding"] = "gzip"
        if packed is not None:
            response.headers["Vary"] = "Accept-Encoding"
        response.set_etag(f"{tag}-gz" if small else tag)
        response.headers["Cache-Control"] = cached
        response.make_conditional(request)
        return response

    return serve
