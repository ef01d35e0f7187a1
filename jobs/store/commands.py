"""What people ask of the engine: one row a wish, from asked to answered. Knows nothing of what the kinds mean."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from jobs.model import Command, CommandState
from jobs.store import schema
from jobs.store.tx import Tx

_C = schema.commands.c


def ask(tx: Tx, kind: str, machine_id: str, args: str, who: str, now: float) -> int:
    """Write a wish down; its number."""
    row = {"kind": kind, "machine_id": machine_id, "args": args, "asked_by": who[:128]}
    new = row | {"state": CommandState.WAITING, "progress": "[]", "created_at": now}
    result = tx.conn.execute(insert(schema.commands), new)
    return int((result.inserted_primary_key or (0,))[0])


def waiting(conn: Connection, limit: int) -> list[int]:
    """The oldest wishes that nobody has begun."""
    query = select(_C.id).where(_C.state == CommandState.WAITING).order_by(_C.id).limit(limit)
    return list(conn.execute(query).scalars())


def count_open(conn: Connection) -> int:
    """How many wishes have no answer yet."""
    open_states = (CommandState.WAITING, CommandState.RUNNING)
    return conn.execute(select(func.count()).where(_C.state.in_(open_states))).scalar_one()


def begin(tx: Tx, number: int, now: float) -> Command | None:
    """Take a wish; None if somebody else was quicker."""
    these = (_C.id == number) & (_C.state == CommandState.WAITING)
    changed = tx.conn.execute(update(schema.commands).where(these).values(state=CommandState.RUNNING, begun_at=now))
    return one(tx.conn, number) if changed.rowcount == 1 else None


def tell(tx: Tx, number: int, progress: Sequence[Any]) -> None:
    """What there is to say on the way, in place of what was said before."""
    these = (_C.id == number) & (_C.state == CommandState.RUNNING)
    tx.conn.execute(update(schema.commands).where(these).values(progress=_text(progress)))


def end(tx: Tx, number: int, state: CommandState, answer: Any, now: float) -> None:
    """The last word on a wish; later ones do not count."""
    these = (_C.id == number) & _C.state.in_((CommandState.WAITING, CommandState.RUNNING))
    tx.conn.execute(update(schema.commands).where(these).values(state=state, answer=_text(answer), ended_at=now))


def end_running(tx: Tx, answer: Any, now: float) -> int:
    """Whoever ran these is gone; how many."""
    values = {"state": CommandState.FAILED, "answer": _text(answer), "ended_at": now}
    return tx.conn.execute(update(schema.commands).where(_C.state == CommandState.RUNNING).values(values)).rowcount


def end_waiting(tx: Tx, before: float, answer: Any, now: float) -> int:
    """Nobody took these in time; how many."""
    values = {"state": CommandState.FAILED, "answer": _text(answer), "ended_at": now}
    these = (_C.state == CommandState.WAITING) & (_C.created_at < before)
    return tx.conn.execute(update(schema.commands).where(these).values(values)).rowcount


def drop(tx: Tx, number: int) -> None:
    """Forget one, however far it is."""
    tx.conn.execute(delete(schema.commands).where(_C.id == number))


def expire(tx: Tx, before: float) -> None:
    """Forget what was answered long ago."""
    tx.conn.execute(delete(schema.commands).where(_C.ended_at < before))


def one(conn: Connection, number: int) -> Command | None:
    """One wish."""
    row = conn.execute(select(schema.commands).where(_C.id == number)).one_or_none()
    return None if row is None else _command(row)


def newest(conn: Connection, size: int, machine_id: str | None, kind: str | None) -> list[Command]:
    """The latest wishes, newest first."""
    query = select(schema.commands).order_by(_C.id.desc()).limit(size)
    if machine_id is not None:
        query = query.where(_C.machine_id == machine_id)
    if kind is not None:
        query = query.where(_C.kind == kind)
    return [_command(row) for row in conn.execute(query)]


def _command(row: schema.AnyRow) -> Command:
    return Command(
        command_id=row.id,
        kind=row.kind,
        machine_id=row.machine_id,
        args=json.loads(row.args),
        asked_by=row.asked_by,
        state=CommandState(row.state),
        progress=json.loads(row.progress),
        answer=None if row.answer is None else json.loads(row.answer),
        created_at=row.created_at,
        begun_at=row.begun_at,
        ended_at=row.ended_at,
    )


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
