"""The first schema: queue, history, counters, job types, machines, tokens.

Written out in full: what a migration makes must never change with the code around it.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from jobs.store import guards

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAME = sa.String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
_BODY = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """All tables, the first numbers, and the guard of the moves."""
    _jobs()
    _attempts()
    _bookkeeping()
    _types()
    _machines()
    _people()
    _first_numbers()
    _guard()


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _jobs() -> None:
    """The queue."""
    op.create_table(
        "jobs",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("lane_id", sa.Integer, nullable=False),
        sa.Column("job_type", _NAME, nullable=False),
        sa.Column("tag", _NAME, nullable=False),
        sa.Column("batch", _NAME, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("limit_count", sa.Integer, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("reason", sa.String(32), nullable=False, server_default=""),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("starts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("return_tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("return_interruptions", sa.Integer, nullable=False, server_default="0"),
        sa.Column("kill_requested", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("machine_id", _NAME, nullable=False, server_default=""),
        sa.Column("version", sa.Integer, nullable=False, server_default="-1"),
        sa.Column("input", _BODY, nullable=False),
        sa.Column("queued_lane", sa.Integer),
        sa.Column("due_at", sa.Double),
        sa.Column("unreachable", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("cleared", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("return_count", sa.Double, nullable=False, server_default="0"),
        sa.Column("spend_s", sa.Double, nullable=False, server_default="0"),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("claimed_at", sa.Double),
        sa.Column("started_at", sa.Double),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("done_seq", sa.BigInteger),
    )
    op.create_index("jobs_batch", "jobs", ["batch", "id"])
    op.create_index("jobs_done", "jobs", ["done_seq"], unique=True, **_partial("done_seq IS NOT NULL"))
    op.create_index("jobs_due", "jobs", ["status", "due_at"], **_partial("due_at IS NOT NULL"))
    op.create_index("jobs_failed", "jobs", ["id"], **_partial("status < 0"))
    op.create_index("jobs_open", "jobs", ["machine_id", "id"], **_partial("status = 1"))
    op.create_index(
        "jobs_queue", "jobs", ["queued_lane", "rank", "id", "limit_count"], **_partial("queued_lane IS NOT NULL")
    )


def _attempts() -> None:
    """The history."""
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("machine_id", _NAME, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("claimed_at", sa.Double),
        sa.Column("started_at", sa.Double),
        sa.Column("ended_at", sa.Double, nullable=False),
        sa.Column("spend_s", sa.Double, nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("started", sa.Boolean, nullable=False),
        sa.Column("exit_code", sa.Integer),
        sa.Column("signal", sa.Integer),
        sa.Column("result", _BODY),
        sa.Column("return_data", _BODY),
        sa.Column("return_count", sa.Double, nullable=False),
        sa.Column("error", _BODY),
        sa.Column("log", _BODY),
        sa.Column("return_error", _BODY),
        sqlite_with_rowid=False,
    )


def _bookkeeping() -> None:
    """Lanes, numbers, sums, idempotency keys."""
    op.create_table(
        "lanes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("job_type", _NAME, nullable=False),
        sa.Column("tag", _NAME, nullable=False),
    )
    op.create_index("lanes_name", "lanes", ["job_type", "tag"], unique=True)
    op.create_table(
        "sequences",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("next", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "counters",
        sa.Column("job_type", _NAME, primary_key=True),
        sa.Column("batch", _NAME, primary_key=True),
        sa.Column("status", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("jobs", sa.BigInteger, nullable=False),
        sa.Column("return_count", sa.Double, nullable=False),
        sa.Column("spend_s", sa.Double, nullable=False),
    )
    op.create_index("counters_batch", "counters", ["batch", "status"])
    op.create_table(
        "submissions",
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("body_sha256", sa.String(64), nullable=False),
        sa.Column("first_id", sa.BigInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("submissions_age", "submissions", ["created_at"])


def _types() -> None:
    """Job types: versions and their content."""
    op.create_table(
        "versions",
        sa.Column("job_type", _NAME, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("node_digest", sa.String(64), nullable=False),
        sa.Column("has_return_main", sa.Boolean, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("forgotten_at", sa.Double),
    )
    op.create_table(
        "chunks",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", _BYTES, nullable=False),
    )


def _machines() -> None:
    """Machines as last seen, runners with keys."""
    op.create_table(
        "machines",
        sa.Column("machine_id", _NAME, primary_key=True),
        sa.Column("view", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
    op.create_table(
        "runners",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("machine_id", _NAME, nullable=False),
        sa.Column("key_salt", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
    )


def _people() -> None:
    """Tokens, one-time codes, the server's own values, the audit."""
    op.create_table(
        "tokens",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(128), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("last_used_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
    )
    op.create_index("tokens_sha256", "tokens", ["sha256"], unique=True)
    op.create_table(
        "codes",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("scopes", sa.String(128), nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String(128), nullable=False),
    )


def _first_numbers() -> None:
    sequences = sa.table("sequences", sa.column("name"), sa.column("next"))
    op.bulk_insert(sequences, [{"name": name, "next": 1} for name in ("job", "lane", "done")])


def _guard() -> None:
    for statement in guards.statements(op.get_bind().dialect.name):
        op.get_bind().exec_driver_sql(statement)
