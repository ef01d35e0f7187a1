"""The lease of the one active orchestrator of a database, and the epoch that fences it (G18). No wall clock decides.

The holder counts ``renewals`` up. Whoever waits takes the lease when it has seen the same count for ``lease_s`` by its
own monotonic clock, under the condition that it is still the same; that begins a new epoch. Every transaction of the
holder first looks, and locks, whether its epoch still stands: nothing that a superseded holder writes can come after.
"""

import time
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from jobs.errors import Superseded
from jobs.store import schema
from jobs.store.driver import Query
from jobs.store.tx import Tx

_L = schema.leader.c

#: There is one row, made by the migration.
_ROW: Final = _L.id == 1
OWNER_LIMIT: Final = 255


class Lease(NamedTuple):
    """The lease as somebody saw it. ``owner`` is empty when nobody holds it; ``since`` is for people only."""

    epoch: int
    renewals: int
    owner: str
    since: float
    lease_s: float


_LOOK = select(_L.epoch, _L.renewals, _L.owner, _L.since, _L.lease_s).where(_ROW)
_LOCKED = select(_L.epoch, _L.renewals, _L.owner).where(_ROW).with_for_update()
_HELD = Query(select(_L.epoch).where(_ROW).with_for_update(read=True))
_TAKE = update(schema.leader).where(_ROW)
_RENEW = update(schema.leader).where(_ROW, _L.epoch == bindparam("mine")).values(renewals=_L.renewals + 1)
_RELEASE = update(schema.leader).where(_ROW, _L.epoch == bindparam("mine")).values(owner="")


def look(conn: Connection) -> Lease:
    """The lease as it is now."""
    return Lease(*conn.execute(_LOOK).one())


def take(tx: Tx, seen: Lease, owner: str, lease_s: float, *, now: float, before_s: float) -> int | None:
    """Take the lease over from what was ``seen``: the new epoch; None: it has been renewed, taken or given up since.

    Whoever keeps us waiting for its lock is a holder that lives, so ``before_s`` (monotonic) is the latest to have it.
    """
    if tx.conn.execute(_LOCKED).one() != seen[:3] or time.monotonic() > before_s:
        return None
    epoch = seen.epoch + 1
    values = {"epoch": epoch, "renewals": 0, "owner": owner[:OWNER_LIMIT], "since": now, "lease_s": lease_s}
    tx.conn.execute(_TAKE.values(values))
    return epoch


def renew(tx: Tx, epoch: int) -> None:
    """Show that the holder lives."""
    tx.conn.execute(_RENEW, {"mine": epoch})


def release(tx: Tx, epoch: int) -> None:
    """Give the lease up, so that the next one need not wait."""
    tx.conn.execute(_RELEASE, {"mine": epoch})


def fence(conn: Connection, epoch: int) -> None:
    """Nobody takes the lease before this transaction ends. Raises Superseded: somebody has."""
    held = _HELD.first(conn)
    if held != epoch:
        raise Superseded(f"another server has taken the lead (epoch {held}, ours was {epoch}); nothing was stored")
