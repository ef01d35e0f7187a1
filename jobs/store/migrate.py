"""Brings a database up to date when it is opened, in one transaction, whoever comes first. Never goes back.

Alembic is imported only when there is something to do: most starts find the newest revision.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from jobs.errors import StoreTooNew

#: The newest revision; a test compares it with the files.
HEAD: Final = "0007"
SCRIPTS: Final = Path(__file__).parent / "migrations"


def upgrade(engine: Engine) -> None:
    """Apply the migrations that are missing. Raises StoreTooNew for a revision this release does not know."""
    with engine.connect() as conn, conn.begin():
        found = revision(conn)
        if found == HEAD:
            return
        if found is not None and found not in _known():
            raise StoreTooNew(
                f"the database is at revision {found}, this release knows {HEAD}; start the newer release again"
            )
        _run(conn)


def revision(conn: Connection) -> str | None:
    """The revision a database is at; None: it is empty."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _known() -> set[str]:
    return {path.name.split("_")[0] for path in (SCRIPTS / "versions").glob("[0-9]*_*.py")}


def _run(conn: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
