"""People with passwords and the browsers that are signed in: a door of its own. Tokens for programs are elsewhere.

A session belongs to what it was opened with: it ends with its user's password, its token, or by itself.
"""

import secrets
from collections.abc import Callable, Iterable
from typing import Final

from jobs import passwords, submitting
from jobs.errors import Conflict, NotFound
from jobs.model import SessionInfo, SessionOrigin, UserInfo
from jobs.store import Store, Tx, tokens, users

#: A session ends after so long without a request, and after so long in any case.
IDLE_S: Final = 12 * 3600.0
SESSION_S: Final = 7 * 86400.0


class People:
    """See the module. Safe from every thread."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    # users

    def add(self, name: str, password: str, scopes: Iterable[str]) -> UserInfo:
        """A new user. Raises InvalidInput, Conflict (name taken)."""
        wanted = submitting.check_scopes(name, scopes)
        kept = passwords.hashed(passwords.check(password, name))
        if not self._store.write(lambda tx: users.add(tx, name, kept, wanted, self._clock())):
            raise Conflict(f"there is already a user {name!r}")
        return self.user(name)

    def change(self, name: str, *, password: str | None = None, scopes: Iterable[str] | None = None) -> UserInfo:
        """Set a password, scopes or both; all sessions of the user end. Raises InvalidInput, NotFound."""
        wanted = None if scopes is None else submitting.check_scopes(name, scopes)
        kept = None if password is None else passwords.hashed(passwords.check(password, name))
        now = self._clock()
        if not self._store.write(lambda tx: users.change(tx, name, password=kept, scopes=wanted, now=now)):
            raise NotFound(f"there is no user {name!r}")
        return self.user(name)

    def remove(self, name: str) -> None:
        """Forget a user; all sessions of the user end. Raises NotFound."""
        if not self._store.write(lambda tx: users.remove(tx, name)):
            raise NotFound(f"there is no user {name!r}")

    def user(self, name: str) -> UserInfo:
        """One user. Raises NotFound."""
        with self._store.read() as conn:
            found = users.find(conn, name)
        if found is None:
            raise NotFound(f"there is no user {name!r}")
        return found

    def users(self) -> list[UserInfo]:
        """All users by name."""
        with self._store.read() as conn:
            return users.everyone(conn)

    def password_right(self, name: str, password: str) -> bool:
        """Whether this is the user's password; takes as long for users there are not."""
        return self._kept_if_right(name, password) is not None

    def _kept_if_right(self, name: str, password: str) -> str | None:
        with self._store.read() as conn:
            kept = users.password_of(conn, name)
        return kept if passwords.right(password, kept) else None

    # sessions

    def sign_in(self, name: str, password: str) -> str | None:
        """Open a session for a user; its text is shown now and never again. None: no such user and password."""
        kept = self._kept_if_right(name, password)
        return None if kept is None else self._store.write(lambda tx: self._sign_in(tx, name, kept))

    def _sign_in(self, tx: Tx, name: str, kept: str) -> str | None:
        """Unless the password was changed while it was looked at: then its sessions have been ended."""
        user = users.find(tx.conn, name)
        if user is None or users.password_of(tx.conn, name) != kept:
            return None
        return self._open(tx, SessionOrigin.USER, name, user.scopes)

    def open_session(self, origin: SessionOrigin, name: str, scopes: Iterable[str]) -> str:
        """Sign a browser in by a token or a code."""
        return self._store.write(lambda tx: self._open(tx, origin, name, frozenset(scopes)))

    def _open(self, tx: Tx, origin: SessionOrigin, name: str, scopes: frozenset[str]) -> str:
        text, now = secrets.token_urlsafe(32), self._clock()
        session = SessionInfo(
            origin=origin, name=name, scopes=scopes, created_at=now, used_at=now, expires_at=now + SESSION_S
        )
        users.open_session(tx, text, session)
        return text

    def session(self, text: str) -> SessionInfo | None:
        """The session with this text, while it lives, with what its user or token may do now."""
        now = self._clock()
        with self._store.read() as conn:
            found = users.session(conn, text)
            if found is None or now >= found.expires_at or now >= found.used_at + IDLE_S:
                return None
            if found.origin is SessionOrigin.TOKEN and not tokens.lives(conn, found.name, now):
                return None
        if now - found.used_at > users.USE_NOTED_S:
            self._store.submit_write(lambda tx: users.note_use(tx, text, now))
        return found

    def end_session(self, text: str) -> bool:
        """Sign out; False: it was over already."""
        return self._store.write(lambda tx: users.end_session(tx, text))

    def expire(self) -> None:
        """Forget sessions that have run out."""
        now = self._clock()
        self._store.write(lambda tx: users.expire_sessions(tx, now, IDLE_S))
