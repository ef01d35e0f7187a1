"""What people ask of the engine from other processes, users with passwords, and browser sessions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"

_NAME = sa.String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
_BODY = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """New tables. Browser sessions used to be tokens with a name of their own; those end, and people sign in again."""
    _commands()
    _users()
    _sessions()
    tokens = sa.table("tokens", sa.column("name", sa.String))
    op.execute(tokens.delete().where(tokens.c.name.like("session-%")))


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("machine_id", _NAME, nullable=False),
        sa.Column("args", _BODY, nullable=False),
        sa.Column("asked_by", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("progress", _BODY, nullable=False),
        sa.Column("answer", _BODY),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("begun_at", sa.Double),
        sa.Column("ended_at", sa.Double),
    )
    op.create_index("commands_state", "commands", ["state", "id"])


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("password", sa.String(255), nullable=False),
        sa.Column("scopes", sa.String(128), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("last_used_at", sa.Double),
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("origin", sa.String(8), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("scopes", sa.String(128), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("used_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_index("sessions_origin", "sessions", ["origin", "name"])
