"""Random lives of jobs against a model small enough to be seen right.

Submit, claim, report, repeat, lose, kill, rerun, delete, restart, in any order: after every step the store must be
where the model is, and its counters what counting gives.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobs.status import TERMINAL, Status
from tests.support.store_kit import Room, failed, ok


@dataclass
class Model:
    """What one job should be like."""

    limit_count: int
    status: Status = Status.WAITING
    attempt: int = 0
    starts: int = 0
    killed: bool = False
    #: The latest attempt was declared lost and nothing newer happened to it.
    lost: bool = False
    #: Results by attempt: the first durable one.
    ended: dict[int, str] = field(default_factory=dict)


class Lives(RuleBasedStateMachine):
    """Steps that may come in any order; jobs that were deleted stay in the bundle, as late reports would name them."""

    jobs = Bundle("jobs")

    @initialize()
    def start(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.room = Room(self.home)
        self.room.job_type()
        self.model: dict[int, Model] = {}

    def teardown(self) -> None:
        self.room.close()
        shutil.rmtree(self.home)

    # Few jobs, so that each lives through much.
    @precondition(lambda self: len(self.model) < 3)
    @rule(target=jobs, limit_count=st.integers(0, 2))
    def submit(self, limit_count: int) -> int:
        (job,) = self.room.submit(limit_count=limit_count)
        self.model[job] = Model(limit_count)
        return job

    @rule(job=jobs)
    def claim(self, job: int) -> None:
        self.room.service.due(self.room.clock.forward(1000))
        claimed = self.room.claim(job)
        one = self.model.get(job)
        assert len(claimed) == (one is not None and one.status == Status.WAITING)
        if one is not None and claimed:
            one.status, one.attempt, one.starts, one.lost = Status.RUNNING, one.attempt + 1, one.starts + 1, False
            assert claimed[0].attempt == one.attempt
            assert one.starts <= one.limit_count + 1

    @rule(job=jobs, good=st.booleans())
    def claim_and_end(self, job: int, good: bool) -> None:
        self.claim(job)
        self.report_end(job, 0, good, "a")

    @rule(job=jobs, back=st.integers(0, 1), good=st.booleans(), word=st.sampled_from("ab"))
    def report_end(self, job: int, back: int, good: bool, word: str) -> None:
        one = self.model.get(job)
        attempt = (one.attempt if one else 1) - back
        self.room.report(("end", job, attempt, ok(word) if good else failed()))
        if one is None or attempt != one.attempt or attempt == 0:
            return
        late = one.lost and good and not one.killed and one.status in (Status.WAITING, Status.FAILED)
        if one.status == Status.RUNNING or late:
            self._ended(one, good, word)

    def _ended(self, one: Model, good: bool, word: str) -> None:
        one.lost = False
        if good:
            one.status = Status.DONE
            one.ended[one.attempt] = f'"{word}"'
        elif one.killed or one.starts > one.limit_count:
            one.status = Status.FAILED
        else:
            one.status = Status.WAITING

    @rule(job=jobs, by_node=st.booleans())
    def give_back(self, job: int, by_node: bool) -> None:
        one = self.model.get(job)
        attempt = one.attempt if one else 1
        if by_node:
            self.room.report(("back", job, attempt, {"why": "paused"}))
        else:
            self.room.service.give_back("m1", [(job, attempt)])
        if one is not None and one.status == Status.RUNNING:
            one.starts -= 1
            one.status = Status.FAILED if one.killed else Status.WAITING

    @rule()
    def lose_everything(self) -> None:
        self.room.service.lose("m1")
        for one in self.model.values():
            if one.status == Status.RUNNING:
                self._ended(one, good=False, word="")
                one.lost = True

    @rule(job=jobs)
    def begin(self, job: int) -> None:
        one = self.model.get(job)
        self.room.clock.forward(1000)
        self.room.report(("start", job, one.attempt if one else 1, {}))

    @rule(job=jobs)
    def clear(self, job: int) -> None:
        one = self.model.get(job)
        self.room.clock.forward(1000)
        self.room.service.clear([job])
        if one is not None and one.status in TERMINAL:
            one.ended.clear()

    @rule(job=jobs)
    def kill(self, job: int) -> None:
        self.room.service.kill([job])
        one = self.model.get(job)
        if one is not None and one.status in (Status.WAITING, Status.RUNNING):
            one.killed = True
            one.status = Status.FAILED if one.status == Status.WAITING else one.status

    @rule(job=jobs)
    def rerun(self, job: int) -> None:
        self.room.service.rerun([job])
        one = self.model.get(job)
        if one is not None and one.status in TERMINAL:
            one.status, one.starts, one.killed = Status.WAITING, 0, False

    @rule(job=jobs)
    def delete(self, job: int) -> None:
        self.room.service.delete([job])
        one = self.model.get(job)
        if one is not None and one.status != Status.RUNNING:
            del self.model[job]

    @rule()
    def restart(self) -> None:
        self.room.close()
        self.room.open()

    @invariant()
    def the_store_is_where_the_model_is(self) -> None:
        found = {one.job_id: one for one in self.room.service.jobs(size=1000).jobs}
        assert {job: (one.status, one.attempt, one.starts) for job, one in found.items()} == {
            job: (one.status, one.attempt, one.starts) for job, one in self.model.items()
        }

    @invariant()
    def counters_are_what_counting_gives(self) -> None:
        counted = dict(self.room.sql("SELECT status, count(*) FROM jobs GROUP BY status"))
        summaries = self.room.service.summary(by_batch=False)
        kept = {int(status): count for one in summaries for status, count in one.jobs.items()}
        assert kept == counted

    @invariant()
    def hours_are_what_counting_gives(self) -> None:
        moved = "SELECT CAST(updated_at / 3600 AS INTEGER), status, count(*), sum(return_count), sum(spend_s) FROM jobs"
        kept = "SELECT hour, status, jobs, return_count, spend_s FROM hours WHERE jobs <> 0 ORDER BY 1, 2"
        assert self.room.sql(kept) == self.room.sql(f"{moved} GROUP BY 1, 2 ORDER BY 1, 2")

    @invariant()
    def a_batch_keeps_when_it_began_and_moved_last(self) -> None:
        begun, moved = self.room.sql("SELECT min(created_at), max(updated_at) FROM jobs")[0]
        for one in self.room.service.summary():
            assert one.begin_at <= begun
            assert one.updated_at >= moved

    @invariant()
    def each_attempt_keeps_its_first_result_and_the_stream_has_each_finished_job_once(self) -> None:
        rows = self.room.service.results(0).rows
        assert sorted(row.job_id for row in rows) == sorted(
            job for job, one in self.model.items() if one.status in TERMINAL
        )
        for job, one in self.model.items():
            results = {known.attempt: known.result for known in self.room.service.attempts(job) if known.result}
            assert results == one.ended

    @invariant()
    def only_what_waits_can_be_claimed(self) -> None:
        odd = "SELECT id FROM jobs WHERE (status = 0) <> (queued_lane IS NOT NULL OR due_at IS NOT NULL)"
        assert self.room.sql(odd) == []
        assert self.room.sql("SELECT id FROM jobs WHERE (done_seq IS NULL) <> (status IN (0, 1, 2))") == []


Lives.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_random_lives = Lives.TestCase
