"""History by the hour, times and tag of each batch, and what people set on top of the inventory.

The sums are filled from the jobs there are, in Python: rounding an hour is spelt differently by every database.
"""

from collections import defaultdict

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

_NAME = sa.String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    """New columns and tables, then their content."""
    op.add_column("counters", sa.Column("begin_at", sa.Double, nullable=False, server_default="0"))
    op.add_column("counters", sa.Column("updated_at", sa.Double, nullable=False, server_default="0"))
    op.add_column("counters", sa.Column("tag", _NAME, nullable=False, server_default=""))
    _hours()
    _overrides()
    _fill_counters()
    _fill_hours()


def _hours() -> None:
    op.create_table(
        "hours",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("job_type", _NAME, primary_key=True),
        sa.Column("status", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("jobs", sa.BigInteger, nullable=False),
        sa.Column("return_count", sa.Double, nullable=False),
        sa.Column("spend_s", sa.Double, nullable=False),
    )


def _overrides() -> None:
    op.create_table(
        "overrides",
        sa.Column("machine_id", _NAME, primary_key=True),
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("file_value", sa.Text),
        sa.Column("set_at", sa.Double, nullable=False),
    )


_JOB_COLUMNS = ("job_type", "batch", "tag", "status", "created_at", "updated_at", "return_count", "spend_s")
_JOBS = sa.table("jobs", *(sa.column(name) for name in _JOB_COLUMNS)).c


def _fill_counters() -> None:
    conn = op.get_bind()
    times = (sa.func.min(_JOBS.created_at), sa.func.max(_JOBS.updated_at))
    named = sa.select(_JOBS.job_type, _JOBS.batch, sa.func.min(_JOBS.tag), *times)
    batches = conn.execute(named.group_by(_JOBS.job_type, _JOBS.batch)).all()
    names = ("job_type", "batch", "tag", "begin_at", "updated_at")
    counters = sa.table("counters", *(sa.column(name) for name in names))
    for job_type, batch, tag, begin_at, updated_at in batches:
        these = (counters.c.job_type == job_type) & (counters.c.batch == batch)
        conn.execute(sa.update(counters).where(these).values(tag=tag, begin_at=begin_at, updated_at=updated_at))


def _fill_hours() -> None:
    conn = op.get_bind()
    rows = conn.execute(sa.select(_JOBS.job_type, _JOBS.status, _JOBS.updated_at, _JOBS.return_count, _JOBS.spend_s))
    sums: defaultdict[tuple[int, str, int], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for job_type, status, updated_at, return_count, spend_s in rows:
        one = sums[int(updated_at) // 3600, job_type, status]
        one[0] += 1
        one[1] += return_count
        one[2] += spend_s
    columns = ("hour", "job_type", "status", "jobs", "return_count", "spend_s")
    hours = sa.table("hours", *(sa.column(name) for name in columns))
    op.bulk_insert(hours, [dict(zip(columns, (*key, *one), strict=True)) for key, one in sums.items()])
