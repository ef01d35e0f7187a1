"""A service that remembers in plain lists: what the web needs of jobs.service.JobService, and nothing else.

Validation is the real one (jobs.submitting), so that answers to wrong input are the same as the real service's.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from jobs import submitting
from jobs.doors.actions import Acted
from jobs.errors import Conflict, InvalidInput, NotFound, UnknownJobType
from jobs.live import Live
from jobs.model import (
    Action,
    ActionResult,
    Attempt,
    AuditEntry,
    Choice,
    Job,
    JobDetail,
    JobFilter,
    JobSettings,
    JobVersion,
    MachineView,
    Note,
    Page,
    Published,
    ReportAnswer,
    ResultPage,
    ResultRow,
    Sort,
    Submission,
    Submitted,
    Summary,
    TokenInfo,
)
from jobs.status import TERMINAL, Reason, Status
from remote_runner.protocol import Record
from tests.support.fake_doors import FakeCommands, FakePeople


class FakeService:
    """Tests reach into its attributes to set a scene and to look at what arrived."""

    def __init__(self) -> None:
        self.all_jobs: dict[int, Job] = {}
        self.inputs: dict[int, str] = {}
        self.ended: dict[int, list[Attempt]] = {}
        self.finished: list[ResultRow] = []
        self.machine_rows: list[MachineView] = []
        self.types: dict[str, list[JobVersion]] = {"new_job": [version_of("new_job", 0)]}
        self.zips: dict[tuple[str, int], bytes] = {}
        self.token_rows: dict[str, TokenInfo] = {}
        self.codes: dict[str, frozenset[str]] = {}
        self.audited: list[AuditEntry] = []
        self.reports: list[tuple[str, str, list[Record]]] = []
        self.keys: dict[str, tuple[str, Submitted]] = {}
        self.stop: list[tuple[int, int]] = []
        #: Raised by every verb that writes, when set.
        self.failure: Exception | None = None
        self.token_checks = 0
        self._changed = threading.Condition()
        self.people = FakePeople(self._token_lives)
        self.commands = FakeCommands()
        self.live = Live(self.commands)
        self.live.on_watch = lambda _machine, _message: False

    # ------------------------------------------------------------------------------------------------------------ jobs

    def submit(self, submission: Submission, *, key: str | None = None) -> Submitted:
        self._fail()
        if submission.job_type not in self.types:
            raise UnknownJobType(submission.job_type)
        checked = submitting.check(submission, JobSettings(), key, today="2026-11-22")
        if key is not None and key in self.keys:
            digest, known = self.keys[key]
            if digest != checked.body_sha256:
                raise Conflict("this Idempotency-Key was used with another body")
            return known
        first_id = len(self.all_jobs) + 1
        for job_id, text in enumerate(checked.inputs, first_id):
            self.inputs[job_id] = text
            self.all_jobs[job_id] = job_of(
                job_id,
                job_type=checked.job_type,
                batch=checked.batch,
                tag=checked.tag,
                priority=-checked.rank,
                limit_count=checked.limit_count,
            )
        submitted = Submitted(first_id, len(checked.inputs), len(self.finished))
        if key is not None:
            self.keys[key] = (checked.body_sha256, submitted)
        return submitted

    def finish(self, job_id: int, result: str | None, *, error: str | None = None, count: float = 1) -> None:
        """A job's remote part ends: with a result, or with an error."""
        status, reason = (Status.FAILED, Reason.ERROR) if error is not None else (Status.DONE, Reason.NONE)
        job = self.all_jobs[job_id]._replace(
            status=status, reason=reason, attempt=1, starts=1, machine_id="lab-1", version=0, return_count=count
        )
        ended = attempt_of(job_id, result=result, error=error, reason=reason)
        with self._changed:
            self.all_jobs[job_id] = job
            self.ended[job_id] = [ended]
            seq = len(self.finished) + 1
            row = ResultRow(seq, job_id, int(status), reason, 1, "lab-1", 0, count, 0.25, result, error)
            self.finished.append(row)
            self._changed.notify_all()

    def now(self) -> float:
        return time.time()

    def jobs(
        self,
        chosen: JobFilter | None = None,
        size: int = 50,
        after: int | None = None,
        order: Sort = Sort.ID_DOWN,
    ) -> Page:
        assert order == Sort.ID_DOWN, "the fake sorts nothing"
        submitting.check_page(size, after)
        wanted = chosen or JobFilter()
        found = [
            job
            for job in sorted(self.all_jobs.values(), key=lambda one: -one.job_id)
            if _fits(job, wanted) and (after is None or job.job_id < after)
        ]
        return Page(jobs=found[:size], after=found[size - 1].job_id if len(found) > size else None)

    def notes(self, jobs: Sequence[Job]) -> dict[int, Note]:
        return {}

    def head(self, job_id: int) -> Job:
        return self.job(job_id).job

    def job(self, job_id: int) -> JobDetail:
        if job_id not in self.all_jobs:
            raise NotFound(f"there is no job {job_id}")
        ended = self.ended.get(job_id)
        latest = ended[-1] if ended else None
        return JobDetail(job=self.all_jobs[job_id], input=self.inputs[job_id], latest=latest, waiting=None)

    def attempts(self, job_id: int) -> list[Attempt]:
        self.job(job_id)
        return self.ended.get(job_id, [])

    def attempt(self, job_id: int, attempt: int) -> Attempt:
        for one in self.ended.get(job_id, []):
            if one.attempt == attempt:
                return one
        raise NotFound(f"job {job_id} has no ended attempt {attempt}")

    def results(
        self,
        cursor: int = 0,
        *,
        batch: str | None = None,
        ranges: Sequence[tuple[int, int]] | None = None,
        limit: int = 1000,
    ) -> ResultPage:
        wanted = submitting.check_wanted(cursor, batch, ranges, limit)
        rows = [row for row in self.finished[cursor:] if self._wanted(row.job_id, wanted)][:limit]
        pending = sum(
            1 for job in self.all_jobs.values() if job.status not in TERMINAL and self._wanted(job.job_id, wanted)
        )
        return ResultPage(rows, rows[-1].done_seq if rows else len(self.finished), pending)

    def _wanted(self, job_id: int, wanted: submitting.Wanted) -> bool:
        if wanted.batch is not None:
            return self.all_jobs[job_id].batch == wanted.batch
        return wanted.ranges is None or any(first <= job_id <= last for first, last in wanted.ranges)

    def wait_results(
        self,
        cursor: int = 0,
        *,
        batch: str | None = None,
        ranges: Sequence[tuple[int, int]] | None = None,
        limit: int = 1000,
        timeout_s: float = 25.0,
    ) -> ResultPage:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                page = self.results(cursor, batch=batch, ranges=ranges, limit=limit)
                left_s = deadline - time.monotonic()
                if page.rows or page.pending == 0 or left_s <= 0:
                    return page
                self._changed.wait(left_s)

    def summary(
        self, job_type: str | None = None, batch: str | None = None, by_batch: bool = True, *, percentiles: bool = True
    ) -> list[Summary]:
        groups: dict[tuple[str, str | None], dict[Status, int]] = {}
        for job in self.all_jobs.values():
            if job_type in (None, job.job_type) and batch in (None, job.batch):
                counts = groups.setdefault((job.job_type, job.batch if by_batch else None), {})
                counts[job.status] = counts.get(job.status, 0) + 1
        return [
            Summary(job_type=name, batch=part, jobs=counts, return_count=0.0, spend_s=0.0)
            for (name, part), counts in groups.items()
        ]

    def act(self, action: Action, which: Sequence[int] | JobFilter, **_: object) -> Acted:
        fitting = {
            Action.KILL: {Status.WAITING, Status.RUNNING},
            Action.RERUN: set(TERMINAL),
            Action.DELETE: set(Status) - {Status.RUNNING},
        }
        if action == Action.COPY:
            return self._copy(which)
        return Acted(self._act(which, fitting[action]), [], None)

    def _copy(self, which: Sequence[int] | JobFilter) -> Acted:
        found = self._chosen(which)
        first = len(self.all_jobs) + 1
        for at, job in enumerate(found, first):
            self.all_jobs[at] = job_of(at, job_type=job.job_type, batch=job.batch)
            self.inputs[at] = self.inputs[job.job_id]
        return Acted(ActionResult(len(found), len(found), {}), list(range(first, first + len(found))), None)

    def _act(self, which: Sequence[int] | JobFilter, fitting: set[Status]) -> ActionResult:
        self._fail()
        found = self._chosen(which)
        changed = [job for job in found if job.status in fitting]
        skipped: dict[str, int] = {}
        for job in found:
            if job.status not in fitting:
                skipped[job.status.name.lower()] = skipped.get(job.status.name.lower(), 0) + 1
        return ActionResult(len(found), len(changed), skipped)

    def _chosen(self, which: Sequence[int] | JobFilter) -> list[Job]:
        chosen = which if isinstance(which, JobFilter) else JobFilter(ids=which)
        submitting.check_ids(chosen.ids)
        if chosen.empty:
            raise InvalidInput("filter", "at least one condition is needed")
        ids = list(self.all_jobs) if chosen.ids is None else chosen.ids
        return [self.all_jobs[one] for one in ids if one in self.all_jobs and _fits(self.all_jobs[one], chosen)]

    def take_report(self, machine_id: str, runner_id: str, records: Sequence[Record]) -> ReportAnswer:
        self._fail()
        self.reports.append((machine_id, runner_id, list(records)))
        return ReportAnswer(max(record.seq for record in records), self.stop)

    # ------------------------------------------------------------------------------------------------------- job types

    def current_versions(self) -> dict[str, JobVersion]:
        return {name: versions[0] for name, versions in self.types.items()}

    def versions(self, job_type: str) -> list[JobVersion]:
        if job_type not in self.types:
            raise UnknownJobType(job_type)
        return self.types[job_type]

    def register(self, job_type: str) -> Published:
        return self._publish(job_type, b"")

    def publish_zip(self, job_type: str, path: Path) -> Published:
        return self._publish(job_type, path.read_bytes())

    def _publish(self, job_type: str, content: bytes) -> Published:
        self._fail()
        versions = self.types.setdefault(job_type, [])
        number = versions[0].version + 1 if versions else 0
        versions.insert(0, version_of(job_type, number))
        self.zips[job_type, number] = content
        return Published(number, True)

    def zip_of(self, job_type: str, number: int) -> bytes:
        if (job_type, number) not in self.zips:
            raise NotFound(f"{job_type} has no version {number}")
        return self.zips[job_type, number]

    # ---------------------------------------------------------------------------------------------- machines, people

    def machines(self) -> list[MachineView]:
        return self.machine_rows

    def meta(self, key: str) -> str | None:
        return "fake-server" if key == "server_id" else None

    def create_token(self, name: str, scopes: Iterable[str], *, expires_at: float | None = None) -> str:
        wanted = submitting.check_scopes(name, scopes)
        text = f"mj_{secrets.token_hex(8)}"
        self.token_rows[_hash(text)] = TokenInfo(name=name, scopes=wanted, created_at=0.0, expires_at=expires_at)
        return text

    def check_token(self, text: str) -> TokenInfo | None:
        self.token_checks += 1
        found = self.token_rows.get(_hash(text))
        if found is None or found.revoked_at is not None:
            return None
        return None if found.expires_at is not None and found.expires_at <= time.time() else found

    def tokens(self) -> list[TokenInfo]:
        return list(self.token_rows.values())

    def revoke_token(self, name: str) -> bool:
        for digest, info in self.token_rows.items():
            if info.name == name and info.revoked_at is None:
                self.token_rows[digest] = TokenInfo(
                    name=name, scopes=info.scopes, created_at=0.0, expires_at=info.expires_at, revoked_at=time.time()
                )
                return True
        return False

    def _token_lives(self, name: str) -> bool:
        now = time.time()
        return any(
            one.name == name and one.revoked_at is None and (one.expires_at is None or one.expires_at > now)
            for one in self.token_rows.values()
        )

    def create_code(self, *, scopes: Iterable[str] = ("admin",), lifetime_s: float = 600.0) -> str:
        code = secrets.token_hex(8)
        self.codes[code] = submitting.check_scopes("code", scopes)
        return code

    def redeem_code(self, code: str) -> frozenset[str] | None:
        return self.codes.pop(code, None)

    def audit(self, entry: AuditEntry) -> None:
        self.audited.append(entry)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _fits(job: Job, wanted: JobFilter) -> bool:
    pairs = (
        (wanted.job_type, job.job_type),
        (wanted.batch, job.batch),
        (wanted.machine_id, job.machine_id),
        (wanted.tag, job.tag),
    )
    return (not wanted.status or job.status in wanted.status) and all(
        one.takes(other) if isinstance(one, Choice) else one in (None, other) for one, other in pairs
    )


def job_of(job_id: int, **changes: object) -> Job:
    """A waiting job."""
    plain = Job(
        job_id=job_id,
        job_type="new_job",
        batch="2026-11-22",
        tag="",
        priority=0,
        limit_count=1,
        status=Status.WAITING,
        reason=Reason.NONE,
        attempt=0,
        starts=0,
        kill_requested=False,
        unreachable=False,
        machine_id="",
        version=-1,
        return_count=0.0,
        spend_s=0.0,
        cleared=False,
        due_at=None,
        created_at=1_700_000_000.0,
        claimed_at=None,
        started_at=None,
        updated_at=1_700_000_000.0,
    )
    return plain._replace(**changes)


def attempt_of(job_id: int, **changes: object) -> Attempt:
    """An attempt that succeeded."""
    plain = Attempt(
        job_id=job_id,
        attempt=1,
        machine_id="lab-1",
        version=0,
        claimed_at=1_700_000_001.0,
        started_at=1_700_000_002.0,
        ended_at=1_700_000_003.0,
        spend_s=0.25,
        reason=Reason.NONE,
        started=True,
        exit_code=None,
        signal=None,
        result="1",
        return_data=None,
        return_count=1.0,
        error=None,
        log=None,
        return_error=None,
    )
    return plain._replace(**changes)


def version_of(job_type: str, number: int) -> JobVersion:
    """A version without anything special."""
    return JobVersion(
        job_type=job_type,
        version=number,
        digest="d" * 64,
        node_digest="e" * 64,
        has_return_main=False,
        settings=JobSettings(env={"API_KEY": "hidden"}),
        size_bytes=100,
        created_at=1_700_000_000.0,
    )
