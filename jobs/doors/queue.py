"""The door for work on its way: submit, claim, what nodes report, and what the server says in their place."""

import random
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from jobs import outcomes, rules, submitting
from jobs.doors.desk import Desk
from jobs.errors import InvalidInput
from jobs.model import AttemptKey, Candidate, Claimed, Lane, OpenAttempt, Pick, ReportAnswer, Submission, Submitted
from jobs.status import Reason
from jobs.store import Tx, attempts, machines, queue, submissions
from remote_runner.protocol import Record


class Queue(Desk):
    """Jobs from the submit to the end of their attempts."""

    def submit(self, submission: Submission, *, key: str | None = None) -> Submitted:
        """Store all jobs of a submission or none; durable when this returns (G1).

        ``key`` makes a repeat harmless (G2): same key and content, same ids; other content, Conflict.
        Raises InvalidInput, UnknownJobType, Conflict, StoreUnavailable.
        """
        settings = self._library.current(submission.job_type).settings
        avoid = frozenset() if submission.machine_id is None else self._all_but(submission.machine_id)
        checked = submitting.check(submission, settings, key, today=self._today(), avoid=avoid)
        return self._store.write(lambda tx: self._submit(tx, checked, key))

    def _all_but(self, machine_id: str) -> frozenset[str]:
        with self._store.read() as conn:
            known = {machine.machine_id for machine in machines.everyone(conn)}
        if machine_id not in known:
            raise InvalidInput("machine_id", f"there is no machine {machine_id}; GET /api/v1/machines lists them")
        return frozenset(known - {machine_id})

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
        """Settle what a runner of this machine says, all of it or nothing; first durable record wins (G6, G7).

        Records about attempts of other machines or superseded ones change nothing; the answer says which to stop.
        """
        said = attempts.Said(machine_id, runner_id, outcomes.from_records(records))
        return self._store.write_together(self._settle_reports, said)

    def _settle_reports(self, tx: Tx, reports: list[attempts.Said]) -> list[ReportAnswer]:
        """Those that come while a transaction is written share the next: what it costs does not grow with them."""
        taken = attempts.take_in(tx, reports, self._settle, self._clock())
        self._tell_settled(tx, taken.reported, taken.settled)
        return [ReportAnswer(said.heard.last_seq, stop) for said, stop in zip(reports, taken.stops, strict=True)]

    def give_back(self, machine_id: str, keys: Sequence[AttemptKey], reason: str = "") -> int:
        """These attempts never began, and never will (T3b): no start used, no back-off. How many changed."""
        return self._end(machine_id, keys, outcomes.server_made(Reason.GIVEN_BACK, reason))

    def dispatch_failed(self, machine_id: str, keys: Sequence[AttemptKey], error: str = "") -> int:
        """The node shows that work() was never entered (T3): no start used. How many changed."""
        return self._end(machine_id, keys, outcomes.server_made(Reason.DISPATCH_FAILED, error))

    def lose(
        self,
        machine_id: str,
        keys: Sequence[AttemptKey] | None = None,
        error: str = "",
        machine: Mapping[str, Any] | None = None,
    ) -> int:
        """Give up these attempts (None: all open ones there) after lost_after: T6, T7, or kill_unconfirmed (T10).

        ``machine``: how it was when it was last seen, to be kept with the failure.
        """
        if keys is None:
            keys = [(one.job_id, one.attempt) for one in self.open_attempts(machine_id)]
        return self._end(machine_id, keys, outcomes.server_made(Reason.LOST, error, machine))

    def died(self, machine_id: str, keys: Sequence[AttemptKey], error: str = "") -> int:
        """The node is reachable and knows nothing of these attempts any more: they may have begun (T6, T7)."""
        return self._end(machine_id, keys, outcomes.server_made(Reason.DIED, error))

    def environment_failed(self, machine_id: str, keys: Sequence[AttemptKey], why: str, log: str) -> int:
        """What these attempts ask for cannot be installed there, nor on any other machine that suits them (T7)."""
        return self._end(machine_id, keys, outcomes.without_packages(why, log))

    def _end(self, machine_id: str, keys: Sequence[AttemptKey], outcome: outcomes.Outcome) -> int:
        if not keys:
            return 0

        def end(tx: Tx) -> int:
            settled = attempts.end(tx, machine_id, keys, outcome, self._settle, self._clock())
            self._tell_settled(tx, {machine_id: settled.reported}, settled)
            return len(settled.reported)

        return self._store.write(end)

    def _settle(self, job: rules.OpenJob, outcome: outcomes.Outcome) -> rules.Move | None:
        has_return = outcome.return_data is not None and self._library.has_return_main(job.job_type, job.version)
        now = self._clock()
        return rules.settle(job, outcome, has_return=has_return, now=now, spread=random.random, backoff=self.backoff)

    def superseded(self, machine_id: str, keys: Sequence[AttemptKey]) -> list[AttemptKey]:
        """Those of the attempts a node holds that no longer count and should end there (G7)."""
        return self._store.write(lambda tx: attempts.superseded(tx, machine_id, keys)) if keys else []

    def mark_unreachable(self, machine_id: str, unreachable: bool) -> int:
        """Show the running jobs of a machine as unreachable, or no longer so; how many changed."""
        return self._store.write(lambda tx: attempts.mark_unreachable(tx, machine_id, unreachable))
