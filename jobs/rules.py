"""What follows from the end of an attempt: the moves T3 to T8, T10 and T11 of a job. Pure: values in, a Move out.

The budget: ``starts`` was raised when the attempt was claimed, so that whatever dies, work() never starts more often
than limit_count + 1 times; here it is only taken back, when it is shown that work() was not entered.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from jobs.outcomes import Outcome
from jobs.status import FINAL_REASONS, Reason, Status

#: Given back or not delivered: costs no start and waits for nothing.
UNSPENT: Final = frozenset({Reason.GIVEN_BACK, Reason.DISPATCH_FAILED})
#: A worker that dies before work() costs no start, but not for ever: from this attempt on it does.
FREE_DEATHS: Final = 10


#: What failed with the machine may need a while to mend there: its first wait is so many times the usual one.
_PATIENCE: Final = {Reason.DIED: 5.0, Reason.TIMEOUT: 2.0}


class Backoff(NamedTuple):
    """How long a failed job waits: doubling from the first wait to the longest, each spread by half of it."""

    first_s: float = 1.0
    longest_s: float = 300.0

    def delay_s(self, tries: int, spread: float, reason: Reason = Reason.ERROR) -> float:
        """After so many tries, the last of which failed for this reason. ``spread``: from 0 to 1."""
        whole = min(self.first_s * _PATIENCE.get(reason, 1.0) * 2.0 ** min(tries - 1, 32), self.longest_s)
        return whole * (0.5 + spread)


USUAL: Final = Backoff()


class OpenJob(NamedTuple):
    """A job when an end of its latest attempt arrives. The field order is the store's column order."""

    job_id: int
    status: int
    attempt: int
    starts: int
    limit_count: int
    kill_requested: bool
    machine_id: str
    version: int
    lane_id: int
    rank: int
    job_type: str
    batch: str
    claimed_at: float | None
    started_at: float | None
    #: What this job adds to the counters of its present status.
    return_count: float
    spend_s: float
    #: Not running, because its latest attempt was declared lost (T8).
    lost: bool = False
    #: Its latest move: under which hour it is counted.
    updated_at: float = 0.0
    #: Waiting, and can be claimed.
    queued: bool = False


class Move(NamedTuple):
    """What to write: the job goes from one status to another, its attempt is closed."""

    to: Status
    #: Of the attempt, and what a job that ends shows.
    reason: Reason
    starts: int
    #: Waiting: not before this time; None: at once.
    due_at: float | None


def settle(
    job: OpenJob,
    outcome: Outcome,
    *,
    has_return: bool,
    now: float,
    spread: Callable[[], float],
    backoff: Backoff = USUAL,
) -> Move | None:
    """The move that follows; None: this end changes nothing. ``spread`` gives numbers from 0 to 1."""
    if outcome.reason == Reason.NONE:
        return _succeed(job, has_return)
    if job.status != Status.RUNNING:
        return None  # a late failure of a lost attempt
    if outcome.reason in UNSPENT:
        return _unspent(job, outcome)
    if job.kill_requested:
        return _fail(job, Reason.KILL_UNCONFIRMED if outcome.reason == Reason.LOST else outcome.reason)
    return _fail_or_retry(job, outcome, lambda tries: now + backoff.delay_s(tries, spread(), outcome.reason))


def _succeed(job: OpenJob, has_return: bool) -> Move | None:
    if job.status != Status.RUNNING and (job.kill_requested or not job.lost):
        return None
    return Move(Status.RETURNING if has_return else Status.DONE, Reason.NONE, job.starts, None)


def _unspent(job: OpenJob, outcome: Outcome) -> Move:
    if job.kill_requested:
        return Move(Status.FAILED, Reason.KILLED, _taken_back(job), None)
    return Move(Status.WAITING, outcome.reason, _taken_back(job), None)


def _fail(job: OpenJob, reason: Reason) -> Move:
    return Move(Status.FAILED, reason, job.starts, None)


def _fail_or_retry(job: OpenJob, outcome: Outcome, due_at: Callable[[int], float]) -> Move:
    if outcome.final or outcome.reason in FINAL_REASONS:
        spared = outcome.reason == Reason.ENVIRONMENT_FAILED  # it was never sent anywhere
        return Move(Status.FAILED, outcome.reason, _taken_back(job) if spared else job.starts, None)
    free = not outcome.started and job.attempt < FREE_DEATHS
    starts = _taken_back(job) if free else job.starts
    if starts > job.limit_count:
        return _fail(job, outcome.reason)
    return Move(Status.WAITING, outcome.reason, starts, due_at(max(starts, 1)))


def _taken_back(job: OpenJob) -> int:
    return max(job.starts - 1, 0)
