"""What people ask of the engine from other processes, and users with passwords."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Nothing yet."""
