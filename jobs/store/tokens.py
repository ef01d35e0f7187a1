"""Who may speak to the server (tokens and one-time codes, as hashes), what it keeps about itself, the audit.

Tokens and codes are random, so a plain SHA-256 is enough; they are found by it, and the time that takes tells nothing.
"""

import hashlib
import json
import secrets
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from jobs.errors import Conflict
from jobs.model import AuditEntry, TokenInfo
from jobs.store import events, schema
from jobs.store.tx import Tx

_T = schema.tokens.c
_C = schema.codes.c
_M = schema.meta.c
_A = schema.audit.c

#: The use of a token is noted at most so often.
USE_NOTED_S: Final = 60.0
TOKEN_PREFIX: Final = "mj_"  # noqa: S105  (a mark that secret scanners can look for, not a secret)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


# ------------------------------------------------------------------------------------------------------------- tokens

_TOKEN = select(_T.name, _T.scopes, _T.created_at, _T.expires_at, _T.last_used_at, _T.revoked_at)
_BY_HASH = _TOKEN.where(_T.sha256 == bindparam("sha256"))


def create(tx: Tx, name: str, scopes: frozenset[str], now: float, expires_at: float | None) -> str:
    """Make a token; its text. Raises Conflict for a name that is taken, by a revoked one too (the audit names it)."""
    if tx.conn.execute(_TOKEN.where(_T.name == name)).one_or_none() is not None:
        raise Conflict(f"there is already a token {name!r}; choose another name")
    text = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = {"name": name, "sha256": _hash(text), "scopes": _scopes_text(scopes)}
    tx.conn.execute(insert(schema.tokens), row | {"created_at": now, "expires_at": expires_at})
    return text


def find(conn: Connection, text: str, now: float) -> TokenInfo | None:
    """Whose token this is, while it lives."""
    row = conn.execute(_BY_HASH, {"sha256": _hash(text)}).one_or_none()
    if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return None
    return _token(row)


def stale_use(token: TokenInfo, now: float) -> bool:
    """Whether its last use was noted so long ago that it should be noted again."""
    return token.last_used_at is None or now - token.last_used_at > USE_NOTED_S


def note_use(tx: Tx, name: str, now: float) -> None:
    """Write down that a token was used."""
    tx.conn.execute(update(schema.tokens).where(_T.name == name).values(last_used_at=now))


def everyone(conn: Connection) -> list[TokenInfo]:
    """All tokens by name, also revoked ones."""
    return [_token(row) for row in conn.execute(_TOKEN.order_by(_T.name))]


def lives(conn: Connection, name: str, now: float) -> bool:
    """Whether there is a token of this name that is neither revoked nor expired."""
    row = conn.execute(select(_T.expires_at, _T.revoked_at).where(_T.name == name)).one_or_none()
    return row is not None and row.revoked_at is None and (row.expires_at is None or row.expires_at > now)


def revoke(tx: Tx, name: str, now: float) -> bool:
    """End a token."""
    these = (_T.name == name) & _T.revoked_at.is_(None)
    return tx.conn.execute(update(schema.tokens).where(these).values(revoked_at=now)).rowcount == 1


def _token(row: schema.AnyRow) -> TokenInfo:
    return TokenInfo(
        name=row.name,
        scopes=_scopes(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


def _scopes_text(scopes: frozenset[str]) -> str:
    return " ".join(sorted(scopes))


def _scopes(text: str) -> frozenset[str]:
    return frozenset(text.split())


# -------------------------------------------------------------------------------------------------------------- codes


def create_code(tx: Tx, scopes: frozenset[str], expires_at: float) -> str:
    """Make a code that signs in once; its text."""
    text = secrets.token_urlsafe(24)
    row = {"sha256": _hash(text), "scopes": _scopes_text(scopes), "expires_at": expires_at}
    tx.conn.execute(insert(schema.codes), row)
    return text


def redeem_code(tx: Tx, code: str, now: float) -> frozenset[str] | None:
    """What the code grants; it is gone after this."""
    this = _C.sha256 == _hash(code)
    row = tx.conn.execute(select(_C.scopes, _C.expires_at).where(this).with_for_update()).one_or_none()
    if row is None:
        return None
    tx.conn.execute(delete(schema.codes).where(this))
    return _scopes(row.scopes) if row.expires_at > now else None


def expire_codes(tx: Tx, now: float) -> None:
    """Forget codes nobody used in time."""
    tx.conn.execute(delete(schema.codes).where(_C.expires_at <= now))


# --------------------------------------------------------------------------------------------------------------- meta


def meta(conn: Connection, key: str) -> str | None:
    """One value the server keeps about itself."""
    return conn.execute(select(_M.value).where(_M.key == key)).scalar_one_or_none()


def keep_meta(tx: Tx, key: str, value: str) -> str:
    """Store a value unless there is one; the one that is stored then."""
    stored = meta(tx.conn, key)
    if stored is None:
        tx.conn.execute(insert(schema.meta), {"key": key, "value": value})
        return value
    return stored


def set_meta(tx: Tx, key: str, value: str) -> None:
    """Store a value in place of any before."""
    if tx.conn.execute(update(schema.meta).where(_M.key == key).values(value=value)).rowcount == 0:
        tx.conn.execute(insert(schema.meta), {"key": key, "value": value})


# -------------------------------------------------------------------------------------------------------------- audit


def audit(tx: Tx, entry: AuditEntry) -> None:
    """Add an entry; there is no function that changes or removes one."""
    row = {
        "at": entry.at,
        "who": entry.who[:128],
        "source": entry.source[:128],
        "action": entry.action[:64],
        "detail": json.dumps(dict(entry.detail)),
        "rows": entry.rows,
        "outcome": entry.outcome[:128],
    }
    tx.conn.execute(insert(schema.audit), row)
    tx.happened(events.ACTIVITY)


def audit_page(conn: Connection, size: int, after: int | None) -> list[tuple[int, AuditEntry]]:
    """Entries with smaller numbers than ``after``, newest first."""
    query = select(schema.audit).order_by(_A.id.desc()).limit(size)
    if after is not None:
        query = query.where(_A.id < after)
    return [(row.id, _entry(row)) for row in conn.execute(query)]


def _entry(row: schema.AnyRow) -> AuditEntry:
    return AuditEntry(
        at=row.at,
        who=row.who,
        source=row.source,
        action=row.action,
        detail=json.loads(row.detail),
        rows=row.rows,
        outcome=row.outcome,
    )
