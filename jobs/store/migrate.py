"""Brings a database up to date when it is opened, one process at a time, whoever comes first. Never goes back.

In one transaction, except where the database commits with every table it makes (MariaDB, MySQL): what is left of an
interrupted migration there must be restored from the back-up. Alembic is imported only when there is something to do.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from jobs.errors import StoreTooNew, StoreUnavailable, StoreUnfit
from jobs.store import fitness

#: The newest revision; a test compares it with the files.
HEAD: Final = "0009"
SCRIPTS: Final = Path(__file__).parent / "migrations"
#: How long to wait for another process that is at it.
ALONE_S: Final = 60
#: A statement may take so long: all rows of a large table are written anew.
STATEMENT_S: Final = 6 * 3600
#: The name of the lock, and a number for databases whose locks have numbers.
_LOCK: Final = "multijob migrations"
_LOCK_NUMBER: Final = 6061720053117


def upgrade(engine: Engine) -> None:
    """Apply the missing migrations. Raises StoreTooNew for a revision this release does not know, StoreUnfit."""
    with engine.connect() as conn, conn.begin():
        _be_alone(conn)
        found = revision(conn)
        if found is None:
            _prepare_empty(conn)
        fitness.check(conn)
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


def _be_alone(conn: Connection) -> None:
    """Until the connection ends (MariaDB, MySQL) or the transaction (the others; SQLite's has the lock already)."""
    if conn.dialect.name == "postgresql":
        conn.execute(text(f"SET LOCAL lock_timeout = '{ALONE_S}s'"))
        conn.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
    elif conn.dialect.name == "mysql":
        # Such locks belong to the whole server, so the name says which database is meant.
        mine = text("SELECT GET_LOCK(CONCAT(LEFT(DATABASE(), 40), :name), :seconds)")
        if conn.execute(mine, {"name": f" {_LOCK}", "seconds": ALONE_S}).scalar() != 1:
            raise StoreUnavailable(f"another process has been changing the database's tables for {ALONE_S} s")


def _prepare_empty(conn: Connection) -> None:
    """Names are compared byte by byte, in every table that will be made."""
    if conn.dialect.name != "mysql":
        return
    try:
        conn.execute(text("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
    except DBAPIError as error:
        raise StoreUnfit(
            f"the database's character set cannot be set ({error.orig}); make the database with "
            "CREATE DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, or grant our account ALTER on it"
        ) from error


def _known() -> set[str]:
    return {path.name.split("_")[0] for path in (SCRIPTS / "versions").glob("[0-9]*_*.py")}


def _run(conn: Connection, upto: str = HEAD) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = conn
    command.upgrade(config, upto)
