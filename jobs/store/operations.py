"""Operations as rows: begun, carried on chunk by chunk, ended. The cursor moves with what was done, in one commit."""

import json
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from jobs import filters
from jobs.model import Action, JobFilter, Operation, OperationState
from jobs.store import events, schema
from jobs.store.tx import Tx

_O = schema.operations.c

_RUNNING = _O.state == OperationState.RUNNING.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """An operation to begin."""

    action: Action
    filter: JobFilter
    elsewhere: bool
    priority: int | None
    upto: int
    total: int | None
    who: str
    source: str


def begin(tx: Tx, wanted: Wanted, now: float) -> Operation:
    """Write it down."""
    ids = wanted.filter.ids
    row = {
        "action": wanted.action.value,
        "filter": json.dumps(filters.dump(wanted.filter)),
        "ids": None if ids is None else json.dumps(sorted(set(ids)), separators=(",", ":")),
        "named": None if ids is None else len(set(ids)),
        "elsewhere": wanted.elsewhere,
        "priority": wanted.priority,
        "cursor": -1,
        "upto": wanted.upto,
        "total": wanted.total,
        "matched": 0,
        "changed": 0,
        "skipped": "{}",
        "made": "[]",
        "state": OperationState.RUNNING.value,
        "why": "",
        "who": wanted.who[:128],
        "source": wanted.source[:128],
        "created_at": now,
        "updated_at": now,
    }
    done = tx.conn.execute(insert(schema.operations), row)
    assert done.inserted_primary_key is not None  # noqa: S101  (the key is made by the insert)
    tx.happened(events.OPERATION, str(done.inserted_primary_key[0]))
    begun = one(tx.conn, int(done.inserted_primary_key[0]))
    assert begun is not None  # noqa: S101  (it was inserted just now)
    return begun


_MOVE = (
    update(schema.operations)
    .where(_O.id == bindparam("which"), _O.cursor == bindparam("seen"), _RUNNING)
    .values(cursor=bindparam("to_cursor"), updated_at=bindparam("now"))
)


def move(tx: Tx, one: Operation, cursor: int, now: float) -> bool:
    """Take the chunk up to this cursor; False: it was stopped, or somebody else has done this chunk."""
    values = {"which": one.operation_id, "seen": one.cursor, "to_cursor": cursor, "now": now}
    return tx.conn.execute(_MOVE, values).rowcount == 1


_COUNT = (
    update(schema.operations)
    .where(_O.id == bindparam("which"))
    .values({name: bindparam(f"to_{name}") for name in ("matched", "changed", "skipped", "made", "state", "ended_at")})
)


def count(tx: Tx, after: Operation) -> None:
    """Write what was done so far, in the transaction that did it."""
    values = {
        "which": after.operation_id,
        "to_matched": after.matched,
        "to_changed": after.changed,
        "to_skipped": json.dumps(dict(after.skipped)),
        "to_made": json.dumps(after.made),
        "to_state": after.state.value,
        "to_ended_at": after.ended_at,
    }
    tx.conn.execute(_COUNT, values)
    tx.happened(events.OPERATION, str(after.operation_id))


def end(tx: Tx, operation_id: int, state: OperationState, why: str, now: float) -> bool:
    """End it before its time; False: it had ended."""
    values = {"state": state.value, "why": why, "updated_at": now, "ended_at": now}
    tx.happened(events.OPERATION, str(operation_id))
    return (
        tx.conn.execute(update(schema.operations).where(_O.id == operation_id, _RUNNING).values(values)).rowcount == 1
    )


#: Everything but the ids, which may be a hundred thousand.
_SHOWN: Final = select(*(column for column in _O if column.name != "ids"))


def one(conn: Connection, operation_id: int) -> Operation | None:
    """One operation."""
    row = conn.execute(_SHOWN.where(_O.id == operation_id)).one_or_none()
    return None if row is None else _operation(row)


def ids_of(conn: Connection, operation_id: int) -> list[int]:
    """The ids it names, ascending."""
    text = conn.execute(select(_O.ids).where(_O.id == operation_id)).scalar_one_or_none()
    return json.loads(text) if text else []


def running(conn: Connection) -> list[int]:
    """The numbers of those that are not ended, oldest first."""
    return list(conn.execute(select(_O.id).where(_RUNNING).order_by(_O.id)).scalars())


def page(conn: Connection, size: int, after: int | None, state: OperationState | None) -> list[Operation]:
    """Operations with smaller numbers than ``after``, newest first."""
    query = _SHOWN.order_by(_O.id.desc()).limit(size)
    if after is not None:
        query = query.where(_O.id < after)
    if state is not None:
        query = query.where(_O.state == state.value)
    return [_operation(row) for row in conn.execute(query)]


def expire(tx: Tx, before: float) -> None:
    """Forget those that ended before this time."""
    tx.conn.execute(delete(schema.operations).where(_O.state != OperationState.RUNNING.value, _O.ended_at < before))


def _operation(row: schema.AnyRow) -> Operation:
    return Operation(
        operation_id=row.id,
        action=Action(row.action),
        filter=filters.load(json.loads(row.filter)),
        named=row.named,
        elsewhere=bool(row.elsewhere),
        priority=row.priority,
        cursor=row.cursor,
        upto=row.upto,
        total=row.total,
        matched=row.matched,
        changed=row.changed,
        skipped=json.loads(row.skipped),
        made=[(first, last) for first, last in json.loads(row.made)],
        state=OperationState(row.state),
        why=row.why,
        who=row.who,
        source=row.source,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ended_at=row.ended_at,
    )
