"""Where a job is, how an attempt ended, and which moves are legal. Values only; the store enforces the table."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final


class Status(IntEnum):
    """The public state of a job; the numbers are the manual's (0.5.2)."""

    WAITING = 0
    RUNNING = 1
    RETURNING = 2
    DONE = 3
    FAILED = -1
    RETURN_FAILED = -2

    #: An enum's own is written in Python, and members are looked up several times a job.
    __hash__ = int.__hash__


class Reason(StrEnum):
    """Why a job or an attempt ended as it did: a fixed vocabulary that people and programs act on."""

    NONE = ""
    ERROR = "error"
    BAD_RESULT = "bad_result"
    RESULT_TOO_LARGE = "result_too_large"
    TIMEOUT = "timeout"
    DIED = "died"
    KILLED = "killed"
    KILL_UNCONFIRMED = "kill_unconfirmed"
    LOST = "lost"
    DISPATCH_FAILED = "dispatch_failed"
    GIVEN_BACK = "given_back"
    RETURN_ERROR = "return_error"
    TYPE_DELETED = "type_deleted"
    ENVIRONMENT_FAILED = "environment_failed"

    __hash__ = str.__hash__


#: Reasons after which another try cannot help (guarantees T7, T10).
FINAL_REASONS: Final[frozenset[Reason]] = frozenset(
    {
        Reason.BAD_RESULT,
        Reason.RESULT_TOO_LARGE,
        Reason.KILLED,
        Reason.KILL_UNCONFIRMED,
        Reason.TYPE_DELETED,
        Reason.ENVIRONMENT_FAILED,
    }
)

#: Failures of the way to the machine or of the machine itself, rather than of what the job does.
PLUMBING: Final[frozenset[Reason]] = frozenset({Reason.DIED, Reason.LOST, Reason.DISPATCH_FAILED})

#: Nothing moves a job out of these but a person (rerun, delete) or a late success.
TERMINAL: Final[frozenset[Status]] = frozenset({Status.DONE, Status.FAILED, Status.RETURN_FAILED})

#: The law: every other move is impossible in the database, not only unasked for.
MOVES: Final[Mapping[Status, frozenset[Status]]] = {
    # FAILED: killed before it left, or its type deleted; RETURNING and DONE: late success of a lost attempt
    Status.WAITING: frozenset({Status.RUNNING, Status.FAILED, Status.RETURNING, Status.DONE}),
    # WAITING: given back, or the attempt failed or was lost with starts left
    Status.RUNNING: frozenset({Status.WAITING, Status.RETURNING, Status.DONE, Status.FAILED}),
    Status.RETURNING: frozenset({Status.DONE, Status.RETURN_FAILED}),
    # WAITING: rerun; RETURNING and DONE: late success of a lost attempt
    Status.FAILED: frozenset({Status.WAITING, Status.RETURNING, Status.DONE}),
    Status.DONE: frozenset({Status.WAITING}),
    Status.RETURN_FAILED: frozenset({Status.WAITING}),
}
