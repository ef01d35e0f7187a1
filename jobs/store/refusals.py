"""What the database's errors mean to callers: what a later try may mend, or a bug of ours that must stay visible."""

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError

from jobs.errors import StoreUnavailable
from jobs.store.guards import REFUSED

#: Locked, full, gone, read-only; or another process was quicker with the same key.
_MENDED_BY_TIME = (OperationalError, InterfaceError, InternalError, IntegrityError)


def meaning(error: Exception) -> Exception:
    """The error to raise in place of this one; itself, where it says all."""
    if not _may_pass(error):
        return error
    unavailable = StoreUnavailable(f"the database refused: {getattr(error, 'orig', error)}")
    unavailable.__cause__ = error
    return unavailable


def _may_pass(error: Exception) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    lost = error.connection_invalidated or isinstance(error, _MENDED_BY_TIME)
    return lost and REFUSED not in str(error.orig)
