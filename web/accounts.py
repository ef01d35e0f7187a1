"""Who is calling and what they may do: tokens, browser sessions, scopes, and the slowing down of guesses.

Asks the service about tokens and codes; keeps nothing that a restart may not lose. Knows no route.
"""

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from jobs.model import TokenInfo
from jobs.service import JobService


class Scope(StrEnum):
    """What a route asks for. ``admin`` includes all the others."""

    READ = "read"
    SUBMIT = "submit"
    PUBLISH = "publish"
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whoever sent this request."""

    name: str
    scopes: frozenset[str]
    #: The secret behind a browser session; None: the request itself carries its credential.
    session: str | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


#: Who calls when authentication is off (loopback only).
ANYONE: Final = Caller(name="anyone", scopes=frozenset({Scope.ADMIN}))

_View = TypeVar("_View", bound=Callable[..., object])
_SCOPE = "required_scope"
#: Browser sessions are tokens too, under names that begin so.
SESSION_PREFIX: Final = "session-"
_SESSION_OF_TOKEN: Final = re.compile(SESSION_PREFIX + r"[0-9a-f]{8}-([0-9a-f]{16})")


def needs(scope: Scope) -> Callable[[_View], _View]:
    """Mark a view with the scope it asks for; a view without a mark is refused to everyone."""

    def mark(view: _View) -> _View:
        setattr(view, _SCOPE, scope)
        return view

    return mark


def scope_of(view: object) -> Scope | None:
    """The scope a view was marked with."""
    return getattr(view, _SCOPE, None)


class TooManyTries(Exception):
    """This address has guessed too often; nothing was checked."""


class _Known(NamedTuple):
    info: TokenInfo
    #: Monotonic seconds.
    checked_at: float


class Accounts:
    """Tells callers apart. Safe to use from every thread; a revoked token ends within ``TRUST_S``."""

    #: How long an accepted token is believed without asking again (S4 allows 5).
    TRUST_S: Final = 2.0
    #: A browser session ends after so long without a request, and after so long in any case.
    IDLE_S: Final = 12 * 3600.0
    SESSION_S: Final = 7 * 86400.0
    #: The cookie's time of last use is renewed only this often.
    RENEW_S: Final = 300.0

    def __init__(
        self,
        service: JobService,
        secret: bytes,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``secret`` signs session cookies; the same one must be used by every process that serves the page."""
        self._service = service
        self._secret = secret
        self._clock = clock
        self._monotonic = monotonic
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lock = threading.Lock()
        self._guesses = Guesses(monotonic)

    # ---------------------------------------------------------------------------------------------------------- tokens

    def of_token(self, text: str, address: str) -> Caller | None:
        """The token's owner. Raises TooManyTries for tokens not known to be good, from an address that guesses."""
        info = self._checked(text, address)
        return None if info is None else Caller(name=info.name, scopes=info.scopes)

    def _checked(self, text: str, address: str) -> TokenInfo | None:
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        now = self._monotonic()
        known = self._known.get(digest)
        if known is not None and now - known.checked_at < self.TRUST_S:
            return known.info
        if known is None:
            self._guesses.refuse_when_many(address)
        info = self._ask(text)
        self._remember(digest, info, now)
        if info is None:
            self._guesses.count(address)
        return info

    def _ask(self, text: str) -> TokenInfo | None:
        info = self._service.check_token(text)
        if info is None:
            return None
        origin = _origin_of(info.name)
        return info if origin is None or self._lives(origin) else None

    def _lives(self, mark: str) -> bool:
        """Whether the token that a session was opened with still holds."""
        now = self._clock()
        return any(
            _mark(one.name) == mark and one.revoked_at is None and (one.expires_at is None or one.expires_at > now)
            for one in self._service.tokens()
        )

    def _remember(self, digest: bytes, info: TokenInfo | None, now: float) -> None:
        with self._lock:
            self._known.pop(digest, None)
            if info is not None:
                self._known[digest] = _Known(info, now)
            while len(self._known) > 1000:
                self._known.popitem(last=False)

    # -------------------------------------------------------------------------------------------------------- sessions

    def sign_in_by_code(self, code: str, address: str) -> str | None:
        """A session's cookie for a one-time code; None: the code grants nothing. Raises TooManyTries."""
        self._guesses.refuse_when_many(address)
        scopes = self._service.redeem_code(code)
        if scopes is None:
            self._guesses.count(address)
            return None
        return self._open_session(scopes, "")

    def sign_in_by_token(self, text: str, address: str) -> str | None:
        """A session's cookie for a token; it ends with the token. Raises TooManyTries."""
        info = self._checked(text, address)
        return None if info is None else self._open_session(info.scopes, info.name)

    def _open_session(self, scopes: frozenset[str], token_name: str) -> str:
        name = _session_name(secrets.token_hex(4), token_name)
        text = self._service.create_token(name, scopes, expires_at=self._clock() + self.SESSION_S)
        return self._sealed(text)

    def of_session(self, cookie: str, address: str) -> Caller | None:
        """The caller behind a cookie; None when it was not made here, has been idle too long, or was ended."""
        opened = self._unsealed(cookie)
        if opened is None or self._clock() - opened.used_at > self.IDLE_S:
            return None
        info = self._checked(opened.text, address)
        return None if info is None else Caller(name=info.name, scopes=info.scopes, session=opened.text)

    def renewed(self, cookie: str) -> str | None:
        """The cookie with a newer time of last use, when the old one is worth renewing."""
        opened = self._unsealed(cookie)
        if opened is None or self._clock() - opened.used_at < self.RENEW_S:
            return None
        return self._sealed(opened.text)

    def sign_out(self, caller: Caller) -> None:
        """End the caller's session for good: the cookie is worth nothing from now on."""
        if caller.session is None:
            return
        self._service.revoke_token(caller.name)
        with self._lock:
            self._known.pop(hashlib.sha256(caller.session.encode()).digest(), None)

    def csrf_token(self, caller: Caller) -> str | None:
        """What a page must send along with each change; None where there is no session to abuse."""
        return None if caller.session is None else self._mac("csrf", caller.session)

    def csrf_right(self, caller: Caller, sent: str) -> bool:
        expected = self.csrf_token(caller)
        return expected is None or hmac.compare_digest(expected.encode(), sent.encode("utf-8", "replace"))

    def _sealed(self, text: str) -> str:
        content = f"{text}.{int(self._clock())}"
        return f"{content}.{self._mac('session', content)}"

    def _unsealed(self, cookie: str) -> "_Opened | None":
        content, _, mac = cookie.rpartition(".")
        if not hmac.compare_digest(self._mac("session", content).encode(), mac.encode("utf-8", "replace")):
            return None
        text, _, used_at = content.rpartition(".")
        return _Opened(text, float(used_at))

    def _mac(self, purpose: str, content: str) -> str:
        message = f"{purpose}\0{content}".encode("utf-8", "replace")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


class _Opened(NamedTuple):
    text: str
    used_at: float


class Guesses:
    """Counts wrong credentials by address, so that guessing becomes slow. Bounded in memory."""

    LIMIT: Final = 20
    WINDOW_S: Final = 60.0
    _ADDRESSES: Final = 4096

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        #: Address → (start of its window, wrong tries in it), oldest window first.
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def refuse_when_many(self, address: str) -> None:
        """Raises TooManyTries."""
        since, wrong = self._wrong.get(address, (0.0, 0))
        if wrong >= self.LIMIT and self._monotonic() - since < self.WINDOW_S:
            raise TooManyTries

    def count(self, address: str) -> None:
        """One more wrong try."""
        now = self._monotonic()
        with self._lock:
            since, wrong = self._wrong.get(address, (now, 0))
            if now - since >= self.WINDOW_S:
                since, wrong = now, 0
                self._wrong.pop(address, None)
            self._wrong[address] = (since, wrong + 1)
            while len(self._wrong) > self._ADDRESSES:
                self._wrong.popitem(last=False)


def _session_name(random_part: str, token_name: str) -> str:
    """Names a session; the mark of the token it was opened with, if any, stands at the end."""
    name = f"{SESSION_PREFIX}{random_part}"
    return f"{name}-{_mark(token_name)}" if token_name else name


def _mark(token_name: str) -> str:
    return hashlib.sha256(token_name.encode()).hexdigest()[:16]


def _origin_of(name: str) -> str | None:
    """The mark of the token a session was opened with; None for sessions without one, and for all other tokens."""
    found = _SESSION_OF_TOKEN.fullmatch(name)
    return None if found is None else found[1]
