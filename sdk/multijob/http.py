"""Requests to the server and what their answers mean. One requests session a thread, a new one after a fork.

The only module that opens connections. A call that is safe to repeat is repeated while the server is away, as
``retrying`` says, once the server has answered at all; a first call fails at once, because then the address is wrong.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, Union

import requests
from urllib3.exceptions import NewConnectionError

from .errors import (
    Busy,
    Conflict,
    Invalid,
    MultiJobError,
    NotAllowed,
    NotFound,
    ServerError,
    Unreachable,
)
from .place import Place
from .retrying import Patience

log = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
CONNECT_LIMIT_S = 10.0

Body = Union[bytes, BinaryIO, None]


class BrokeOff(Unreachable):
    """The connection ended in the middle of an answer that was being handed out already."""


class Http:
    """Speaks to one server. Safe to share between threads and to carry through a fork."""

    def __init__(self, place: Place, *, timeout_s: float, retry_s: float) -> None:
        self.place = place
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._answered = False
        self._mine = threading.local()

    def json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Any:
        """Call and answer the decoded JSON."""
        ask = _Ask(method, path, params, body, headers or {}, 0.0, in_pieces=False)
        with self._answer(ask, repeatable) as response:
            return _decoded(response)

    @contextmanager
    def stream(
        self, method: str, path: str, *, body: Body = None, wait_s: float = 0, headers: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Call and answer the body in pieces. The server may take ``wait_s`` before it answers."""
        ask = _Ask(method, path, None, body, headers or {}, wait_s, in_pieces=True)
        with self._answer(ask, repeatable=True) as response:
            yield _pieces(response)

    def close(self) -> None:
        """Close this thread's connections; those of other threads go with their threads."""
        session = getattr(self._mine, "session", None)
        if session is not None and self._mine.pid == os.getpid():
            session.close()
        self._mine.__dict__.clear()

    def _answer(self, ask: _Ask, repeatable: bool) -> requests.Response:
        patience = Patience(self._retry_s, repeatable=repeatable)
        while True:
            try:
                return self._once(ask)
            except (Unreachable, Busy) as error:
                pause_s = patience.pause_after(error)
                if pause_s is None or not (self._answered or getattr(error, "arrived", True)):
                    raise
            time.sleep(pause_s)

    def _once(self, ask: _Ask) -> requests.Response:
        if ask.body is not None and not isinstance(ask.body, bytes):
            ask.body.seek(0)
        try:
            response = self._session().request(
                ask.method,
                self.place.url + ask.path,
                params=ask.params,
                data=ask.body,
                headers=ask.headers,
                timeout=(min(self._timeout_s, CONNECT_LIMIT_S), self._timeout_s + ask.wait_s),
                allow_redirects=False,
                stream=ask.in_pieces,
            )
        except requests.RequestException as error:
            raise _unreachable(self.place, error) from error
        if not self._answered and response.headers.get("X-MJ-Auth") == "off":
            log.warning("%s asks nobody who they are: everyone who can reach it is admin (auth: false)", self.place.url)
        self._answered = True
        if response.status_code >= 300:
            with response:
                raise _error_of(response, self.place)
        return response

    def _session(self) -> requests.Session:
        # A child of fork must not write on its parent's connections, so a session belongs to one process as well.
        mine = self._mine
        if getattr(mine, "pid", None) != os.getpid():
            mine.session = _new_session(self.place)
            mine.pid = os.getpid()
        session: requests.Session = mine.session
        return session


class _Ask(NamedTuple):
    """One request, as often as it takes."""

    method: str
    path: str
    params: Mapping[str, Any] | None
    body: Body
    headers: Mapping[str, str]
    wait_s: float
    in_pieces: bool


class _Bearer(requests.auth.AuthBase):
    """The token as a header. Being an auth object it keeps requests from looking into .netrc on its own."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _new_session(place: Place) -> requests.Session:
    session = requests.Session()
    session.auth = _Bearer(place.token)
    # A proxy for the outside world must not be asked for this machine's own server.
    session.trust_env = not place.loopback
    session.headers["User-Agent"] = "multijob-python"
    return session


def _pieces(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(CHUNK_BYTES)
    except requests.RequestException as error:
        raise BrokeOff(f"the answer broke off: {error}") from error


def _decoded(response: requests.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError as error:
        raise ServerError(
            f"{response.url} did not answer with JSON",
            status=response.status_code,
            remedy="is it a Multi Job server?",
        ) from error


def _error_of(response: requests.Response, place: Place) -> MultiJobError:
    status, said = response.status_code, _said(response)
    message = said.get("message") or f"the server answered {status} {response.reason or ''}".rstrip()
    field, request_id = said.get("field") or "", said.get("request_id") or ""
    if status < 400:
        where = response.headers.get("Location", "elsewhere")
        return ServerError(f"{place.url} redirects to {where}", status=status, remedy="use that address")
    if status in (401, 403):
        return NotAllowed(message, remedy=_permission_remedy(status, place), request_id=request_id)
    if status == 404:
        return NotFound(message, remedy=_NOT_FOUND_REMEDY, request_id=request_id)
    if status == 409:
        return Conflict(message, remedy="read what is there now, then ask anew", request_id=request_id)
    if status in (429, 503):
        return Busy(message, status=status, retry_after_s=_retry_after_s(response), request_id=request_id)
    if status < 500:
        return Invalid(message, field=field, request_id=request_id)
    about = f" under {request_id}" if request_id else ""
    return ServerError(message, status=status, remedy=f"the server's log says more{about}", request_id=request_id)


#: The server names what is missing.
_NOT_FOUND_REMEDY = "list what there is: client.jobs(), client.job_types(), client.machines()"


def _permission_remedy(status: int, place: Place) -> str:
    if not place.token:
        return "no token was found: set MJ_TOKEN, or put it in the URL: http://mj:TOKEN@host"
    if status == 401:
        return "use a token that is still valid; mj token list shows them"
    return "use a token with that scope; mj token new makes one"


def _said(response: requests.Response) -> dict[str, str]:
    """What is wrong: from ``{"error": {…}}``, or from the envelope of the old paths."""
    try:
        answer = response.json()
    except (ValueError, requests.RequestException):
        return {}
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    return {key: str(value) for key, value in error.items() if value} if isinstance(error, dict) else {}


def _retry_after_s(response: requests.Response) -> float:
    try:
        return min(max(float(response.headers.get("Retry-After", 0)), 0.0), 60.0)
    except ValueError:
        return 0.0


def _unreachable(place: Place, error: Exception) -> Unreachable:
    arrived = not _never_arrived(error)
    if isinstance(error, requests.exceptions.SSLError):
        remedy = "let REQUESTS_CA_BUNDLE name the certificate of who signed it"
        return Unreachable(f"{place.url}: the TLS certificate was not accepted: {error}", remedy=remedy, arrived=False)
    if isinstance(error, requests.Timeout) and arrived:
        return Unreachable(f"{place.url} did not answer in time", remedy="give it longer: Client(timeout_s=…)")
    if not arrived:
        remedy = "start one with: mj up" if place.loopback else "check the address and the network"
        return Unreachable(f"no server answers at {place.url}", remedy=remedy, arrived=False)
    return Unreachable(f"the connection to {place.url} was cut", remedy="what was asked may have been done: look first")


def _never_arrived(error: Exception) -> bool:
    """Whether not even a connection came about."""
    if isinstance(error, (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError)):
        return True
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(cause, NewConnectionError)
