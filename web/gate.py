"""The guard in front of every view: names the request, checks the host, the caller, the scope and cross-site tricks.

Closed by default: a route that is neither on the public list nor marked with a scope keeps the app from being made.
"""

import re
import secrets
from typing import Final
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, request

from jobs import people
from web import page
from web.accounts import ANYONE, Caller, TooManyTries, scope_of
from web.problems import Problem
from web.rooms import Rooms, rooms

COOKIE: Final = "mj_session"
CSRF_HEADER: Final = "X-MJ-CSRF"
#: On every answer while everybody is admin, so that programs can say so too.
OPEN_HEADER: Final = "X-MJ-Auth"

#: Everything that answers without a credential: exact method and path.
PUBLIC: Final = frozenset(
    {
        ("GET", "/healthz"),
        ("POST", "/api/v1/session"),
        *(("GET", path) for path in page.PATHS),
    }
)

_HOST: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:@/\s]+))(?::[0-9]{0,5})?")
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_HEADERS: Final = {
    "Content-Security-Policy": (
        # Pictures in results are shown from the result itself; an <img> runs nothing.
        "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
        " object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def install(app: Flask) -> None:
    """Put the guard in front of every request of this app."""
    app.before_request(_guard)
    app.after_request(_finish)


def check_marks(app: Flask) -> None:
    """Refuse to make an app with a route that nobody decided about. Raises RuntimeError."""
    for rule in app.url_map.iter_rules():
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        public = all((method, rule.rule) in PUBLIC for method in methods)
        if not public and scope_of(app.view_functions[rule.endpoint]) is None:
            raise RuntimeError(f"{rule.rule} has neither a scope nor a place on the public list")


def caller() -> Caller:
    """Who sent the request that is being handled."""
    found: Caller = g.caller
    return found


def still_allowed() -> bool:
    """Whether the caller of a request that lasts would be let in again now."""
    try:
        return _identified(rooms()) == caller()
    except Problem:
        return False


def address() -> str:
    """Where the request came from."""
    return request.remote_addr or "unknown"


def _guard() -> None:
    g.request_id = secrets.token_hex(8)
    here = rooms()
    _check_host(here)
    _check_origin()
    _check_text()
    if _is_public():
        return
    g.caller = _identified(here)
    _check_csrf(here)
    _check_scope()


def _check_host(here: Rooms) -> None:
    """A page elsewhere can make a name point at us, but not make a browser send another Host (DNS rebinding)."""
    name = _host_name(request.environ.get("HTTP_HOST", ""))
    if name not in here.options.allowed_hosts:
        raise Problem(421, f"this server is not called {name[:100]!r}; see the setting allowed_hosts", field="Host")


def _host_name(host: str) -> str:
    """Without brackets and port; what is not written as a host is, stays as it is, and so is nobody's name."""
    found = _HOST.fullmatch(host)
    return (found["six"] or found["name"]).lower() if found else host


def _check_origin() -> None:
    """Changes come from our own page or from programs, never from another site's page."""
    if request.method in _SAFE_METHODS or "HTTP_AUTHORIZATION" in request.environ:
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.environ.get("HTTP_HOST", "").lower():
        raise Problem(403, "requests from other sites are refused", field="Origin", code="cross_site")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "requests from other sites are refused", field="Sec-Fetch-Site", code="cross_site")


def _check_text() -> None:
    """No name of ours holds a NUL, and not every database would take one even to compare."""
    if "\0" in request.path or "%00" in request.environ.get("QUERY_STRING", ""):
        raise Problem(400, "the address holds a NUL character")


def _is_public() -> bool:
    method = "GET" if request.method == "HEAD" else request.method
    return (method, request.path) in PUBLIC


def _identified(here: Rooms) -> Caller:
    if not here.options.auth:
        return ANYONE
    try:
        found = _by_credential(here)
    except TooManyTries as error:
        raise Problem(429, "too many wrong credentials from this address; wait a minute", retry_after_s=60) from error
    if found is None:
        raise Problem(401, "a token is needed: Authorization: Bearer TOKEN, or as the password of HTTP Basic")
    return found


def _by_credential(here: Rooms) -> Caller | None:
    """The header wins over the cookie: a program that sends one means it."""
    if "HTTP_AUTHORIZATION" in request.environ:
        text = _token_sent()
        return here.accounts.of_token(text, address()) if text else None
    cookie = request.cookies.get(COOKIE)
    return here.accounts.of_session(cookie) if cookie else None


def _token_sent() -> str | None:
    header: str = request.environ["HTTP_AUTHORIZATION"]
    if header[:7].lower() == "bearer ":
        return header[7:].strip()
    return request.authorization.password if request.authorization is not None else None


def _check_csrf(here: Rooms) -> None:
    if request.method in _SAFE_METHODS:
        return
    if not here.accounts.csrf_right(g.caller, request.headers.get(CSRF_HEADER, "")):
        raise Problem(403, "this page is out of date; load it again", field=CSRF_HEADER, code="csrf")


def _check_scope() -> None:
    """Unknown paths and methods are answered by Flask, once the caller is known."""
    if request.endpoint is None:
        return
    scope = scope_of(current_app.view_functions[request.endpoint])
    if scope is None or not g.caller.may(scope):
        raise Problem(403, f"this needs a token with the scope {scope}; yours is {g.caller.name!r}")


def _finish(response: Response) -> Response:
    headers = response.headers
    headers.extend(_HEADERS)  # no view sets these; adding is half the price of replacing
    headers.add("X-Request-Id", g.get("request_id", ""))
    if not rooms().options.auth:
        headers.add(OPEN_HEADER, "off")
    if "Cache-Control" not in headers:
        headers.add("Cache-Control", "no-store")
    return response


def set_cookie(response: Response, value: str) -> None:
    """Hand the session to the browser, out of reach of scripts and of other sites."""
    here = rooms()
    response.set_cookie(
        COOKIE,
        value,
        max_age=int(people.SESSION_S),
        httponly=True,
        samesite="Strict",
        secure=here.options.secure_cookies,
        path="/",
    )
