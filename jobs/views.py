"""The values that pages look at: failures in groups, batches, the timeline, what the home page needs. Values only.

Times are float seconds since the epoch (UTC), durations seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jobs.model import HourRow, MachineView
from jobs.spends import Percentiles
from jobs.status import Reason, Status


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureGroup:
    """Failed attempts that look alike."""

    fingerprint: str
    job_type: str
    reason: Reason
    exception: str
    message: str
    frame: str
    #: Jobs that are failed now.
    jobs: int
    #: Attempts that ever ended so.
    attempts: int
    first_at: float
    last_at: float
    sample_job: int
    sample_attempt: int
    #: Nobody wants to hear of it until its job type has a newer version.
    muted: bool
    #: Attempts by machine and by version; a return_main that failed has no machine.
    machines: Mapping[str, int]
    versions: Mapping[int, int]
    #: Attempts by hour since the epoch, of the hours asked for.
    hours: Mapping[int, int]


class FailuresAsked(NamedTuple):
    """Which groups: those in which something failed within these hours since the epoch."""

    first_hour: int
    last_hour: int
    job_type: str | None = None
    #: Also those in which no job is failed now.
    all: bool = False
    size: int = 200
    #: ``(last_at, fingerprint)`` of the last one seen.
    after: tuple[float, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchView:
    """How far a batch is."""

    batch: str
    jobs: Mapping[Status, int]
    #: Sum of the counts that its finished jobs returned, and of the seconds they spent.
    return_count: float
    spend_s: float
    begin_at: float
    updated_at: float
    #: Jobs that finish a second, over the last minutes; None: none did.
    rate_per_s: float | None = None
    #: Until the last one finishes at that rate.
    eta_s: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None


class BatchPlace(NamedTuple):
    """Where in the list of batches a page ended."""

    begin_at: float
    batch: str


class Share(NamedTuple):
    """What a machine did of a batch."""

    jobs: int
    spend_s: float


class Shares(NamedTuple):
    """Who did a batch. ``counted`` of its jobs were looked at; where that is not all, the numbers are reckoned up."""

    machines: Mapping[str, Share]
    counted: int
    exact: bool


class Bar(NamedTuple):
    """One attempt on the timeline; ``end_at`` is None while it runs."""

    machine_id: str
    job_id: int
    attempt: int
    job_type: str
    version: int
    status: Status
    reason: str
    begin_at: float
    end_at: float | None


class Bucket(NamedTuple):
    """The attempts that ended on a machine within one stretch of time."""

    machine_id: str
    begin_at: float
    attempts: int
    failed: int
    spend_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """Attempts in a window: each as a bar, or where there are too many, summed up by machine and stretch of time."""

    since: float
    until: float
    bars: Sequence[Bar]
    buckets: Sequence[Bucket]
    #: How long each bucket is; None: bars.
    bucket_s: float | None
    #: Attempts that ended in the window.
    ended: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """All jobs there are, by status; what the finished ones returned and spent."""

    jobs: Mapping[Status, int]
    return_count: float
    spend_s: float


class TypeRow(NamedTuple):
    """How long the jobs of a type took that finished in the window."""

    job_type: str
    jobs: int
    p50_s: float | None
    p95_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """All that the home page shows, as of one moment."""

    now: float
    #: Where the window begins, in hours since the epoch; it ends now.
    first_hour: int
    totals: Totals
    #: Of the window, by hour, type and status.
    hours: Sequence[HourRow]
    #: How long the jobs that finished in an hour took.
    took: Mapping[int, Percentiles]
    types: Sequence[TypeRow]
    failures: Sequence[FailureGroup]
    #: Those that want somebody's attention first.
    machines: Sequence[MachineView]
    machine_states: Mapping[str, int]
    batches: Sequence[BatchView]
    #: How many batches have unfinished jobs.
    running_batches: int
