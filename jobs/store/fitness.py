"""Whether a database can hold what we promise, asked once when it is opened; every fault is told with its remedy."""

import logging
from typing import Final

from sqlalchemy import Connection, text

from jobs.errors import StoreUnfit

log = logging.getLogger(__name__)

#: A row holds a result and a return_data of 8 MiB each; the driver may write every character as two.
PACKET_BYTES: Final = 64 * 1024 * 1024
MARIADB_LEAST: Final = (10, 6)
MYSQL_LEAST: Final = (8, 0, 19)
POSTGRESQL_LEAST: Final = 120000

_MYSQL = text(
    "SELECT VERSION(), @@SESSION.sql_mode, @@SESSION.time_zone, @@SESSION.character_set_connection, "
    "@@GLOBAL.max_allowed_packet, @@GLOBAL.innodb_flush_log_at_trx_commit, "
    "(SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()), DATABASE()"
)
_POSTGRESQL = text(
    "SELECT current_setting('server_version_num'), current_setting('server_encoding'), current_setting('TimeZone'), "
    "current_setting('synchronous_commit'), current_setting('fsync')"
)


def check(conn: Connection) -> None:
    """Raises StoreUnfit with everything that is wrong; what endangers only a power loss is logged."""
    kind = conn.dialect.name
    faults = _mysql(conn) if kind == "mysql" else _postgresql(conn) if kind == "postgresql" else []
    if faults:
        raise StoreUnfit("the database cannot be used as it is:\n" + "\n".join(f"  {fault}" for fault in faults))


def _mysql(conn: Connection) -> list[str]:
    version, mode, zone, session_charset, packet_bytes, flush, charset, name = conn.execute(_MYSQL).one()
    least = MARIADB_LEAST if "mariadb" in version.lower() else MYSQL_LEAST
    if int(flush) != 1:
        log.warning("innodb_flush_log_at_trx_commit is %s: a power loss may take acknowledged jobs; set it to 1", flush)
    faults = {
        f"version {version} is too old; at least MariaDB {_dotted(MARIADB_LEAST)} or MySQL {_dotted(MYSQL_LEAST)}": (
            _numbers(version) < least
        ),
        f"sql_mode is {mode or 'empty'}: strict mode does not hold; something between us resets it": (
            "STRICT_ALL_TABLES" not in mode
        ),
        f"time_zone is {zone}: expected +00:00; something between us resets it": zone != "+00:00",
        f"the connection speaks {session_charset}, expected utf8mb4": session_charset != "utf8mb4",
        f"database {name} has character set {charset}; ALTER DATABASE {name} CHARACTER SET utf8mb4 "
        "COLLATE utf8mb4_bin": charset != "utf8mb4",
        f"max_allowed_packet is {packet_bytes}; set max_allowed_packet = 64M in the server's configuration, "
        "since a result may be that large": int(packet_bytes) < PACKET_BYTES,
    }
    return [words for words, wrong in faults.items() if wrong]


def _postgresql(conn: Connection) -> list[str]:
    version, encoding, zone, commit, fsync = conn.execute(_POSTGRESQL).one()
    if fsync != "on":
        log.warning("fsync is off: a power loss may take acknowledged jobs; set it to on")
    faults = {
        f"version {version} is too old; at least PostgreSQL {POSTGRESQL_LEAST // 10000}": (
            int(version) < POSTGRESQL_LEAST
        ),
        f"the database's encoding is {encoding}; make it with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0": (
            encoding != "UTF8"
        ),
        f"TimeZone is {zone}: expected UTC; something between us resets it": zone != "UTC",
        f"synchronous_commit is {commit}; something between us resets it": commit == "off",
    }
    return [words for words, wrong in faults.items() if wrong]


def _numbers(version: str) -> tuple[int, ...]:
    head = version.partition("-")[0]
    return tuple(int(part) for part in head.split(".") if part.isdigit())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
