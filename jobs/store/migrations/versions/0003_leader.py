"""Who may write: the lease of the one active orchestrator and its epoch; and room for long texts on MariaDB."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """One row, held by nobody."""
    leader = op.create_table(
        "leader",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("renewals", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("lease_s", sa.Double, nullable=False),
    )
    op.bulk_insert(leader, [{"id": 1, "epoch": 0, "renewals": 0, "owner": "", "since": 0, "lease_s": 0}])
    # The keys of machines' values: a prefix and a name of up to 64 characters.
    with op.batch_alter_table("meta") as meta:
        meta.alter_column("key", type_=sa.String(128), existing_type=sa.String(64), existing_nullable=False)
    if op.get_bind().dialect.name in ("mysql", "mariadb"):
        _widen()


#: A TEXT ends there at 64 KiB: (table, column, whether it may be NULL).
_TEXTS = (
    ("versions", "settings", False),
    ("machines", "view", False),
    ("overrides", "value", False),
    ("overrides", "file_value", True),
    ("meta", "value", False),
    ("audit", "detail", False),
)


def _widen() -> None:
    for table, name, nullable in _TEXTS:
        op.alter_column(table, name, type_=mysql.LONGTEXT(), existing_nullable=nullable, nullable=nullable)
