"""Bulk actions that outlive a restart, lanes that avoid machines, and how long jobs took, by steps.

The steps are filled from the jobs there are, in Python: logarithms are spelt differently by every database.
"""

import math
from collections import Counter

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAME = sa.String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
_BODY = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """New tables, the wider lanes, then the steps of what has finished."""
    _operations()
    _lanes()
    _spends()
    _fill_spends()


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("filter", _BODY, nullable=False),
        sa.Column("ids", _BODY),
        sa.Column("named", sa.Integer),
        sa.Column("elsewhere", sa.Boolean, nullable=False),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.Column("upto", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.Column("matched", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.Column("skipped", sa.Text, nullable=False),
        sa.Column("made", _BODY, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
    )
    op.create_index("operations_state", "operations", ["state", "id"])


def _lanes() -> None:
    """A table of few rows, made anew: no database gives an old one a text without a default in the same way."""
    conn = op.get_bind()
    names = ("id", "job_type", "tag")
    old = sa.table("lanes", *(sa.column(name) for name in names)).c
    rows = conn.execute(sa.select(old.id, old.job_type, old.tag)).all()
    op.drop_table("lanes")
    lanes = op.create_table(
        "lanes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("job_type", _NAME, nullable=False),
        sa.Column("tag", _NAME, nullable=False),
        sa.Column("avoid", _BODY, nullable=False),
        sa.Column("avoid_sha256", sa.String(64), nullable=False, server_default=""),
    )
    op.create_index("lanes_of", "lanes", ["job_type", "tag", "avoid_sha256"], unique=True)
    op.bulk_insert(lanes, [dict(zip(names, row, strict=True)) | {"avoid": "", "avoid_sha256": ""} for row in rows])


def _spends() -> None:
    op.create_table(
        "batch_spends",
        sa.Column("job_type", _NAME, primary_key=True),
        sa.Column("batch", _NAME, primary_key=True),
        sa.Column("step", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("jobs", sa.BigInteger, nullable=False),
    )
    op.create_index("batch_spends_batch", "batch_spends", ["batch"])
    op.create_table(
        "hour_spends",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("job_type", _NAME, primary_key=True),
        sa.Column("step", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("jobs", sa.BigInteger, nullable=False),
    )


_JOB_COLUMNS = ("job_type", "batch", "status", "updated_at", "spend_s")
_JOBS = sa.table("jobs", *(sa.column(name) for name in _JOB_COLUMNS)).c
_DONE = 3


def _fill_spends() -> None:
    conn = op.get_bind()
    asked = sa.select(_JOBS.job_type, _JOBS.batch, _JOBS.updated_at, _JOBS.spend_s).where(_JOBS.status == _DONE)
    batches: Counter[tuple[str, str, int]] = Counter()
    hours: Counter[tuple[int, str, int]] = Counter()
    for job_type, batch, updated_at, spend_s in conn.execute(asked):
        step = _step(float(spend_s))
        batches[job_type, batch, step] += 1
        hours[int(updated_at) // 3600, job_type, step] += 1
    _insert("batch_spends", ("job_type", "batch", "step", "jobs"), batches)
    _insert("hour_spends", ("hour", "job_type", "step", "jobs"), hours)


def _insert(
    name: str, columns: tuple[str, ...], counts: Counter[tuple[str, str, int]] | Counter[tuple[int, str, int]]
) -> None:
    table = sa.table(name, *(sa.column(column) for column in columns))
    op.bulk_insert(table, [dict(zip(columns, (*key, count), strict=True)) for key, count in counts.items()])


def _step(spend_s: float) -> int:
    """As it was when this was written: twelve steps a doubling, from a tenth of a millisecond on."""
    return max(0, math.ceil(math.log2(spend_s / 1e-4) * 12)) if spend_s > 0 else 0
