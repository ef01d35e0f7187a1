"""The one door to the jobs room: every other room asks here, and nobody else asks the store.

Thin: checks what a person gave, calls one store function in one transaction, rings the bells after the commit.
Knows nothing of HTTP, SSH or scheduling. Safe to call from any thread.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from jobs import folders, outcomes, rules, submitting, waiting
from jobs.bell import Bell
from jobs.errors import InvalidInput, NotFound, UnknownJobType
from jobs.library import Library
from jobs.model import (
    Action,
    ActionResult,
    Attempt,
    AttemptKey,
    AuditEntry,
    Candidate,
    Claimed,
    Copied,
    HourRow,
    JobDetail,
    JobFilter,
    JobRow,
    JobVersion,
    Lane,
    MachineOverride,
    MachineView,
    OpenAttempt,
    Page,
    PendingReturn,
    Pick,
    Published,
    ReportAnswer,
    Reported,
    ResultPage,
    ReturnAnswer,
    ReturnOutcome,
    RunnerInfo,
    Submission,
    Submitted,
    Summary,
    TokenInfo,
    WaitingBecause,
)
from jobs.status import Reason, Status
from jobs.store import (
    Store,
    Tx,
    actions,
    attempts,
    browse,
    counters,
    machines,
    queue,
    results,
    returns,
    submissions,
    tokens,
)
from jobs.store.attempts import Settled
from remote_runner.protocol import Record

T = TypeVar("T")


#: Who waits for more results than a few gets them in pages: the first to finish waits this long for others.
FEW: Final = 16
GATHER_S: Final = 0.01


def _silent(*_: object) -> None:
    """A hook nobody has set."""


def _named(which: Sequence[int] | JobFilter) -> JobFilter:
    """What an action is about: never everything there is."""
    chosen = which if isinstance(which, JobFilter) else JobFilter(ids=list(which))
    if chosen.empty:
        raise InvalidInput("filter", "at least one condition is needed")
    submitting.check_ids(chosen.ids)
    return chosen


class JobService:
    """All verbs on jobs, job types, machines as seen, tokens. Hooks are called after the commit and must be quick."""

    def __init__(
        self,
        store: Store,
        home_jobs: Path,
        cache: Path,
        clock: Callable[[], float] = time.time,
        timezone: tzinfo = UTC,
    ) -> None:
        self._store = store
        self._clock = clock
        self._timezone = timezone
        self._library = Library(store, home_jobs, cache)
        self._bell = Bell()
        #: {lane id: highest priority} that got work: from submit, rerun, copy, back-off over, given back.
        self.on_submitted: Callable[[Mapping[int, int]], None] = _silent
        #: (machine id, records accepted); also after lose, give_back and dispatch_failed.
        self.on_reported: Callable[[str, Sequence[Reported]], None] = _silent
        #: (machine id, attempts to end there).
        self.on_kill: Callable[[str, Sequence[AttemptKey]], None] = _silent
        #: (job type, its new version).
        self.on_published: Callable[[str, int], None] = _silent
        #: (machine ids) for which people set something on top of the inventory.
        self.on_override: Callable[[Sequence[str]], None] = _silent

    # ------------------------------------------------------------------------------------------------------- submit

    def submit(self, submission: Submission, *, key: str | None = None) -> Submitted:
        """Store all jobs of a submission or none; durable when this returns (G1).

        ``key`` makes a repeat harmless (G2): same key and content, same ids; other content, Conflict.
        Raises InvalidInput, UnknownJobType, Conflict, StoreUnavailable.
        """
        settings = self._library.current(submission.job_type).settings
        checked = submitting.check(submission, settings, key, today=self._today())
        return self._store.write(lambda tx: self._submit(tx, checked, key))

    def _submit(self, tx: Tx, checked: submitting.Checked, key: str | None) -> Submitted:
        now = self._clock()
        if key is not None:
            known = submissions.find(tx, key, checked.body_sha256)
            if known is not None:
                return known
        lane_id, submitted = queue.append(tx, checked, now)
        if key is not None:
            submissions.remember(tx, key, checked.body_sha256, submitted, now)
        self._tell_lanes(tx, {lane_id: -checked.rank})
        return submitted

    # -------------------------------------------------------------------------------------------- queue and attempts

    def lanes(self) -> list[Lane]:
        """The lanes that have a job to claim now."""
        with self._store.read() as conn:
            return queue.lanes(conn)

    def heads(self, lane_ids: Iterable[int] | None, limit: int) -> dict[int, list[Candidate]]:
        """The first ``limit`` claimable jobs of each lane (None: of all lanes that have some), in their order."""
        with self._store.read() as conn:
            ids = [lane.lane_id for lane in queue.lanes(conn)] if lane_ids is None else lane_ids
            return {lane_id: queue.head(conn, lane_id, limit) for lane_id in ids}

    def claim(self, picks: Sequence[Pick]) -> "Future[list[Claimed]]":
        """Open an attempt for each pick that is still claimable (T2); the others are left out.

        What the future gives is committed: only then may anything be sent to a node.
        """
        return self._store.submit_write(lambda tx: queue.claim(tx, picks, self._clock()))

    def claimed(self, keys: Sequence[AttemptKey]) -> list[Claimed]:
        """What is needed to send these attempts again; those no longer open are left out."""
        with self._store.read() as conn:
            return queue.claimed(conn, keys)

    def due(self, now: float) -> int:
        """Put jobs whose back-off is over into their lanes; how many."""

        def move(tx: Tx) -> int:
            lanes, count = queue.release_due(tx, now)
            self._tell_lanes(tx, lanes)
            return count

        with self._store.read() as conn:
            if not queue.any_due(conn, now):
                return 0
        return self._store.write(move)

    def next_due(self) -> float | None:
        """When the next back-off ends; None: nothing waits for a time."""
        with self._store.read() as conn:
            return queue.next_due(conn)

    def open_attempts(self, machine_id: str | None = None) -> list[OpenAttempt]:
        """All attempts that have not ended (on this machine): for recovery and reconciliation."""
        with self._store.read() as conn:
            return attempts.open_on(conn, machine_id)

    def take_report(self, machine_id: str, runner_id: str, records: Sequence[Record]) -> ReportAnswer:
        """Settle what a runner of this machine says, in one transaction; first durable record wins (G6, G7).

        Records about attempts of other machines or superseded ones change nothing; the answer says which to stop.
        """
        heard = outcomes.from_records(records)
        return self._store.write(lambda tx: self._settle_report(tx, machine_id, runner_id, heard))

    def _settle_report(self, tx: Tx, machine_id: str, runner_id: str, heard: outcomes.Heard) -> ReportAnswer:
        answer = attempts.report(tx, machine_id, runner_id, heard, self._settle, self._clock())
        self._tell_settled(tx, machine_id, answer.settled)
        return ReportAnswer(heard.last_seq, answer.stop)

    def give_back(self, machine_id: str, keys: Sequence[AttemptKey], reason: str = "") -> int:
        """These attempts never began, and never will (T3b): no start used, no back-off. How many changed."""
        return self._end(machine_id, keys, outcomes.server_made(Reason.GIVEN_BACK, reason))

    def dispatch_failed(self, machine_id: str, keys: Sequence[AttemptKey], error: str = "") -> int:
        """The node shows that work() was never entered (T3): no start used. How many changed."""
        return self._end(machine_id, keys, outcomes.server_made(Reason.DISPATCH_FAILED, error))

    def lose(self, machine_id: str, keys: Sequence[AttemptKey] | None = None, error: str = "") -> int:
        """Give up these attempts (None: all open ones there) after lost_after: T6, T7, or kill_unconfirmed (T10)."""
        if keys is None:
            keys = [(one.job_id, one.attempt) for one in self.open_attempts(machine_id)]
        return self._end(machine_id, keys, outcomes.server_made(Reason.LOST, error))

    def died(self, machine_id: str, keys: Sequence[AttemptKey], error: str = "") -> int:
        """The node is reachable and knows nothing of these attempts any more: they may have begun (T6, T7)."""
        return self._end(machine_id, keys, outcomes.server_made(Reason.DIED, error))

    def _end(self, machine_id: str, keys: Sequence[AttemptKey], outcome: outcomes.Outcome) -> int:
        if not keys:
            return 0

        def end(tx: Tx) -> int:
            settled = attempts.end(tx, machine_id, keys, outcome, self._settle, self._clock())
            self._tell_settled(tx, machine_id, settled)
            return len(settled)

        return self._store.write(end)

    def _settle(self, job: rules.OpenJob, outcome: outcomes.Outcome) -> rules.Move | None:
        has_return = outcome.return_data is not None and self._library.has_return_main(job.job_type, job.version)
        return rules.settle(job, outcome, has_return=has_return, now=self._clock(), spread=random.random)

    def superseded(self, machine_id: str, keys: Sequence[AttemptKey]) -> list[AttemptKey]:
        """Those of the attempts a node holds that no longer count and should end there (G7)."""
        return self._store.write(lambda tx: attempts.superseded(tx, machine_id, keys)) if keys else []

    def mark_unreachable(self, machine_id: str, unreachable: bool) -> int:
        """Show the running jobs of a machine as unreachable, or no longer so; how many changed."""
        return self._store.write(lambda tx: attempts.mark_unreachable(tx, machine_id, unreachable))

    # ------------------------------------------------------------------------------------------------------- returns

    def take_returns(self, limit: int) -> list[PendingReturn]:
        """Take return_main calls that are due; each counts as tried from now on and must be answered."""
        now = self._clock()
        with self._store.read() as conn:
            if not returns.any_due(conn, now):
                return []
        return self._store.write(lambda tx: returns.take(tx, now, limit))

    def answer_returns(self, told: Sequence[ReturnAnswer]) -> int:
        """How taken calls ended: done (T12), again (T13) or -2 (T14). How many counted; repeats do not."""

        def settle(tx: Tx) -> int:
            tx.after(self._bell.ring)
            return returns.answer(tx, told, self._clock(), random.random)

        return self._store.write(settle) if told else 0

    def recover_returns(self) -> int:
        """At start: every call taken and never answered was interrupted; how many."""
        with self._store.read() as conn:
            taken = returns.taken(conn)
        return self.answer_returns([ReturnAnswer(*key, ReturnOutcome.INTERRUPTED) for key in taken])

    # --------------------------------------------------------------------------------------------- actions of people

    def kill(self, which: Sequence[int] | JobFilter) -> ActionResult:
        """End waiting jobs at once (T9), ask running ones to end (T10); others are skipped."""
        return self._act(which, self._kill)

    def _kill(self, tx: Tx, ids: Sequence[int]) -> ActionResult:
        result, running = actions.kill(tx, ids, self._clock())
        for machine_id, keys in running.items():
            tx.after(partial(self.on_kill, machine_id, keys))
        tx.after(self._bell.ring)
        return result

    def rerun(self, which: Sequence[int] | JobFilter) -> ActionResult:
        """Finished jobs wait again with a fresh budget (T15); waiting, running and returning ones are skipped."""
        return self._act(which, self._rerun)

    def _rerun(self, tx: Tx, ids: Sequence[int]) -> ActionResult:
        result, lanes = actions.rerun(tx, ids, self._clock())
        self._tell_lanes(tx, lanes)
        return result

    def copy(self, which: Sequence[int] | JobFilter) -> Copied:
        """New waiting jobs with the same input and wishes, without history (T16)."""
        made: list[int] = []
        matched = 0
        for ids in self._chosen(which):
            matched += len(ids)
            made += self._on(ids, self._copy)
        return Copied(matched, made)

    def _copy(self, tx: Tx, ids: Sequence[int]) -> list[int]:
        made, lanes = actions.copy(tx, ids, self._clock())
        self._tell_lanes(tx, lanes)
        return made

    def delete(self, which: Sequence[int] | JobFilter) -> ActionResult:
        """Forget jobs and their history; running ones, and those whose return_main runs, are skipped (T17)."""
        return self._act(which, actions.delete)

    def clear(self, which: Sequence[int] | JobFilter) -> ActionResult:
        """Empty the results and keep the rest; unfinished jobs are skipped."""
        return self._act(which, lambda tx, ids: actions.clear(tx, ids, self._clock()))

    def _act(self, which: Sequence[int] | JobFilter, act: Callable[[Tx, Sequence[int]], ActionResult]) -> ActionResult:
        total = ActionResult(0, 0, {})
        for ids in self._chosen(which):
            total = actions.add(total, self._on(ids, act))
        return total

    def _on(self, ids: Sequence[int], act: Callable[[Tx, Sequence[int]], T]) -> T:
        return self._store.write(lambda tx: act(tx, ids))

    def _chosen(self, which: Sequence[int] | JobFilter) -> Iterable[list[int]]:
        return actions.choose(self._store, _named(which))

    def foresee(self, action: Action, which: Sequence[int] | JobFilter) -> ActionResult:
        """What an action would do to these jobs now, without doing it."""
        chosen = _named(which)
        with self._store.read() as conn:
            pieces = [browse.count(conn, piece) for piece in actions.pieces(chosen)]
        return actions.foresee(action, pieces)

    # --------------------------------------------------------------------------------------------------- what is there

    def job(self, job_id: int) -> JobDetail:
        """One job with its texts. Raises NotFound."""
        with self._store.read() as conn:
            found = browse.job(conn, job_id)
        if found is None:
            raise NotFound(f"there is no job {job_id}")
        job, job_input, latest = found
        because = self._because(browse.wish(job)) if job.status == Status.WAITING else None
        return JobDetail(job=job, input=job_input, latest=latest, waiting=because)

    def jobs(self, chosen: JobFilter | None = None, size: int = 50, after: int | None = None) -> Page:
        """A page of jobs, newest first; ``after`` is the last page's ``after``."""
        chosen = chosen or JobFilter()
        submitting.check_page(size, after)
        submitting.check_ids(chosen.ids, submitting.PAGE_LIMIT)
        with self._store.read() as conn:
            return browse.page(conn, chosen, size, after)

    def listed(self, chosen: JobFilter, offset: int = 0, limit: int = 10) -> tuple[list[JobRow], int]:
        """The manual's list, newest first: (jobs with input and error from that place on, how many fit in all)."""
        submitting.check_number("offset", offset, 0, submitting.ID_LIMIT)
        submitting.check_number("limit", limit, 0, submitting.PAGE_LIMIT)
        submitting.check_ids(chosen.ids, submitting.PAGE_LIMIT)
        total = self.total(chosen)
        if limit == 0 or offset >= total:
            return [], total
        with self._store.read() as conn:
            return browse.rows(conn, chosen, offset, limit), total

    def total(self, chosen: JobFilter) -> int:
        """How many jobs a filter means: from the counters where they know, else counted."""
        with self._store.read() as conn:
            if chosen.on_counters:
                return sum(counters.count(conn, chosen).values())
            return sum(browse.count(conn, chosen).values())

    def attempts(self, job_id: int) -> list[Attempt]:
        """The ended attempts of a job, oldest first. Raises NotFound."""
        with self._store.read() as conn:
            found = browse.attempts_of(conn, job_id)
            if not found and browse.job(conn, job_id) is None:
                raise NotFound(f"there is no job {job_id}")
            return found

    def attempt(self, job_id: int, attempt: int) -> Attempt:
        """One ended attempt, with its log. Raises NotFound."""
        with self._store.read() as conn:
            found = browse.attempts_of(conn, job_id, attempt)
        if not found:
            raise NotFound(f"job {job_id} has no ended attempt {attempt}")
        return found[0]

    def results(
        self,
        cursor: int = 0,
        *,
        batch: str | None = None,
        ranges: Sequence[Sequence[int]] | None = None,
        limit: int = 1000,
    ) -> ResultPage:
        """Jobs that finished after the cursor, in the order they finished; by batch, by ranges of ids, or all."""
        wanted = submitting.check_wanted(cursor, batch, ranges, limit)
        with self._store.read() as conn:
            return results.page(conn, wanted, thorough=True)

    def wait_results(
        self,
        cursor: int = 0,
        *,
        batch: str | None = None,
        ranges: Sequence[Sequence[int]] | None = None,
        limit: int = 1000,
        timeout_s: float = 25.0,
    ) -> ResultPage:
        """As ``results``, but an empty page is given only when nothing is unfinished or the time is over."""
        wanted = submitting.check_wanted(cursor, batch, ranges, limit)
        deadline = time.monotonic() + timeout_s
        while True:
            seen = self._bell.count
            left_s = deadline - time.monotonic()
            with self._store.read() as conn:
                page = results.page(conn, wanted, thorough=left_s <= 0)
            if page.rows or page.pending == 0 or left_s <= 0:
                return page
            wanted = wanted._replace(cursor=page.cursor)
            self._bell.wait(seen, left_s, self._done_since(page.cursor))
            if page.pending is None or page.pending > FEW:
                time.sleep(GATHER_S)

    def _done_since(self, cursor: int) -> Callable[[], bool]:
        def done() -> bool:
            with self._store.read() as conn:
                return results.last_done(conn) > cursor

        return done

    def summary(self, job_type: str | None = None, batch: str | None = None, by_batch: bool = True) -> list[Summary]:
        """Counters of the job types (of one, when named), split by batch or over all batches."""
        with self._store.read() as conn:
            return counters.summary(conn, job_type, batch, by_batch)

    def history(self, hours: int) -> tuple[list[HourRow], int]:
        """Jobs by the hour of their latest move, over the last ``hours`` hours; and which hour it is now."""
        submitting.check_number("limit_time", hours, 1, 24 * 366)
        with self._store.read() as conn:
            this_hour = int(self._clock()) // counters.HOUR_S
            return counters.history(conn, this_hour - hours + 1), this_hour

    def names(self) -> tuple[list[str], list[str]]:
        """What there is to filter by: (job types that have jobs, batches, the newest first)."""
        with self._store.read() as conn:
            return counters.names(conn)

    def now(self) -> float:
        """The time by the clock that all times in the store are made with."""
        return self._clock()

    def local_time(self, seconds: float | None) -> str:
        """As people read it, in the server's time zone: ``YYYY-MM-DD HH:MM:SS``; empty where there is none."""
        if not seconds:
            return ""
        return datetime.fromtimestamp(seconds, self._timezone).strftime("%Y-%m-%d %H:%M:%S")

    def waiting_because(self, job_id: int) -> WaitingBecause | None:
        """Why a job waits; None when it does not wait. Raises NotFound."""
        return self.job(job_id).waiting

    def _because(self, wish: waiting.Wish) -> WaitingBecause:
        known = wish.job_type in self._library.current_versions()
        return waiting.because(wish, self.machines(), self._clock(), known=known)

    # ------------------------------------------------------------------------------------------------------ job types

    def publish_folder(self, job_type: str, folder: Path) -> Published:
        """Make a new version of what the folder holds, unless nothing changed. Raises InvalidInput."""
        return self._published(job_type, self._library.publish_folder(job_type, folder, self._clock()))

    def publish_zip(self, job_type: str, path: Path) -> Published:
        """As ``publish_folder``, from a zip file that may be hostile (B11): refused whole or taken whole."""
        return self._published(job_type, self._library.publish_zip(job_type, path, self._clock()))

    def register(self, job_type: str) -> Published:
        """Publish HOME/jobs/<job type>."""
        return self._published(job_type, self._library.register(job_type, self._clock()))

    def _published(self, job_type: str, published: Published) -> Published:
        if published.changed:
            self.on_published(job_type, published.version)
        return published

    def upload(self, job_type: str, path: Path) -> None:
        """Unpack a zip into HOME/jobs/<job type>, for ``register``; refused whole as by ``publish_zip``."""
        self._library.upload(job_type, path)

    def node_zip(self, job_type: str) -> bytes:
        """What nodes get of the newest version, as a zip. Raises UnknownJobType."""
        return self._library.node_zip(job_type)

    def folders(self) -> list[str]:
        """Folders in HOME/jobs, registered or not."""
        return self._library.folders()

    def first_times(self) -> dict[str, float]:
        """When the first version of each job type was made."""
        return self._library.first_times()

    def version(self, job_type: str, number: int) -> JobVersion:
        """One version. Raises NotFound."""
        return self._library.version(job_type, number)

    def versions(self, job_type: str) -> list[JobVersion]:
        """All versions of a job type, newest first. Raises UnknownJobType."""
        found = self._library.versions(job_type)
        if not found:
            raise UnknownJobType(job_type)
        return found

    def current_versions(self) -> dict[str, JobVersion]:
        """The newest version of every job type: what a waiting job would take now."""
        return self._library.current_versions()

    def unregistered(self) -> list[str]:
        """Folders in HOME/jobs that could be registered and are not."""
        return self._library.unregistered()

    def delete_type(self, job_type: str) -> ActionResult:
        """Forget a job type: its waiting jobs end as -1 (type_deleted), running ones finish. Raises UnknownJobType."""
        self._library.forget(job_type, self._clock())
        waiting_ones = JobFilter(job_type=job_type, status=frozenset({Status.WAITING}))
        return self._act(waiting_ones, self._end_waiting)

    def _end_waiting(self, tx: Tx, ids: Sequence[int]) -> ActionResult:
        tx.after(self._bell.ring)
        return actions.end_waiting(tx, ids, Reason.TYPE_DELETED, self._clock())

    def node_folder(self, job_type: str, number: int) -> Path:
        """What a node gets, unpacked in the cache: with .info, without return_main.py. Raises NotFound."""
        return self._library.unpacked(job_type, number, folders.Part.NODE)

    def server_folder(self, job_type: str, number: int) -> Path:
        """The whole version, unpacked in the cache: where return_main runs from. Raises NotFound."""
        return self._library.unpacked(job_type, number, folders.Part.SERVER)

    def zip_of(self, job_type: str, number: int) -> bytes:
        """The whole version as it was published, for download. Raises NotFound."""
        return self._library.zip_of(job_type, number)

    # ----------------------------------------------------------------------------------- machines, runners, the server

    def put_machines(self, rows: Sequence[MachineView]) -> "Future[None]":
        """Replace what is known of these machines; nobody has to wait for it."""
        return self._store.submit_write(lambda tx: machines.put(tx, rows, self._clock()))

    def drop_machines(self, machine_ids: Sequence[str]) -> None:
        """Forget machines that left the inventory."""
        self._store.write(lambda tx: machines.drop(tx, machine_ids))

    def machines(self) -> list[MachineView]:
        """All machines as last seen, by id."""
        with self._store.read() as conn:
            return machines.everyone(conn)

    def override(self, rows: Sequence[MachineOverride]) -> None:
        """Set these on top of the inventory (checked by the caller); the engine hears of it. Raises NotFound."""
        known = {machine.machine_id for machine in self.machines()}
        for row in rows:
            if row.machine_id not in known:
                raise NotFound(f"there is no machine {row.machine_id}")
        named = sorted({row.machine_id for row in rows})

        def put(tx: Tx) -> None:
            machines.put_overrides(tx, rows, self._clock())
            tx.after(lambda: self.on_override(named))

        self._store.write(put)

    def overrides(self) -> list[MachineOverride]:
        """All of them; those without ``file_value`` the engine has not seen yet."""
        with self._store.read() as conn:
            return machines.overrides(conn)

    def pin_override(self, row: MachineOverride) -> None:
        """The engine has seen what the file says for this one; nothing happens if it was set anew meanwhile."""
        self._store.write(lambda tx: machines.pin_override(tx, row))

    def drop_override(self, machine_id: str, key: str) -> None:
        """Forget one, because the file's own value has changed since."""
        self._store.write(lambda tx: machines.drop_override(tx, machine_id, key))

    def open_runner(self, runner_id: str, machine_id: str, key_salt: str) -> None:
        """Write down a runner before it gets its key."""
        runner = RunnerInfo(runner_id=runner_id, machine_id=machine_id, key_salt=key_salt, created_at=self._clock())
        self._store.write(lambda tx: machines.open_runner(tx, runner))

    def close_runner(self, runner_id: str) -> None:
        """The runner is gone and all it said is stored: its key is worth nothing from now on."""
        self._store.write(lambda tx: machines.close_runner(tx, runner_id, self._clock()))

    def runner(self, runner_id: str) -> RunnerInfo | None:
        """One runner, also an ended one."""
        with self._store.read() as conn:
            return machines.runner(conn, runner_id)

    def meta(self, key: str) -> str | None:
        """A value kept for the server, such as "server_id"."""
        with self._store.read() as conn:
            return tokens.meta(conn, key)

    def keep_meta(self, key: str, value: str) -> str:
        """Store a value unless there is one; the stored one."""
        return self._store.write(lambda tx: tokens.keep_meta(tx, key, value))

    def set_meta(self, key: str, value: str) -> None:
        """Store a value in place of any before."""
        self._store.write(lambda tx: tokens.set_meta(tx, key, value))

    # --------------------------------------------------------------------------------------------------------- people

    def create_token(self, name: str, scopes: Iterable[str], *, expires_at: float | None = None) -> str:
        """Make a token; its text is shown now and never again. Raises InvalidInput, Conflict (name taken)."""
        wanted = submitting.check_scopes(name, scopes)
        return self._store.write(lambda tx: tokens.create(tx, name, wanted, self._clock(), expires_at))

    def check_token(self, text: str) -> TokenInfo | None:
        """Whose token this is; None: nobody's, expired or revoked. Notes its use at most once a minute."""
        now = self._clock()
        with self._store.read() as conn:
            found = tokens.find(conn, text, now)
        if found is not None and tokens.stale_use(found, now):
            self._store.submit_write(lambda tx: tokens.note_use(tx, found.name, now))
        return found

    def tokens(self) -> list[TokenInfo]:
        """All tokens, also revoked ones."""
        with self._store.read() as conn:
            return tokens.everyone(conn)

    def revoke_token(self, name: str) -> bool:
        """End a token at once; False: there is no such living token."""
        return self._store.write(lambda tx: tokens.revoke(tx, name, self._clock()))

    def create_code(self, *, scopes: Iterable[str] = ("admin",), lifetime_s: float = 600.0) -> str:
        """A one-time sign-in code for a link."""
        wanted = submitting.check_scopes("code", scopes)
        return self._store.write(lambda tx: tokens.create_code(tx, wanted, self._clock() + lifetime_s))

    def redeem_code(self, code: str) -> frozenset[str] | None:
        """The scopes a code grants, once; None: unknown, used or expired."""
        return self._store.write(lambda tx: tokens.redeem_code(tx, code, self._clock()))

    def audit(self, entry: AuditEntry) -> None:
        """Add to the log of who did what; durable when this returns."""
        self._store.write(lambda tx: tokens.audit(tx, entry))

    def audit_log(self, size: int = 50, after: int | None = None) -> list[tuple[int, AuditEntry]]:
        """A page of that log with row numbers, newest first."""
        submitting.check_page(size, after)
        with self._store.read() as conn:
            return tokens.audit_page(conn, size, after)

    # ---------------------------------------------------------------------------------------------------- housekeeping

    def housekeeping(self) -> None:
        """Drop what is past its time: idempotency keys after 7 days, sign-in codes, ended runners after 30 days,
        counters of batches that hold no job."""
        now = self._clock()
        self._store.write(lambda tx: submissions.expire(tx, now))
        self._store.write(lambda tx: tokens.expire_codes(tx, now))
        self._store.write(lambda tx: machines.expire_runners(tx, now))
        self._store.write(counters.drop_empty)

    def healthy(self) -> bool:
        """Whether the store takes writes now."""
        return self._store.healthy()

    # ----------------------------------------------------------------------------------------------------------- bells

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock(), self._timezone).strftime("%Y-%m-%d")

    def _tell_lanes(self, tx: Tx, lanes: Mapping[int, int]) -> None:
        if lanes:
            tx.after(lambda: self.on_submitted(lanes))

    def _tell_settled(self, tx: Tx, machine_id: str, settled: Sequence[Settled]) -> None:
        if not settled:
            return
        reported = [one.reported for one in settled]
        lanes = attempts.lanes_of(settled)
        tx.after(self._bell.ring)
        tx.after(lambda: self.on_reported(machine_id, reported))
        self._tell_lanes(tx, lanes)
