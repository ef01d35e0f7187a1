"""Who is calling and what they may do: tokens, passwords, browser sessions, scopes, and the slowing down of guesses.

Asks the service about tokens and codes; keeps nothing that a restart may not lose. Knows no route.
"""

import hashlib
import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from jobs.model import SessionOrigin
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
    #: What a browser signed in with; None: the request itself carries its credential.
    origin: SessionOrigin | None = None
    #: The secret behind a browser session.
    session: str | None = field(default=None, repr=False)

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


#: Who calls when authentication is off (loopback only).
ANYONE: Final = Caller(name="anyone", scopes=frozenset({Scope.ADMIN}))

_View = TypeVar("_View", bound=Callable[..., object])
_SCOPE = "required_scope"
#: Who signed in with a one-time link, in the audit log.
BY_CODE: Final = "sign-in-link"
#: Credentials remembered as checked.
_REMEMBERED: Final = 1000


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
    """This address, or somebody about this user, has guessed too often; nothing was checked."""


class _Known(NamedTuple):
    caller: Caller
    #: Monotonic seconds.
    checked_at: float


class Accounts:
    """Tells callers apart. Safe to use from every thread; a revoked token ends within ``TRUST_S``."""

    #: How long an accepted token or session is believed without asking again (S4 allows 5).
    TRUST_S: Final = 2.0

    def __init__(self, service: JobService, secret: bytes, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """``secret`` signs session cookies; the same one must be used by every process that serves the page."""
        self._service = service
        self._secret = secret
        self._monotonic = monotonic
        #: By the credential's digest, the one checked longest ago first.
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lock = threading.Lock()
        self._guesses = Guesses(monotonic)

    # ------------------------------------------------------------------------------------------------ who this is

    def of_token(self, text: str, address: str) -> Caller | None:
        """The token's owner. Raises TooManyTries for tokens not known to be good, from an address that guesses."""
        digest = _digest("token", text)
        fresh, known = self._believed(digest)
        if fresh:
            return known
        if known is None:
            self._guesses.refuse_when_many(address)
        info = self._service.check_token(text)
        found = None if info is None else Caller(name=info.name, scopes=info.scopes)
        self._remember(digest, found)
        if found is None:
            self._guesses.count(address)
        return found

    def of_session(self, cookie: str) -> Caller | None:
        """The caller behind a cookie; None when it was not made here, has been idle too long, or was ended."""
        text = self._unsealed(cookie)
        if text is None:
            return None
        digest = _digest("session", text)
        fresh, known = self._believed(digest)
        if fresh:
            return known
        info = self._service.people.session(text)
        found = None if info is None else Caller(name=info.name, scopes=info.scopes, origin=info.origin, session=text)
        self._remember(digest, found)
        return found

    def _believed(self, digest: bytes) -> tuple[bool, Caller | None]:
        """(checked just now, who it was when it was last checked)."""
        known = self._known.get(digest)
        if known is None:
            return False, None
        return self._monotonic() - known.checked_at < self.TRUST_S, known.caller

    def _remember(self, digest: bytes, found: Caller | None) -> None:
        with self._lock:
            self._known.pop(digest, None)
            if found is not None:
                self._known[digest] = _Known(found, self._monotonic())
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    # ------------------------------------------------------------------------------------------------ in and out

    def sign_in_by_code(self, code: str, address: str) -> str | None:
        """A session's cookie for a one-time code; None: the code grants nothing. Raises TooManyTries."""
        self._guesses.refuse_when_many(address)
        scopes = self._service.redeem_code(code)
        if scopes is None:
            self._guesses.count(address)
            return None
        return self._sealed(self._service.people.open_session(SessionOrigin.CODE, BY_CODE, scopes))

    def sign_in_by_token(self, text: str, address: str) -> str | None:
        """A session's cookie for a token; it ends with the token. Raises TooManyTries."""
        found = self.of_token(text, address)
        if found is None:
            return None
        return self._sealed(self._service.people.open_session(SessionOrigin.TOKEN, found.name, found.scopes))

    def sign_in_by_password(self, name: str, password: str, address: str) -> str | None:
        """A session's cookie for a user; it ends with the password. Raises TooManyTries, by address and by user."""
        account = f"user {name[:64]}"
        self._guesses.refuse_when_many(address)
        self._guesses.refuse_when_many(account)
        text = self._service.people.sign_in(name, password)
        if text is None:
            self._guesses.count(address)
            self._guesses.count(account)
            return None
        return self._sealed(text)

    def password_right(self, name: str, password: str, address: str) -> bool:
        """Whether a user who is signed in knows the password. Raises TooManyTries."""
        self._guesses.refuse_when_many(address)
        right = self._service.people.password_right(name, password)
        if not right:
            self._guesses.count(address)
        return right

    def sign_out(self, caller: Caller) -> None:
        """End the caller's session for good: the cookie is worth nothing from now on."""
        if caller.session is not None:
            self._service.people.end_session(caller.session)
            self._remember(_digest("session", caller.session), None)

    # ---------------------------------------------------------------------------------------------------- cookies

    def csrf_token(self, caller: Caller) -> str | None:
        """What a page must send along with each change; None where there is no session to abuse."""
        return None if caller.session is None else self._mac("csrf", caller.session)

    def csrf_right(self, caller: Caller, sent: str) -> bool:
        expected = self.csrf_token(caller)
        return expected is None or hmac.compare_digest(expected.encode(), sent.encode("utf-8", "replace"))

    def _sealed(self, text: str) -> str:
        return f"{text}.{self._mac('session', text)}"

    def _unsealed(self, cookie: str) -> str | None:
        """The session's text; what was not made here costs no look at the database."""
        text, _, mac = cookie.rpartition(".")
        right = hmac.compare_digest(self._mac("session", text).encode(), mac.encode("utf-8", "replace"))
        return text if right else None

    def _mac(self, purpose: str, content: str) -> str:
        message = f"{purpose}\0{content}".encode("utf-8", "replace")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


class Guesses:
    """Counts wrong credentials by address or user, so that guessing becomes slow. Bounded in memory."""

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


def _digest(kind: str, text: str) -> bytes:
    return hashlib.sha256(f"{kind}\0{text}".encode("utf-8", "replace")).digest()
