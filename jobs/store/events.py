"""What changed last, under numbers that only grow: one row a (kind, subject), so nothing piles up, nothing is missed.

Whoever has seen everything up to a number asks for the rows above it, after a minute as after a month. All that one
transaction changed shares a number; the lock on the sequence's row makes numbers appear in their order.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from jobs.store import schema
from jobs.store.bulk import Bulk

_E = schema.events.c
_S = schema.sequences.c

#: The kinds there are. Subjects: the machine, the operation, the job type; empty for the kind as a whole.
JOBS: Final = "jobs"
MACHINE: Final = "machine"
OPERATION: Final = "operation"
INVENTORY: Final = "inventory"
JOB_TYPE: Final = "job_type"
ACTIVITY: Final = "activity"
LOG: Final = "log"
KINDS: Final = (JOBS, MACHINE, OPERATION, INVENTORY, JOB_TYPE, ACTIVITY, LOG)

#: Rows with a subject are forgotten once so many numbers lie above them; who is further behind starts afresh.
KEPT: Final = 100_000
#: Subjects in one answer; of more, only the kinds are told.
PAGE: Final = 1000

_BUMP = Bulk(
    update(schema.sequences).where(_S.name == bindparam("which")).values(next=_S.next + 1),
    ("which",),
)
_NEWEST = select(_S.next - 1).where(_S.name == "event")
_TOUCH = Bulk(
    update(schema.events)
    .where(_E.kind == bindparam("at_kind"), _E.subject == bindparam("at_subject"))
    .values(number=_NEWEST.scalar_subquery()),
    ("at_kind", "at_subject"),
)


class Change(NamedTuple):
    """The latest of what happened to one subject."""

    kind: str
    subject: str
    number: int


def write(conn: Connection, noted: Iterable[tuple[str, str]]) -> None:
    """Give all of these (kind, subject) the next number."""
    rows = sorted(noted)
    if not rows:
        return
    _BUMP.run(conn, [("event",)])
    if _TOUCH.run(conn, rows) < len(rows):
        _add_missing(conn, rows)


def _add_missing(conn: Connection, rows: Iterable[tuple[str, str]]) -> None:
    number = newest(conn)
    for kind, subject in rows:
        there = select(_E.number).where(_E.kind == kind, _E.subject == subject)
        if conn.execute(there).scalar() is None:
            conn.execute(insert(schema.events), {"kind": kind, "subject": subject, "number": number})


def newest(conn: Connection) -> int:
    """The latest number."""
    return int(conn.execute(_NEWEST).scalar_one())


_SINCE = (
    select(_E.kind, _E.subject, _E.number)
    .where(_E.number > bindparam("number"))
    .order_by(_E.number, _E.kind, _E.subject)
    .limit(PAGE + 1)
)
_KINDS_SINCE = select(_E.kind, func.max(_E.number)).where(_E.number > bindparam("number")).group_by(_E.kind)


def since(conn: Connection, number: int) -> list[Change]:
    """What changed after this number, the oldest first; where it is very much, kinds without their subjects."""
    rows = conn.execute(_SINCE, {"number": number}).all()
    if len(rows) <= PAGE:
        return [Change(row[0], row[1], int(row[2])) for row in rows]
    return [Change(row[0], "", int(row[1])) for row in conn.execute(_KINDS_SINCE, {"number": number})]


def expire(conn: Connection) -> None:
    """Forget subjects of long ago."""
    conn.execute(delete(schema.events).where(_E.subject != "", _E.number < newest(conn) - KEPT))
