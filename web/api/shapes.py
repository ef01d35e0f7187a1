"""What the answers of API v1 look like, for its OpenAPI document; a test holds real answers against them.

One model an answer, and a table from each view to its answer. Inputs are not here: the views' own models say them.
"""

from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from web.problems import CODES

State = Literal["connecting", "ready", "paused", "draining", "closed", "unreachable", "untrusted", "refused", "unfit"]
Status = Literal[0, 1, 2, 3, -1, -2]
#: Seconds since the epoch.
Time = float
Number = int | float


class Shape(BaseModel):
    """An answer with these members and no others."""

    model_config = ConfigDict(extra="forbid")


class Open(BaseModel):
    """An answer with at least these members."""

    model_config = ConfigDict(extra="allow")


class Answer(NamedTuple):
    """What a view answers with when all goes well."""

    #: A model, a JSON schema, or None where there is no body.
    shape: type[BaseModel] | dict[str, Any] | None
    status: int = 200
    content_type: str = "application/json"
    #: What the shape itself does not say.
    text: str = "As asked."


class Error(Shape):
    """What went wrong: a code for programs, a message for people, the field that was wrong, an id for the log."""

    code: str = Field(examples=sorted(set(CODES.values())))
    message: str
    field: str | None
    request_id: str | None


class ErrorAnswer(Shape):
    """Every error has this shape."""

    error: Error


# --------------------------------------------------------------------------------------------------------------- jobs


class Submitted(Shape):
    """Jobs with contiguous ids, all stored."""

    first_id: int
    count: int
    #: Where to begin to read results so that none of these jobs is missed.
    cursor: int


class Because(Shape):
    """Why a job waits."""

    code: str
    text: str


class Progress(Shape):
    """How far a running job says it is: ``n`` of ``total``, there in ``eta_s`` seconds after ``at``."""

    n: float
    total: float | None
    eta_s: float | None
    at: Time


class Job(Shape):
    """One job without its texts."""

    id: int
    job_type: str
    batch: str
    tag: str
    priority: int
    limit_count: int
    status: Status
    reason: str
    attempt: int
    starts: int
    kill_requested: bool
    unreachable: bool
    machine_id: str
    version: int
    count: Number
    spend_s: float
    cleared: bool
    due_at: Time | None
    created_at: Time
    claimed_at: Time | None
    started_at: Time | None
    updated_at: Time
    #: The last line of what is known of its failure; empty where it has not failed.
    excerpt: str
    waiting_because: Because | None
    #: How far it says it is; null where it does not run, or does not say.
    progress: Progress | None


class Jobs(Shape):
    """A page of jobs; ``next`` asks for the following one as ``after``."""

    jobs: list[Job]
    next: int | str | None


class JobDetail(Job):
    """One job with its texts."""

    model_config = ConfigDict(extra="allow")

    avoid: list[str]
    error: str | None
    return_error: str | None
    input: dict[str, Any]
    result: Any
    return_data: Any


class Attempt(Open):
    """One ended attempt."""

    attempt: int
    machine_id: str
    version: int
    claimed_at: Time | None
    started_at: Time | None
    ended_at: Time
    spend_s: float
    reason: str
    started: bool
    exit_code: int | None
    signal: int | None
    count: Number
    error: str | None
    return_error: str | None
    has_log: bool
    result: Any
    return_data: Any


class Attempts(Open):
    """The ended attempts of a job, oldest first."""

    attempts: list[Attempt]


class Log(Open):
    """What an attempt printed: ``text`` from ``offset`` on, or ``head`` and ``tail`` where no offset was given."""

    attempt: int
    stream: Literal["stdout", "stderr"]
    #: It has not ended; ``live``: and its machine answers.
    running: bool
    live: bool
    total: int
    #: Where the next part begins.
    next_offset: int


class Acted(Shape):
    """What an action did, or would do; ``operation_id`` where it was on several jobs."""

    matched: int
    changed: int
    skipped: dict[str, int]
    ids: list[int] | None = None
    operation_id: int | None = None
    state: Literal["running", "done", "stopped", "failed"] | None = None


class Operation(Shape):
    """An action on many jobs, and how far it is."""

    operation_id: int
    action: Literal["kill", "rerun", "copy", "delete", "clear", "priority", "end_type"]
    filter: dict[str, str]
    #: How many ids were named; null where it is by filter only.
    named: int | None
    elsewhere: bool
    #: Of a change of priority: the one that waiting jobs get.
    priority: int | None
    total: int | None
    matched: int
    changed: int
    skipped: dict[str, int]
    #: [first, last] of the ids that copies got.
    made: list[Annotated[list[int], Field(min_length=2, max_length=2)]]
    state: Literal["running", "done", "stopped", "failed"]
    why: str
    who: str
    created_at: Time
    updated_at: Time
    ended_at: Time | None
    #: Of all copies, once the operation has ended.
    ids: list[int] | None = None


class Operations(Shape):
    """A page of operations, newest first."""

    operations: list[Operation]
    next: int | None


# ---------------------------------------------------------------------------------------------------------- job types


class Settings(Open):
    """What job.yml says; of the environment only the names."""

    timeout_s: float | None
    return_timeout_s: float | None
    tag: str
    limit_count: int
    env: list[str]
    fresh_process: bool
    max_jobs_per_worker: int
    exclusive: bool
    python: str
    #: Names the packages its folder asks for; empty: none.
    environment: str


class Version(Open):
    """One version of a job type."""

    job_type: str
    version: int
    digest: str
    has_return_main: bool
    size_bytes: int
    created_at: Time
    #: Where machines keep it, below our folder there.
    folder: str
    settings: Settings


class JobTypes(Shape):
    """The newest version of every job type."""

    job_types: list[Version]


class JobType(Shape):
    """All versions of a job type."""

    job_type: str
    version: int
    versions: list[Version]


class Versions(Shape):
    """All versions of a job type, newest first."""

    versions: list[Version]


class Published(Shape):
    """The current version; ``changed`` is false when the content was the same."""

    version: int
    changed: bool


class FunctionType(Published):
    """The built-in job type for functions, and its current version."""

    job_type: str


class FileChange(Shape):
    """A file that differs; sizes and modes are null where there is no such file."""

    path: str
    change: Literal["added", "removed", "changed"]
    old_bytes: int | None
    new_bytes: int | None
    old_executable: bool | None
    new_executable: bool | None
    binary: bool
    #: A unified diff; null for binary files and for what is too long.
    diff: str | None
    too_long: bool


class Parameter(Shape):
    """One parameter of work()."""

    name: str
    #: plain, by_order (before a "/") or by_name (after a "*").
    kind: str
    annotation: str | None
    required: bool
    #: The default as it is written; null where there is none.
    default_text: str | None
    #: The default's value; left out where it is no plain JSON value.
    default: Any = None


class Signature(Shape):
    """What work() takes; parameters are null where main.py cannot be read."""

    job_type: str
    version: int
    parameters: list[Parameter] | None
    doc: str | None


class Diff(Shape):
    """What a version changed in another."""

    version: int
    against: int
    files: list[FileChange]


# ---------------------------------------------------------------------------------------------------------- machines


class Environment(Shape):
    """The packages of one lock on one machine; null is what is not known yet."""

    digest: str
    python: str
    state: Literal["building", "ready", "failed"]
    size_bytes: int | None
    used_at: Time | None
    job_types: list[str]
    why: str | None


class Machine(Open):
    """One machine as last seen; null is what is not known yet."""

    machine_id: str
    name: str
    address: str
    user: str | None
    port: int | None
    gateway: str | None
    root: str
    interpreter: str
    tags: list[str]
    limit_process: int
    state: State
    text: str
    fingerprint: str
    environments: list[Environment]
    assigned: int
    running: int
    platform: str
    python: str
    cpu_cores: int | None
    cpu_ratio: float | None
    load1: float | None
    memory_used_mb: int | None
    memory_free_mb: int | None
    disk_used_mb: int | None
    disk_free_mb: int | None
    contact_at: Time | None
    created_at: Time
    updated_at: Time


class Machines(Open):
    """All machines."""

    machines: list[Machine]


class MachineChanged(Shape):
    """Which keys were set on top of the inventory."""

    machine_id: str
    changed: list[str]


class Asked(Open):
    """A command to the engine: where to look for its answer, or the answer."""

    command_id: int | None
    state: Literal["waiting", "running", "done", "failed"]
    answer: dict[str, Any] | None


class Command(Open):
    """A command to the engine, and how far it is."""

    command_id: int
    kind: str
    machine_id: str
    asked_by: str
    state: Literal["waiting", "running", "done", "failed"]
    progress: list[Any]
    answer: dict[str, Any] | None
    created_at: Time
    begun_at: Time | None
    ended_at: Time | None


class Commands(Open):
    """The latest commands."""

    commands: list[Command]


# ------------------------------------------------------------------------------------------------------------- server


class Retention(Open):
    """What of finished jobs is kept; 0: everything."""

    days: float
    jobs: int


class Server(Open):
    """The server about itself."""

    version: str
    server_id: str | None
    uptime_s: float
    now: Time
    auth: bool
    inventory_problems: list[dict[str, Any]]
    retention: Retention


class Summary(Shape):
    """Counters of a job type or batch. Durations of finished jobs; percentiles are within 3 %."""

    job_type: str
    batch: str | None
    jobs: dict[str, int]
    count: Number
    spend_s: float
    success_rate: float | None
    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    tag: str
    begin_at: Time
    updated_at: Time


class Summaries(Shape):
    """Counters of job types, or of their batches."""

    summary: list[Summary]


class HourRow(Shape):
    """The jobs of one type and status whose latest move was in the hour."""

    job_type: str
    status: Status
    jobs: int
    count: Number
    spend_s: float


class Hour(Shape):
    """One hour; the percentiles are over all job types."""

    begin_at: Time
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    rows: list[HourRow]


class History(Shape):
    """Hours, the oldest first."""

    hours: list[Hour]


class WaitingRow(Shape):
    """Jobs that wait for the same."""

    job_type: str
    tag: str
    avoid: list[str]
    ready: int
    backing_off: int
    code: str
    text: str


class Waiting(Shape):
    """What waits and what for."""

    waiting: list[WaitingRow]


class Me(Open):
    """The caller."""

    name: str
    scopes: list[str]
    csrf: str | None


class Token(Open):
    """A token without its text."""

    name: str
    scopes: list[str]
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None
    revoked_at: Time | None


class Tokens(Open):
    """All tokens."""

    tokens: list[Token]


class NewToken(Open):
    """A new token; its text is shown here and nowhere else."""

    name: str
    token: str
    expires_at: Time | None


class User(Open):
    """A person with a password."""

    name: str
    scopes: list[str]
    created_at: Time
    changed_at: Time
    last_used_at: Time | None


class Users(Open):
    """All users."""

    users: list[User]


# -------------------------------------------------------------------------------------------------------------- pages


class Home(Open):
    """Everything the home page shows."""

    now: Time
    jobs: dict[str, int]
    machines: list[Machine]


class FailureGroup(Open):
    """Failures that look alike."""

    fingerprint: str
    job_type: str
    exception: str
    message: str
    frame: str
    count: int
    first_at: Time
    last_at: Time
    machines: dict[str, int]
    versions: list[int]
    sample: dict[str, Any]
    muted: bool


class Failures(Open):
    """A page of groups, the latest first."""

    groups: list[FailureGroup]
    next: str | None


class Batch(Open):
    """How far a batch is."""

    batch: str
    jobs: dict[str, int]
    begin_at: Time
    updated_at: Time
    rate_per_s: float | None
    eta_s: float | None
    p50_s: float | None
    p95_s: float | None


class Batches(Open):
    """A page of batches, the newest first."""

    batches: list[Batch]
    next: str | None


class Timeline(Open):
    """Attempts as bars, or summed up where there are too many."""

    bars: list[dict[str, Any]]
    bucketed: bool
    buckets: list[dict[str, Any]]


class Activity(Open):
    """A page of the audit log, the newest first."""

    activity: list[dict[str, Any]]
    next: int | None


class Envelope(Shape):
    """Every answer of the old paths; ``code`` is 200 when all went well, and ``status`` is the same number."""

    code: int
    message: str
    data: Any
    status: int


_BINARY: Final[dict[str, Any]] = {"type": "string", "contentMediaType": "application/octet-stream"}
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_ZIP: Final = Answer(_BINARY, content_type="application/zip", text="The zip.")
_NOTHING: Final = Answer(None, 204, text="Done; no body.")

#: View to answer; a test wants every view of API v1 here.
ANSWERS: Final[dict[str, Answer]] = {
    "jobs.submit": Answer(Submitted, 201),
    "jobs.listing": Answer(Jobs),
    "jobs.detail": Answer(JobDetail),
    "jobs.attempts": Answer(Attempts),
    "jobs.log": Answer(Log),
    "jobs.act": Answer(Acted),
    "jobs.bulk": Answer({"anyOf": [Operation, Acted]}, text="The operation; with dry_run, what it would do."),
    "operations.listing": Answer(Operations),
    "operations.one": Answer(Operation),
    "operations.stop": Answer(Operation),
    "results.read": Answer(
        _TEXT,
        content_type="application/x-ndjson",
        text="A JSON object a line, one a finished job; the last says the next cursor and how many are unfinished.",
    ),
    "job_types.everyone": Answer(JobTypes),
    "job_types.one": Answer(JobType),
    "job_types.forget": Answer(Acted),
    "job_types.versions": Answer(Versions),
    "job_types.version": Answer(Version),
    "job_types.diff": Answer(Diff),
    "signatures.of_type": Answer(Signature),
    "job_types.rollback": Answer(Published),
    "job_types.register": Answer(Published),
    "job_types.publish": Answer(Published),
    "functions.publish": Answer(FunctionType),
    "job_types.download": _ZIP,
    "machines.everyone": Answer(Machines),
    "machines.change": Answer(MachineChanged),
    "server.facts": Answer(Server),
    "server.summary": Answer(Summaries),
    "server.history": Answer(History),
    "server.waiting": Answer(Waiting),
    "server.me": Answer(Me),
    "sessions.sign_in": _NOTHING,
    "sessions.sign_out": _NOTHING,
    "tokens.everyone": Answer(Tokens),
    "tokens.create": Answer(NewToken, 201),
    "tokens.revoke": _NOTHING,
    "users.everyone": Answer(Users),
    "users.create": Answer(User, 201),
    "users.change": Answer(User),
    "users.remove": _NOTHING,
    "users.change_own": _NOTHING,
    "commands.add": Answer(Asked, 202),
    "commands.admit": Answer(Asked, 202),
    "commands.doctor": Answer(Asked, 202),
    "commands.doctor_of_server": Answer(Asked, 202),
    "commands.trust": Answer(Asked, 202),
    "commands.purge": Answer(Asked, 202),
    "commands.pause": Answer(Asked),
    "commands.resume": Answer(Asked),
    "commands.drain": Answer(Asked),
    "commands.close": Answer(Asked),
    "commands.latest": Answer(Commands),
    "commands.one": Answer(Command),
    "home.everything": Answer(Home),
    "failures.listing": Answer(Failures),
    "failures.detail": Answer(FailureGroup),
    "failures.mute": Answer(FailureGroup),
    "batches.listing": Answer(Batches),
    "batches.detail": Answer(Batch),
    "timeline.window": Answer(Timeline),
    "activity.listing": Answer(Activity),
    "events.follow": Answer(_TEXT, content_type="text/event-stream", text="Numbered events as they happen."),
    "downloads.log_file": Answer(_TEXT, content_type="text/plain", text="The log as a file."),
    "downloads.result_file": Answer({}, text="The result as the node sent it."),
    "reference.document": Answer({"type": "object"}, text="This document."),
    "reference.page": Answer(_TEXT, content_type="text/html", text="A page that shows this document."),
    "reference.style": Answer(_TEXT, content_type="text/css", text="A part of the reference page."),
    "reference.script": Answer(_TEXT, content_type="text/javascript", text="A part of the reference page."),
    "healthz": Answer(_TEXT, content_type="text/plain", text="Alive."),
    "multi_job.get_job_file": _ZIP,
}
#: A view that is missing above.
UNKNOWN: Final = Answer({}, text="Not described.")
#: All other old paths.
OLD: Final = Answer(Envelope)
