"""A change of priority is an action on many jobs: its operation keeps which one they get."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """One column."""
    op.add_column("operations", sa.Column("priority", sa.Integer))
