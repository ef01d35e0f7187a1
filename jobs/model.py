"""The values of this room: jobs, attempts, versions, machines as seen, and what is asked and answered.

Frozen values only: no SQL, files or clock. What crosses a hot path is a NamedTuple, what people read a dataclass.
Times are float seconds since the epoch (UTC); texts that hold JSON stay texts and are never parsed on the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Any, NamedTuple

from jobs.spends import NONE as NO_PERCENTILES
from jobs.spends import Percentiles
from jobs.status import Reason, Status

#: (job id, attempt number): the name of one try, and its fence.
AttemptKey = tuple[int, int]


# ---------------------------------------------------------------------------------------------------- asking for work


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """Jobs of one type to be stored together, whole or not at all."""

    job_type: str
    #: One JSON text a job: ``{"args": [...], "kwargs": {...}}``, either key may be missing.
    inputs: Sequence[str]
    #: Empty: today in the server's time zone.
    batch: str = ""
    #: None: the job type's own default.
    tag: str | None = None
    priority: int = 0
    #: None: the job type's own default.
    limit_count: int | None = None
    #: Not on any other machine that is known now; None: wherever they fit.
    machine_id: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was stored: ``count`` jobs with contiguous ids from ``first_id``."""

    first_id: int
    count: int
    #: Where to begin to read results so that none of these jobs is missed.
    cursor: int


# ------------------------------------------------------------------------------------------------- queue and attempts


class Lane(NamedTuple):
    """All jobs of one type that ask for one tag and avoid the same machines; the scheduler looks only at its head."""

    lane_id: int
    job_type: str
    tag: str
    #: Machines that its jobs must not go to: they failed there and were rerun elsewhere, or are for one other only.
    avoid: frozenset[str] = frozenset()


class Candidate(NamedTuple):
    """A job at the head of its lane. The smaller rank goes first (rank = -priority), then the smaller id."""

    job_id: int
    rank: int
    limit_count: int


class Pick(NamedTuple):
    """The scheduler's wish: this job, on this machine, with this version."""

    job_id: int
    machine_id: str
    version: int


class Claimed(NamedTuple):
    """An attempt that is open now; committed before anything is sent to the node."""

    job_id: int
    attempt: int
    machine_id: str
    version: int
    job_type: str
    input: str
    limit_count: int


class OpenAttempt(NamedTuple):
    """An attempt that has not ended, as the store knows it; the base of every reconciliation with a node."""

    job_id: int
    attempt: int
    machine_id: str
    version: int
    job_type: str
    #: The node has said that work() was entered.
    started: bool
    kill_requested: bool
    unreachable: bool
    claimed_at: float
    limit_count: int


class Reported(NamedTuple):
    """One record that was accepted: what the engine needs to free a slot and learn durations."""

    job_id: int
    attempt: int
    #: "start", "end" or "back".
    kind: str
    spend_s: float
    #: How it ended; NONE: well, or not yet.
    reason: Reason = Reason.NONE


class ReportAnswer(NamedTuple):
    """The answer to a report: records up to ``stored`` are durable, attempts in ``stop`` no longer count."""

    stored: int
    stop: list[AttemptKey]


class PendingReturn(NamedTuple):
    """A return_main call that was taken and must be answered with a ReturnAnswer."""

    job_id: int
    attempt: int
    job_type: str
    version: int
    #: JSON text, exactly as the node sent it.
    return_data: str
    #: Which try this is, from 1.
    return_tries: int


class ReturnOutcome(Enum):
    """How a return_main call ended."""

    DONE = auto()
    FAILED = auto()
    #: Cut short by us, not by the call.
    INTERRUPTED = auto()


class ReturnAnswer(NamedTuple):
    """The end of one call that was taken; ``error`` is for people."""

    job_id: int
    attempt: int
    outcome: ReturnOutcome
    error: str = ""


# ------------------------------------------------------------------------------------------------------ what is shown


class Job(NamedTuple):
    """One job as lists show it; everything but the texts."""

    job_id: int
    job_type: str
    batch: str
    tag: str
    priority: int
    limit_count: int
    status: Status
    reason: Reason
    attempt: int
    starts: int
    kill_requested: bool
    unreachable: bool
    machine_id: str
    #: -1 before the first claim.
    version: int
    return_count: float
    spend_s: float
    cleared: bool
    #: Waiting: not before this time (back-off). Else None.
    due_at: float | None
    created_at: float
    claimed_at: float | None
    started_at: float | None
    updated_at: float


class Progress(NamedTuple):
    """How far a running attempt says it is."""

    n: float
    #: Of how much; None: it does not say.
    total: float | None
    #: Until it is there, at its pace so far, seen from ``at``.
    eta_s: float | None
    #: When it came so far, by the server's clock.
    at: float


class Attempt(NamedTuple):
    """One try that has ended."""

    job_id: int
    attempt: int
    machine_id: str
    version: int
    claimed_at: float | None
    started_at: float | None
    ended_at: float
    spend_s: float
    #: NONE: it succeeded.
    reason: Reason
    #: work() was entered, or may have been.
    started: bool
    exit_code: int | None
    signal: int | None
    #: JSON text; None unless it succeeded, or after ``clear``.
    result: str | None
    return_data: str | None
    return_count: float
    error: str | None
    #: JSON text ``{"stdout": {"head", "tail", "total"}, "stderr": {...}}``; None: silent.
    log: str | None
    return_error: str | None
    #: JSON text, how the machine was when it failed: load1, memory_free_mb, disk_free_mb, python, runner.
    machine: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobDetail:
    """One job with its texts."""

    job: Job
    #: JSON text.
    input: str
    #: The latest ended attempt, which holds the result; None before the first ended.
    latest: Attempt | None
    #: Why it waits; None unless it is waiting.
    waiting: "WaitingBecause | None"
    #: Machines it must not go to.
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several texts, or (``without``) anything but them."""

    texts: frozenset[str]
    without: bool = False

    def takes(self, text: str) -> bool:
        """Whether this text fits."""
        return (text in self.texts) != self.without


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """Which jobs are meant. All given conditions must hold; an empty filter means all jobs.

    A plain text means exactly this one. ``jobs.filters`` reads filters as people write them.
    """

    ids: Sequence[int] | None = None
    status: frozenset[Status] = frozenset()
    job_type: Choice | str | None = None
    batch: Choice | str | None = None
    machine_id: Choice | str | None = None
    tag: Choice | str | None = None
    versions: frozenset[int] | None = None
    cleared: bool | None = None
    #: A job's id, a batch, or the fingerprint of a failure: exactly this.
    q: str | None = None
    #: Bounds of the latest move: from this time on, and before that one.
    since: float | None = None
    until: float | None = None

    @property
    def empty(self) -> bool:
        """Whether it names no condition at all; actions on many jobs refuse such a filter."""
        return not self.status and all(
            one is None for one in (self.ids, self.cleared, *self._on_jobs, *self._on_batches)
        )

    @property
    def on_counters(self) -> bool:
        """Whether the counters know how many jobs it means."""
        return all(one is None for one in (self.ids, self.cleared, *self._on_jobs))

    @property
    def _on_jobs(self) -> tuple[object, ...]:
        return self.machine_id, self.tag, self.versions, self.q, self.since, self.until

    @property
    def _on_batches(self) -> tuple[object, ...]:
        return self.job_type, self.batch


class Sort(StrEnum):
    """In which order a list is given; a "-" in front: the greatest first."""

    ID = "id"
    ID_DOWN = "-id"
    UPDATED_AT = "updated_at"
    UPDATED_AT_DOWN = "-updated_at"
    SPEND_S = "spend_s"
    SPEND_S_DOWN = "-spend_s"

    @property
    def column(self) -> str:
        """What is compared."""
        return self.value.removeprefix("-")

    @property
    def down(self) -> bool:
        """Whether the greatest comes first."""
        return self.value.startswith("-")


class Place(NamedTuple):
    """Where in a sorted list a page ended: the value of the last row, and its id."""

    value: float
    job_id: int


class Census(NamedTuple):
    """What decides whether an action fits a job."""

    status: Status
    #: Its return_main runs now.
    returning_now: bool = False


class JobRow(NamedTuple):
    """A job as the manual's list shows it: with its input and error, without its result."""

    job: Job
    #: JSON text.
    input: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A part of a list, newest first; ``after`` asks for the next one, None: this is the end.

    ``place`` is the same for a list that is sorted by something else than the id.
    """

    jobs: list[Job]
    after: int | None
    place: Place | None = None


class ResultRow(NamedTuple):
    """One finished job in the stream of results."""

    done_seq: int
    job_id: int
    status: int
    reason: str
    attempt: int
    machine_id: str
    version: int
    return_count: float
    spend_s: float
    #: JSON text, or None where there is no result.
    result: str | None
    error: str | None


class ResultPage(NamedTuple):
    """Finished jobs in the order they finished, where to go on, and how many are unfinished (None: not counted)."""

    rows: list[ResultRow]
    cursor: int
    pending: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Counters of one job type, or of one batch of it, kept up to date with every commit."""

    job_type: str
    #: None: over all batches.
    batch: str | None
    jobs: Mapping[Status, int]
    #: Sum of the counts that finished jobs returned.
    return_count: float
    #: Sum of the seconds that finished jobs spent.
    spend_s: float
    #: The tags of its batches' first jobs, with commas.
    tag: str = ""
    #: When its first job was submitted, and when a job of it moved last.
    begin_at: float = 0.0
    updated_at: float = 0.0
    #: How long finished jobs took, within 3 %.
    percentiles: Percentiles = NO_PERCENTILES

    @property
    def success_rate(self) -> float | None:
        """The share of jobs that ended well among those that ended; None: none ended."""
        done = self.jobs.get(Status.DONE, 0)
        ended = done + self.jobs.get(Status.FAILED, 0) + self.jobs.get(Status.RETURN_FAILED, 0)
        return done / ended if ended else None

    @property
    def mean_s(self) -> float | None:
        """Seconds a finished job took on average."""
        done = self.jobs.get(Status.DONE, 0)
        return self.spend_s / done if done else None


class HourRow(NamedTuple):
    """The jobs of one type and status whose latest move was in one hour."""

    #: Hours since the epoch.
    hour: int
    job_type: str
    status: Status
    jobs: int
    return_count: float
    spend_s: float


class WaitCode(StrEnum):
    """Why a job waits: a fixed vocabulary."""

    BACKING_OFF = "backing_off"
    NO_VERSION = "no_version"
    NO_MACHINES = "no_machines"
    NO_TAG = "no_tag"
    ALL_AVOIDED = "all_avoided"
    ALL_UNREACHABLE = "all_unreachable"
    ALL_PAUSED = "all_paused"
    ALL_UNFIT = "all_unfit"
    NO_PYTHON = "no_python"
    ALL_BENCHED = "all_benched"
    ALL_FULL = "all_full"
    BUILDING_ENVIRONMENT = "building_environment"
    NEXT = "next"


class WaitingBecause(NamedTuple):
    """The answer to "why does it not run?"."""

    code: WaitCode
    text: str


class Note(NamedTuple):
    """What a list of jobs says of one besides its values."""

    #: The last line of what is known of its failure; empty where it has not failed.
    excerpt: str
    waiting: WaitingBecause | None


class WaitingLane(NamedTuple):
    """Jobs that wait for the same: how many of them could go at once, or wait for a time, and what for."""

    job_type: str
    tag: str
    avoid: frozenset[str]
    ready: int
    backing_off: int
    because: WaitingBecause


class Action(StrEnum):
    """What people do to jobs."""

    KILL = "kill"
    RERUN = "rerun"
    COPY = "copy"
    DELETE = "delete"
    CLEAR = "clear"
    #: Waiting jobs get another priority; comes with the number.
    PRIORITY = "priority"
    #: End the waiting jobs of a type that was deleted; asked for by deleting it only.
    END_TYPE = "end_type"


class ActionResult(NamedTuple):
    """How many jobs an action matched and changed, and why others were left alone."""

    matched: int
    changed: int
    #: Cause → number of jobs, such as {"running": 2}.
    skipped: dict[str, int]


class Copied(NamedTuple):
    """What a copy made: the new ids."""

    matched: int
    ids: list[int]


class OperationState(StrEnum):
    """How far an operation is."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """An action on many jobs, done in chunks, and how far it is."""

    operation_id: int
    action: Action
    #: Without the ids, and how many of them were named (None: it is not by ids).
    filter: JobFilter
    named: int | None
    #: Rerun on other machines than those that failed the job.
    elsewhere: bool
    #: For PRIORITY: which one they get.
    priority: int | None
    cursor: int
    upto: int
    #: How many jobs there were at the beginning, where that was known.
    total: int | None
    matched: int
    changed: int
    skipped: Mapping[str, int]
    #: (first, last) of the ids that copies got.
    made: Sequence[tuple[int, int]]
    state: OperationState
    why: str
    who: str
    source: str
    created_at: float
    updated_at: float
    ended_at: float | None

    @property
    def made_ids(self) -> list[int]:
        """The ids of all copies."""
        return [job_id for first, last in self.made for job_id in range(first, last + 1)]


# ---------------------------------------------------------------------------------------------------------- job types


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSettings:
    """What job.yml says, checked. Every field has a default: most job types have no job.yml."""

    timeout_s: float | None = None
    return_timeout_s: float | None = None
    tag: str = ""
    limit_count: int = 1
    env: Mapping[str, str] = field(default_factory=dict)
    fresh_process: bool = False
    #: 0: no bound.
    max_jobs_per_worker: int = 0
    exclusive: bool = False
    #: Version specifier for the node's interpreter, such as ">=3.9"; empty: any.
    python: str = ""
    #: Of the packages its folder asks for (jobs.packages); empty: none.
    environment: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobVersion:
    """One immutable snapshot of a job folder."""

    job_type: str
    version: int
    #: Of the whole folder: unchanged content makes no new version.
    digest: str
    #: Of what a node gets (with .info, without return_main.py).
    node_digest: str
    has_return_main: bool
    settings: JobSettings
    size_bytes: int
    created_at: float

    @property
    def ref(self) -> str:
        """How assignments name it."""
        return f"{self.job_type}@{self.version}"

    @property
    def folder(self) -> str:
        """Where a node keeps it, below its root."""
        return f"versions/{self.job_type}/{self.version}-{self.node_digest[:16]}"


class Published(NamedTuple):
    """The current version after a publish; ``changed`` is False when the content was the same."""

    version: int
    changed: bool


# ----------------------------------------------------------------------------------------- machines, runners, people


class MachineState(StrEnum):
    """What the engine last knew about a machine, in one word."""

    CONNECTING = "connecting"
    READY = "ready"
    PAUSED = "paused"
    DRAINING = "draining"
    CLOSED = "closed"
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    REFUSED = "refused"
    UNFIT = "unfit"


class EnvironmentState(StrEnum):
    """How far the packages of a lock are on a machine."""

    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentView:
    """The packages of one lock on one machine."""

    digest: str
    #: The version of Python they are for; empty while that is not known.
    python: str = ""
    state: EnvironmentState
    size_bytes: int | None = None
    used_at: float | None = None
    #: Whose newest versions ask for them.
    job_types: tuple[str, ...] = ()
    #: Why they could not be installed: the installer's own words.
    why: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineView:
    """A machine as the engine last saw it: written by the engine, read by the page. None: not known yet."""

    machine_id: str
    name: str = ""
    address: str = ""
    #: How the server gets there, as the inventory says; None: as ssh would by itself.
    user: str | None = None
    port: int | None = None
    gateway: str | None = None
    root: str = "~/.multijob"
    #: Path of the Python that runs its jobs; empty: not known yet.
    interpreter: str = ""
    tags: frozenset[str] = frozenset()
    limit_process: int = 1
    state: MachineState = MachineState.CONNECTING
    #: What a person should know or do, such as the reason of a pause.
    text: str = ""
    #: Presented host key while untrusted.
    fingerprint: str = ""
    #: Job types it gets none of because they fail here unlike elsewhere ("": it gets nothing at all), and why.
    benched: Mapping[str, str] = field(default_factory=dict)
    #: Something that cannot be mended from here: a process that cannot be ended, work that ends with the connection.
    marks: tuple[str, ...] = ()
    environments: tuple[EnvironmentView, ...] = ()
    assigned: int = 0
    running: int = 0
    platform: str = ""
    python: str = ""
    cpu_cores: int | None = None
    #: Share of all processors in use, from 0 to 1.
    cpu_ratio: float | None = None
    load1: float | None = None
    memory_used_mb: int | None = None
    memory_free_mb: int | None = None
    disk_used_mb: int | None = None
    disk_free_mb: int | None = None
    #: Last answer of the machine itself.
    contact_at: float | None = None
    created_at: float = 0.0
    updated_at: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRow:
    """A machine that gets no jobs of a type ("": of any) until a time, because those fail there unlike elsewhere."""

    machine_id: str
    job_type: str
    why: str
    #: How often in a row.
    level: int
    since_at: float
    until_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineOverride:
    """What people set on top of the inventory, for one key of one machine. Values are JSON text."""

    machine_id: str
    key: str
    value: str
    #: What the file said when the engine first saw this; it holds while the file says so. None: not seen yet.
    file_value: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunnerInfo:
    """A runner that was given a key; the key itself is derived from the salt and a secret that is not stored here."""

    runner_id: str
    machine_id: str
    key_salt: str
    created_at: float
    ended_at: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenInfo:
    """A named token without its secret."""

    name: str
    scopes: frozenset[str]
    created_at: float
    expires_at: float | None = None
    last_used_at: float | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UserInfo:
    """A person with a password, without it."""

    name: str
    scopes: frozenset[str]
    created_at: float
    #: When the password was set.
    changed_at: float
    last_used_at: float | None = None


class SessionOrigin(StrEnum):
    """What a browser signed in with."""

    USER = "user"
    TOKEN = "token"  # noqa: S105  (a word, not a secret)
    CODE = "code"


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionInfo:
    """A browser that is signed in, without its secret. ``name``: of the user or token it signed in with."""

    origin: SessionOrigin
    name: str
    scopes: frozenset[str]
    created_at: float
    used_at: float
    expires_at: float


class CommandState(StrEnum):
    """How far the engine is with what was asked of it."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """Something a person asked of the engine. ``machine_id`` is empty where it concerns the server itself."""

    command_id: int
    kind: str
    machine_id: str
    args: Mapping[str, Any]
    asked_by: str
    state: CommandState
    #: What the engine said on the way: JSON values, one a step.
    progress: Sequence[Any]
    #: A JSON object once it is done or failed (then with ``error``).
    answer: Mapping[str, Any] | None
    created_at: float
    begun_at: float | None
    ended_at: float | None

    @property
    def ended(self) -> bool:
        return self.state in (CommandState.DONE, CommandState.FAILED)

    def has_news(self, seen: int) -> bool:
        """For somebody who has seen so many lines of its progress."""
        return self.ended or len(self.progress) > seen


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """Who did what, from where, to how many, and how it went."""

    at: float
    who: str
    source: str
    action: str
    detail: Mapping[str, Any]
    rows: int
    outcome: str
