"""Machines as the engine last saw them, what people set on top of the inventory, the runners that were given keys."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from jobs.model import EnvironmentState, EnvironmentView, MachineOverride, MachineState, MachineView, RunnerInfo
from jobs.store import events, schema
from jobs.store.bulk import Bulk
from jobs.store.tx import Tx

_M = schema.machines.c
_R = schema.runners.c
_O = schema.overrides.c

#: Ended runners are kept so long, for whoever reads old logs.
RUNNERS_KEPT_S: Final = 30 * 24 * 3600.0

_KNOWN = select(_M.machine_id).where(_M.machine_id.in_(bindparam("ids", expanding=True)))
_CHANGE = Bulk(
    update(schema.machines)
    .where(_M.machine_id == bindparam("at_id"))
    .values(view=bindparam("to_view"), updated_at=bindparam("now")),
    ("to_view", "now", "at_id"),
)


def put(tx: Tx, rows: Sequence[MachineView], now: float) -> None:
    """Replace what is known of these machines; the time of their first appearance stays."""
    if not rows:
        return
    known = set(tx.conn.execute(_KNOWN, {"ids": [row.machine_id for row in rows]}).scalars())
    old = [(_text(row), now, row.machine_id) for row in rows if row.machine_id in known]
    new = [
        {"machine_id": row.machine_id, "view": _text(row), "created_at": now, "updated_at": now}
        for row in rows
        if row.machine_id not in known
    ]
    _CHANGE.run(tx.conn, old)
    if new:
        tx.conn.execute(insert(schema.machines), new)
    for one in rows:
        tx.happened(events.MACHINE, one.machine_id)


def drop(tx: Tx, machine_ids: Sequence[str]) -> None:
    """Forget these machines."""
    tx.happened(events.MACHINE)
    tx.conn.execute(delete(schema.machines).where(_M.machine_id.in_(machine_ids)))


def everyone(conn: Connection) -> list[MachineView]:
    """All machines by id."""
    query = select(_M.view, _M.created_at, _M.updated_at).order_by(_M.machine_id)
    return [replace(_view(row[0]), created_at=row[1], updated_at=row[2]) for row in conn.execute(query)]


_VIEW: Final = tuple(field.name for field in fields(MachineView))


def _text(view: MachineView) -> str:
    """Written for every machine at work, each second: ``asdict`` would copy whatever is in it."""
    values = {name: getattr(view, name) for name in _VIEW}
    values["tags"] = sorted(view.tags)
    values["environments"] = [asdict(one) for one in view.environments]
    return json.dumps(values)


def _view(text: str) -> MachineView:
    values: dict[str, Any] = json.loads(text)
    values["tags"] = frozenset(values["tags"])
    values["state"] = MachineState(values["state"])
    values["marks"] = tuple(values.get("marks", ()))
    values["environments"] = tuple(_environment(row) for row in values.get("environments", ()))
    return MachineView(**values)


def _environment(values: dict[str, Any]) -> EnvironmentView:
    changed = {"state": EnvironmentState(values["state"]), "job_types": tuple(values["job_types"])}
    return EnvironmentView(**{**values, **changed})


# ---------------------------------------------------------------------------------------------------------- overrides


def put_overrides(tx: Tx, rows: Sequence[MachineOverride], now: float) -> None:
    """Set these, in place of what was set for the same keys before."""
    for row in rows:
        drop_override(tx, row.machine_id, row.key)
        tx.conn.execute(insert(schema.overrides), asdict(row) | {"set_at": now})


def pin_override(tx: Tx, row: MachineOverride) -> None:
    """Write down what the file says, unless another value was set in the meantime."""
    these = (_O.machine_id == row.machine_id) & (_O.key == row.key) & (_O.value == row.value)
    tx.conn.execute(update(schema.overrides).where(these).values(file_value=row.file_value))


def drop_override(tx: Tx, machine_id: str, key: str) -> None:
    """Forget one."""
    tx.conn.execute(delete(schema.overrides).where(_O.machine_id == machine_id, _O.key == key))


def overrides(conn: Connection) -> list[MachineOverride]:
    """All of them, by machine and key."""
    query = select(_O.machine_id, _O.key, _O.value, _O.file_value).order_by(_O.machine_id, _O.key)
    rows = conn.execute(query)
    return [MachineOverride(machine_id=row[0], key=row[1], value=row[2], file_value=row[3]) for row in rows]


# ------------------------------------------------------------------------------------------------------------ runners


def open_runner(tx: Tx, runner_: RunnerInfo) -> None:
    """Write down a new runner."""
    row = asdict(runner_)
    tx.conn.execute(insert(schema.runners), row | {"id": row.pop("runner_id")})


def close_runner(tx: Tx, runner_id: str, now: float) -> None:
    """Mark a runner as ended."""
    these = (_R.id == runner_id) & _R.ended_at.is_(None)
    tx.conn.execute(update(schema.runners).where(these).values(ended_at=now))


_RUNNER = select(_R.id, _R.machine_id, _R.key_salt, _R.created_at, _R.ended_at).where(_R.id == bindparam("runner_id"))


def runner(conn: Connection, runner_id: str) -> RunnerInfo | None:
    """One runner, also an ended one."""
    row = conn.execute(_RUNNER, {"runner_id": runner_id}).one_or_none()
    if row is None:
        return None
    return RunnerInfo(runner_id=row[0], machine_id=row[1], key_salt=row[2], created_at=row[3], ended_at=row[4])


def expire_runners(tx: Tx, now: float) -> None:
    """Forget runners that ended long ago."""
    tx.conn.execute(delete(schema.runners).where(_R.ended_at < now - RUNNERS_KEPT_S))
