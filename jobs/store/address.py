"""The address of a database, checked: which kinds there are, which driver speaks to each. Nothing is connected."""

from importlib.util import find_spec
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from jobs.errors import StoreUnfit

#: What an address may begin with → what SQLAlchemy calls it.
_DRIVERS: Final = {
    "sqlite": "sqlite",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
#: Driver → the extra of our distribution that brings it.
_EXTRAS: Final = {"pymysql": "mysql", "psycopg": "postgresql"}
_EXAMPLES: Final = "sqlite:////path/multijob.db, mysql://user@host/name or postgresql://user@host/name"


def parse(text: str) -> URL:
    """The address with its driver. Raises StoreUnfit; a password in it is never shown."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # its words would repeat the whole text
        raise StoreUnfit(f"db: this is not the address of a database; expected {_EXAMPLES}") from None
    known = _DRIVERS.get(url.drivername)
    if known is None:
        raise StoreUnfit(f"db: {url.drivername} is not a kind of database we know; expected {_EXAMPLES}")
    driver = known.partition("+")[2]
    if driver and find_spec(driver) is None:
        raise StoreUnfit(
            f"db: the driver {driver} is not installed; install the server with it: multijob-server[{_EXTRAS[driver]}]"
        )
    if driver and not url.database:
        raise StoreUnfit("db: the address names no database; put its name at the end: …@host/name")
    return url.set(drivername=known)
