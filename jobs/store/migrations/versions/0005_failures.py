"""Failures grouped by what went wrong, and the numbered events that pages follow."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Nothing yet."""
