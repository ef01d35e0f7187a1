"""Machines that are benched, and how a machine was when an attempt failed there."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"

_NAME = sa.String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    """One table, one column."""
    op.add_column("attempts", sa.Column("machine", sa.Text))
    op.create_table(
        "benches",
        sa.Column("machine_id", _NAME, primary_key=True),
        sa.Column("job_type", _NAME, primary_key=True),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("since_at", sa.Double, nullable=False),
        sa.Column("until_at", sa.Double, nullable=False),
    )
