"""People with passwords, and browsers that are signed in. Passwords arrive here as hashes only.

A session's text is random, so a plain SHA-256 of it is enough; it is found by that.
"""

import hashlib
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from jobs.model import SessionInfo, SessionOrigin, UserInfo
from jobs.store import schema
from jobs.store.tx import Tx

_U = schema.users.c
_S = schema.sessions.c

#: The use of a session or account is noted at most so often.
USE_NOTED_S: Final = 60.0


# -------------------------------------------------------------------------------------------------------------- users


def add(tx: Tx, name: str, password: str, scopes: frozenset[str], now: float) -> bool:
    """Write a new user down; False: the name is taken."""
    if tx.conn.execute(select(_U.name).where(_U.name == name)).one_or_none() is not None:
        return False
    row = {"name": name, "password": password, "scopes": _scopes_text(scopes), "created_at": now, "changed_at": now}
    tx.conn.execute(insert(schema.users), row)
    return True


def change(tx: Tx, name: str, *, password: str | None, scopes: frozenset[str] | None, now: float) -> bool:
    """Set what is given, and end the user's sessions; False: there is no such user."""
    values: dict[str, object] = {}
    if password is not None:
        values |= {"password": password, "changed_at": now}
    if scopes is not None:
        values |= {"scopes": _scopes_text(scopes)}
    if tx.conn.execute(update(schema.users).where(_U.name == name).values(values)).rowcount == 0:
        return False
    end_sessions_of(tx, SessionOrigin.USER, name)
    return True


def remove(tx: Tx, name: str) -> bool:
    """Forget a user and end their sessions; False: there is none."""
    end_sessions_of(tx, SessionOrigin.USER, name)
    return tx.conn.execute(delete(schema.users).where(_U.name == name)).rowcount == 1


def password_of(conn: Connection, name: str) -> str | None:
    """The hash of a user's password."""
    return conn.execute(select(_U.password).where(_U.name == name)).scalar_one_or_none()


def find(conn: Connection, name: str) -> UserInfo | None:
    """One user."""
    row = conn.execute(_USER.where(_U.name == name)).one_or_none()
    return None if row is None else _user(row)


def everyone(conn: Connection) -> list[UserInfo]:
    """All users by name."""
    return [_user(row) for row in conn.execute(_USER.order_by(_U.name))]


_USER = select(_U.name, _U.scopes, _U.created_at, _U.changed_at, _U.last_used_at)


def _user(row: schema.AnyRow) -> UserInfo:
    return UserInfo(
        name=row.name,
        scopes=frozenset(row.scopes.split()),
        created_at=row.created_at,
        changed_at=row.changed_at,
        last_used_at=row.last_used_at,
    )


# ----------------------------------------------------------------------------------------------------------- sessions


def open_session(tx: Tx, text: str, session: SessionInfo) -> None:
    """Write down that a browser is signed in."""
    row = {
        "sha256": _hash(text),
        "origin": session.origin,
        "name": session.name,
        "scopes": _scopes_text(session.scopes),
        "created_at": session.created_at,
        "used_at": session.used_at,
        "expires_at": session.expires_at,
    }
    tx.conn.execute(insert(schema.sessions), row)
    if session.origin == SessionOrigin.USER:
        tx.conn.execute(update(schema.users).where(_U.name == session.name).values(last_used_at=session.created_at))


def session(conn: Connection, text: str) -> SessionInfo | None:
    """The session with this text, whether or not it has run out."""
    row = conn.execute(select(schema.sessions).where(_S.sha256 == _hash(text))).one_or_none()
    if row is None:
        return None
    return SessionInfo(
        origin=SessionOrigin(row.origin),
        name=row.name,
        scopes=frozenset(row.scopes.split()),
        created_at=row.created_at,
        used_at=row.used_at,
        expires_at=row.expires_at,
    )


def note_use(tx: Tx, text: str, now: float) -> None:
    """Write down that a session, and so its user, was there."""
    tx.conn.execute(update(schema.sessions).where(_S.sha256 == _hash(text)).values(used_at=now))


def end_session(tx: Tx, text: str) -> bool:
    """Sign out."""
    return tx.conn.execute(delete(schema.sessions).where(_S.sha256 == _hash(text))).rowcount == 1


def end_sessions_of(tx: Tx, origin: SessionOrigin, name: str) -> int:
    """End all that were opened by this user or token; how many."""
    return tx.conn.execute(delete(schema.sessions).where(_S.origin == origin, _S.name == name)).rowcount


def expire_sessions(tx: Tx, now: float, idle_s: float) -> None:
    """Forget sessions that have run out."""
    tx.conn.execute(delete(schema.sessions).where((_S.expires_at <= now) | (_S.used_at <= now - idle_s)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _scopes_text(scopes: frozenset[str]) -> str:
    return " ".join(sorted(scopes))
