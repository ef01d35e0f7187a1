"""${message}."""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Only forward: a database is never taken back to an older release."""
    ${upgrades if upgrades else "pass"}
