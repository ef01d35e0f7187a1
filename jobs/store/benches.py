"""Which machines are benched for which job type, so that a restart does not forget it."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, insert, select

from jobs.model import BenchRow
from jobs.store import schema
from jobs.store.tx import Tx

_B = schema.benches.c


def put(tx: Tx, row: BenchRow) -> None:
    """Write it down, in place of what was known of this machine and type."""
    drop(tx, row.machine_id, row.job_type)
    tx.conn.execute(insert(schema.benches), asdict(row))


def drop(tx: Tx, machine_id: str, job_type: str) -> None:
    """It was admitted again."""
    tx.conn.execute(delete(schema.benches).where(_B.machine_id == machine_id, _B.job_type == job_type))


def drop_machines(tx: Tx, machine_ids: Sequence[str]) -> None:
    """They left the inventory."""
    tx.conn.execute(delete(schema.benches).where(_B.machine_id.in_(machine_ids)))


def everyone(conn: Connection) -> list[BenchRow]:
    """All of them."""
    query = select(_B.machine_id, _B.job_type, _B.why, _B.level, _B.since_at, _B.until_at)
    rows = conn.execute(query.order_by(_B.machine_id, _B.job_type))
    names = ("machine_id", "job_type", "why", "level", "since_at", "until_at")
    return [BenchRow(**dict(zip(names, row, strict=True))) for row in rows]
