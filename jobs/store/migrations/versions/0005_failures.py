"""Failures grouped by what went wrong, the numbered events that pages follow, batches by age, attempts by their end."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"

_NAME = sa.String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    """New tables, two indexes, and what the batches there are began with."""
    _failures()
    _batches()
    _events()
    op.create_index("attempts_ended", "attempts", ["ended_at", "machine_id", "spend_s", "reason"])


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _failures() -> None:
    op.add_column("jobs", sa.Column("fingerprint", sa.String(16)))
    op.create_index("jobs_fingerprint", "jobs", ["fingerprint", "id"], **_partial("fingerprint IS NOT NULL"))
    op.create_table(
        "failures",
        sa.Column("fingerprint", sa.String(16), primary_key=True),
        sa.Column("job_type", _NAME, nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("exception", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("frame", sa.Text, nullable=False),
        sa.Column("jobs", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("first_at", sa.Double, nullable=False),
        sa.Column("last_at", sa.Double, nullable=False),
        sa.Column("sample_job", sa.BigInteger, nullable=False),
        sa.Column("sample_attempt", sa.Integer, nullable=False),
        sa.Column("muted_version", sa.Integer),
    )
    op.create_index("failures_type", "failures", ["job_type"])
    op.create_table(
        "failure_places",
        sa.Column("fingerprint", sa.String(16), primary_key=True),
        sa.Column("machine_id", _NAME, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "failure_hours",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("fingerprint", sa.String(16), primary_key=True),
        sa.Column("attempts", sa.BigInteger, nullable=False),
    )


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("batch", _NAME, primary_key=True),
        sa.Column("begin_at", sa.Double, nullable=False),
    )
    op.create_index("batches_begin", "batches", ["begin_at", "batch"])
    counters = sa.table("counters", sa.column("batch"), sa.column("begin_at"), sa.column("jobs")).c
    begun = sa.select(counters.batch, sa.func.min(counters.begin_at)).where(counters.jobs != 0)
    batches = sa.table("batches", sa.column("batch"), sa.column("begin_at"))
    op.execute(sa.insert(batches).from_select(["batch", "begin_at"], begun.group_by(counters.batch)))


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("subject", _NAME, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.create_index("events_number", "events", ["number"])
    sequences = sa.table("sequences", sa.column("name"), sa.column("next"))
    op.execute(sa.insert(sequences).values(name="event", next=1))
