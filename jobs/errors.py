"""What this room refuses, told apart by who must act. Facts as attributes, the text says what to do."""


class JobsError(Exception):
    """The root of this room's errors."""


class InvalidInput(JobsError):
    """A value a person gave is wrong: ``field`` names it, the message says what is expected."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class NotFound(JobsError):
    """What was asked for does not exist."""


class UnknownJobType(NotFound):
    """No version of this job type was ever published."""

    def __init__(self, job_type: str) -> None:
        super().__init__(f"job type {job_type!r} is not known; publish or register it first")
        self.job_type = job_type


class Conflict(JobsError):
    """What was asked contradicts what is stored, such as an idempotency key used again with another body."""


class StoreUnavailable(JobsError):
    """The database cannot take this now (locked, full, restarting, read-only). Nothing was stored; try again later."""


class Superseded(StoreUnavailable):
    """Another server has taken the lead over this database: from this process nothing is written any more."""


class StoreUnfit(JobsError):
    """The database, or its address, cannot be used as it is; the message says what to change."""


class StoreTooNew(JobsError):
    """The database was written by a newer release; this one must not touch it."""


class TooMuch(JobsError):
    """So much waits already that this was not taken; try again later."""
