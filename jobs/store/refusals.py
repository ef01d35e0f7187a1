"""What the database's errors mean: whether the writer tries again at once, and what a later try may mend."""

from enum import Enum, auto
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from jobs.errors import StoreUnavailable
from jobs.store.guards import REFUSED

#: Locked, full, gone, read-only; or another process was quicker with the same key.
_MENDED_BY_TIME = (OperationalError, InterfaceError, InternalError, IntegrityError)
#: Two transactions stood in each other's way: the states of PostgreSQL, the numbers of MariaDB and MySQL.
_CLASHES: Final = frozenset({"40001", "40P01", 1020, 1213})


class Verdict(Enum):
    """What to do about an error in a transaction that was not committed."""

    #: Somebody else was in the way, or the connection was cut: the same may succeed at once.
    AGAIN = auto()
    #: The database takes nothing now, from nobody.
    AWAY = auto()
    #: The operation's own.
    OWN = auto()


def judge(error: Exception) -> Verdict:
    """What to do about it."""
    if isinstance(error, StoreUnavailable | NoConnectionLeft):
        return Verdict.AWAY
    if not _may_pass(error):
        return Verdict.OWN
    assert isinstance(error, DBAPIError)  # noqa: S101  (nothing else may pass)
    again = error.connection_invalidated or isinstance(error, IntegrityError) or _code(error) in _CLASHES
    return Verdict.AGAIN if again else Verdict.AWAY


def meaning(error: Exception) -> Exception:
    """The error to raise in place of this one; itself, where it says all."""
    if not (_may_pass(error) or isinstance(error, NoConnectionLeft)):
        return error
    unavailable = StoreUnavailable(f"the database refused: {getattr(error, 'orig', error)}")
    unavailable.__cause__ = error
    return unavailable


def _may_pass(error: Exception) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    lost = error.connection_invalidated or isinstance(error, _MENDED_BY_TIME)
    return lost and REFUSED not in str(error.orig)


def _code(error: DBAPIError) -> object:
    arguments = getattr(error.orig, "args", None) or (None,)
    return getattr(error.orig, "sqlstate", None) or arguments[0]
