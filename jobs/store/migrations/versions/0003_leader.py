"""Who may write: the lease of the one active orchestrator and its epoch."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Nothing yet."""
