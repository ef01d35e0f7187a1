"""Lanes keep how many jobs wait in them, and what has run is found by its status, also behind a million that wait."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_JOBS = sa.table("jobs", sa.column("lane_id"), sa.column("queued_lane"), sa.column("status"))
_LANES = sa.table("lanes", sa.column("id"), sa.column("ready"), sa.column("backing_off"))


def upgrade() -> None:
    """Two columns, counted once; an index."""
    for name in ("ready", "backing_off"):
        op.add_column("lanes", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    _count("ready", _JOBS.c.queued_lane.is_not(None))
    _count("backing_off", _JOBS.c.queued_lane.is_(None))
    if op.get_bind().dialect.name not in ("mysql", "mariadb"):
        worked = sa.text("status >= 2")
        op.create_index("jobs_worked", "jobs", ["status", "id"], sqlite_where=worked, postgresql_where=worked)


def _count(name: str, which: sa.ColumnElement[bool]) -> None:
    query = sa.select(_JOBS.c.lane_id, sa.func.count()).where(_JOBS.c.status == 0, which).group_by(_JOBS.c.lane_id)
    for lane_id, jobs in op.get_bind().execute(query).all():
        op.execute(sa.update(_LANES).where(_LANES.c.id == lane_id).values({name: jobs}))
