"""Idempotency keys of submissions: a repeat within seven days gets the first answer (G2)."""

from dataclasses import asdict
from typing import Final

from sqlalchemy import bindparam, delete, insert, select

from jobs.errors import Conflict
from jobs.model import Submitted
from jobs.store import schema
from jobs.store.tx import Tx

_S = schema.submissions.c

KEPT_S: Final = 7 * 24 * 3600.0

_FIND = select(_S.body_sha256, _S.first_id, _S.count, _S.cursor).where(_S.key == bindparam("key"))
_REMEMBER = insert(schema.submissions)
_EXPIRE = delete(schema.submissions).where(_S.created_at < bindparam("before"))


def find(tx: Tx, key: str, body_sha256: str) -> Submitted | None:
    """What was answered to this key. Raises Conflict when it came with another body."""
    row = tx.conn.execute(_FIND, {"key": key}).one_or_none()
    if row is None:
        return None
    if row[0] != body_sha256:
        raise Conflict("this idempotency key was used with another body; take a new key")
    return Submitted(*row[1:])


def remember(tx: Tx, key: str, body_sha256: str, submitted: Submitted, now: float) -> None:
    """Keep the answer, in the transaction that stores the jobs."""
    row = {"key": key, "body_sha256": body_sha256, "created_at": now}
    tx.conn.execute(_REMEMBER, row | asdict(submitted))


def expire(tx: Tx, now: float) -> None:
    """Forget keys older than seven days."""
    tx.conn.execute(_EXPIRE, {"before": now - KEPT_S})
