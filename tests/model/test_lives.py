"""Random lives of jobs on every kind of database, against a model small enough to be seen right.

Submit (once and again), claim, start, report in any order and twice, give back, lose, kill, rerun, copy, delete, clear,
return_main, restart, another server taking over: after every step the store must be where the model is, and its
counters what counting gives. MJ_MODEL_EXAMPLES says how many lives (a longer run), MJ_MODEL_SEED which ones; both are
printed.
"""

import json
import os
import random
import shutil
import tempfile
from collections import Counter, defaultdict
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    get_state_machine_test,
    initialize,
    invariant,
    precondition,
    rule,
)

from jobs.errors import Conflict, Superseded
from jobs.model import Pick, ReturnAnswer, ReturnOutcome, Submission
from jobs.service import JobService
from jobs.status import TERMINAL, Status
from jobs.store import leader
from tests.conftest import require
from tests.model.lives import Life, Lives
from tests.support import databases
from tests.support.store_kit import Room, failed, ok

EXAMPLES = {"sqlite": 40, "mariadb": 10, "postgresql": 14}
STEPS = 40
MACHINES = st.sampled_from(["m1", "m2"])
PICK = st.integers(0, 5)
RARELY = st.sampled_from([False, False, False, True])
#: Beyond every back-off.
LONG_S = 1000.0
#: What is told of an end: (how many attempts ago, whether it went well, the result).
ENDS = {
    "good": (0, True, "a"),
    "good but other": (0, True, "b"),
    "bad": (0, False, ""),
    "good of the one before": (1, True, "a"),
    "bad of the one before": (1, False, ""),
}
BACK = ("node gives back", "given back", "dispatch failed")
#: What comes often is named often.
ATTEMPT = ["claim", "claim", "claim", "start", "start", "lose", "lose", "good", "good", "bad", "kill", "rerun"]
ATTEMPT += ["unreachable", *ENDS, *BACK]
#: What chance alone would seldom put together.
STORIES = [
    ("claim", "lose", "good"),
    ("claim", "lose", "kill", "good"),
    ("claim", "lose", "rerun", "good"),
    ("claim", "lose", "claim", "good of the one before", "good"),
    ("claim", "kill", "good"),
    ("claim", "kill", "lose", "rerun", "good"),
    ("claim", "start", "good", "good but other", "bad"),
    ("claim", "bad", "claim", "bad", "claim", "bad", "good"),
    ("claim", "given back", "start", "good"),
]
RANDOM_STEPS = st.lists(st.tuples(st.sampled_from(ATTEMPT), RARELY), min_size=1, max_size=6)
STORY_STEPS = st.sampled_from(STORIES).map(lambda story: [(what, False) for what in story])

End = tuple[str, int, int, bool, str]


class Steps(RuleBasedStateMachine):
    """Steps that may come in any order. Few rules with many words, so that each life goes through much of them.

    Jobs are picked by their place in a list, the last of which were deleted: late reports would name those too.
    """

    kind: ClassVar[str]

    @initialize(limits=st.lists(st.integers(0, 2), min_size=2, max_size=3), returns=st.booleans())
    def begin_life(self, limits: list[int], returns: bool) -> None:
        self.stack = ExitStack()
        self.home = Path(tempfile.mkdtemp())
        self.stack.callback(shutil.rmtree, self.home)
        self.database = self.stack.enter_context(databases.a_database(self.kind, self.home))
        self.room = Room(self.home, self.database)
        self.room.job_type("crawl")
        self.room.job_type("shop", return_main=True)
        self._lead()
        self.lives = Lives()
        self.gone: list[int] = [99]
        self.sent: list[tuple[str, list[End]]] = []
        self.keys = self.steps = 0
        for limit in limits:
            self.submit(limit, returns, again=False)

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.room.close()
            self.stack.close()

    def _job(self, pick: int) -> int:
        known = [*self.lives, *self.gone[-2:]]
        return known[pick % len(known)]

    def _facts(self, job: int, strange: bool) -> tuple[Life | None, int, str]:
        """(its life, its latest attempt, that one's machine, or another one)."""
        life = self.lives.get(job)
        attempt = life.attempt if life else 1
        own = life.machines.get(attempt, "m1") if life else "m1"
        return life, attempt, ("m2" if own == "m1" else "m1") if strange else own

    # in

    # Few jobs, so that each lives through much.
    @precondition(lambda self: len(self.lives) < 4)
    @rule(limit_count=st.integers(0, 2), returns=st.booleans(), again=st.booleans())
    def submit(self, limit_count: int, returns: bool, again: bool) -> None:
        self.keys += 1
        key = f"key-{self.keys}"
        job_type = "shop" if returns else "crawl"
        submission = Submission(job_type=job_type, inputs=["{}"], limit_count=limit_count, batch=f"b{self.keys % 2}")
        first = self.room.service.submit(submission, key=key)
        if again:
            assert self.room.service.submit(submission, key=key) == first
            with pytest.raises(Conflict):
                self.room.service.submit(Submission(job_type=job_type, inputs=["{}", "{}"]), key=key)
        self.lives[first.first_id] = Life(limit_count, returns)

    # attempts

    @rule(pick=PICK, steps=RANDOM_STEPS | STORY_STEPS)
    def attempt(self, pick: int, steps: list[tuple[str, bool]]) -> None:
        """Some of what happens to one job's attempts, now and then by another machine than the one it is on."""
        job = self._job(pick)
        for what, strange in steps:
            life, attempt, machine = self._facts(job, strange)
            if what == "claim":
                self._claim(job, life, machine)
            elif what in ENDS:
                back, good, word = ENDS[what]
                self._send(machine, [("end", job, attempt - back, good, word)])
            elif what in BACK:
                self._give_back(job, life, attempt, machine, what)
            elif what == "start":
                self._start(job, life, attempt, machine)
            elif what == "lose":
                self._lose(machine)
            elif what in ("kill", "rerun"):
                self._ask([job], what)
            else:
                self.room.service.mark_unreachable(machine, strange)

    def _claim(self, job: int, life: Life | None, machine: str) -> None:
        self.room.service.due(self.room.clock.forward(LONG_S))
        claimed = self.room.claim(job, machine=machine)
        assert bool(claimed) == (life is not None and life.claim(machine))
        assert self.room.claim(job, machine="m1") == []  # G4
        if claimed and life is not None:
            assert claimed[0].attempt == life.attempt

    def _lose(self, machine: str) -> None:
        there = list(self.lives.on(machine))
        assert self.room.service.lose(machine) == len(there)
        for life in there:
            life.lose(machine)

    @rule(machine=MACHINES, ends=st.lists(st.tuples(PICK, st.sampled_from(sorted(ENDS))), min_size=2, max_size=5))
    def report_many(self, machine: str, ends: list[tuple[int, str]]) -> None:
        told = []
        for pick, what in ends:
            job = self._job(pick)
            _, attempt, _ = self._facts(job, strange=False)
            back, good, word = ENDS[what]
            told.append(("end", job, attempt - back, good, word))
        self._send(machine, told)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def repeat_reports_in_any_order(self, data: st.DataObject) -> None:
        for machine, ends in data.draw(st.lists(st.sampled_from(self.sent), min_size=1, max_size=3)):
            self._send(machine, data.draw(st.permutations(ends)))

    def _send(self, machine: str, ends: list[End]) -> None:
        data = json.dumps([1])
        bodies = [ok(word, return_data=data) if good else failed() for *_, good, word in ends]
        records = [(*end[:3], body) for end, body in zip(ends, bodies, strict=True)]
        assert self.room.report(*records, machine=machine).stored == self.room.seq
        self.sent = [*self.sent[-7:], (machine, ends)]
        for _, job, attempt, good, word in ends:
            if job in self.lives:
                self.lives[job].end(attempt, machine, good, json.dumps(word))

    def _start(self, job: int, life: Life | None, attempt: int, machine: str) -> None:
        self.room.clock.forward(LONG_S)
        answer = self.room.report(("start", job, attempt, {}), machine=machine)
        counts = life is not None and (life.is_open(attempt, machine) or life.would_adopt(attempt, machine))
        assert answer.stop == ([] if counts else [(job, attempt)])

    def _give_back(self, job: int, life: Life | None, attempt: int, machine: str, how: str) -> None:
        if how == "node gives back":
            self.room.report(("back", job, attempt, {"why": "paused"}), machine=machine)
        else:
            verb = self.room.service.give_back if how == "given back" else self.room.service.dispatch_failed
            verb(machine, [(job, attempt)])
        if life is not None:
            life.give_back(attempt, machine)

    # return_main

    @rule(pick=PICK, strange=RARELY, outcomes=st.lists(st.sampled_from(["done", "failed", "interrupted"]), max_size=3))
    def return_main(self, pick: int, strange: bool, outcomes: list[str]) -> None:
        """Take what is due; then answer for one job, more often than it was taken."""
        self.room.clock.forward(LONG_S)
        calls = {(call.job_id, call.attempt, call.return_tries) for call in self.room.service.take_returns(99)}
        assert calls == {(job, life.attempt, life.tries) for job, life in self.lives.items() if life.take_return()}
        job = self._job(pick)
        life, attempt, _ = self._facts(job, strange=False)
        for outcome in outcomes:
            told = ReturnAnswer(job, attempt - strange, ReturnOutcome[outcome.upper()], outcome)
            counted = self.room.service.answer_returns([told])
            assert counted == (life is not None and life.answer_return(attempt - strange, outcome))

    # people

    @rule(picks=st.lists(PICK, min_size=1, max_size=3), what=st.sampled_from(["kill", "rerun", "clear"]))
    def ask(self, picks: list[int], what: str) -> None:
        self._ask([self._job(pick) for pick in picks], what)

    def _ask(self, some: list[int], what: str) -> None:
        self.room.clock.forward(LONG_S)
        getattr(self.room.service, what)(some)
        for job in set(some) & self.lives.keys():
            getattr(self.lives[job], what)()

    @rule(pick=PICK, what=st.sampled_from(["copy", "delete"]))
    def ask_for_one(self, pick: int, what: str) -> None:
        job = self._job(pick)
        life = self.lives.get(job)
        if what == "delete":
            self.room.service.delete([job])
            if life is not None and life.may_go:
                del self.lives[job]
                self.gone.append(job)
        elif len(self.lives) < 4:
            copied = self.room.service.copy([job]).ids
            assert len(copied) == (life is not None)
            if life is not None:
                self.lives[copied[0]] = life.copy()

    # servers

    # Seldom: it takes longer than anything else.
    @precondition(lambda self: self.steps >= 10)
    @rule(how=st.sampled_from(["restart", "take over"]))
    def another_server(self, how: str) -> None:
        """This one again, or another while the one before is still there and does not know yet (G18)."""
        self.steps = 0
        if how == "restart":
            self.room.close()
        old_store, old = self.room.store, self.room.service
        self.room.open()
        self._lead()
        if how == "take over":
            self._try_to_write(old)
            old_store.close()
        self.room.service.recover_returns()
        for life in self.lives.values():
            life.answer_return(life.attempt, "interrupted")

    def _try_to_write(self, old: JobService) -> None:
        claims = [Pick(job, "m1", 0) for job in self.lives] or [Pick(1, "m1", 0)]
        ends = [self.room.record("end", job, life.attempt, ok()) for job, life in self.lives.items()]
        for verb in (lambda: old.claim(claims).result(), lambda: old.take_report("m1", "r1", ends), old.housekeeping):
            with pytest.raises(Superseded):
                verb()

    def _lead(self) -> None:
        with self.room.store.read() as conn:
            seen = leader.look(conn)
        take = partial(leader.take, seen=seen, owner="test", lease_s=1.0, now=0.0, before_s=float("inf"))
        epoch = self.room.store.write(take)
        assert epoch == seen.epoch + 1
        self.room.store.fence(partial(leader.fence, epoch=epoch))

    # what must hold

    @invariant()
    def the_store_is_where_the_model_is(self) -> None:
        self.steps += 1
        found = self.room.service.jobs(size=1000).jobs
        assert {one.job_id: (one.status, one.attempt, one.starts) for one in found} == self.lives.snapshot()

    @invariant()
    def counters_are_what_counting_gives(self) -> None:
        asked = "SELECT job_type, batch, status, updated_at, return_count, spend_s, created_at FROM jobs"
        batches: dict[Any, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
        hours: dict[Any, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
        for job_type, batch, status, updated_at, count, spend_s, _ in self.room.sql(asked):
            for sums in (batches[job_type, batch, status], hours[int(updated_at) // 3600, job_type, status]):
                sums[0] += 1
                sums[1] += count
                sums[2] += spend_s
        kept = self.room.sql(
            "SELECT job_type, batch, status, jobs, return_count, spend_s FROM counters WHERE jobs <> 0"
        )
        assert {row[:3]: list(row[3:]) for row in kept} == batches
        kept = self.room.sql("SELECT hour, job_type, status, jobs, return_count, spend_s FROM hours WHERE jobs <> 0")
        assert {row[:3]: list(row[3:]) for row in kept} == hours

    @invariant()
    def lanes_say_how_many_wait_in_them(self) -> None:
        waits = Counter(self.room.sql("SELECT lane_id, queued_lane IS NOT NULL FROM jobs WHERE status = 0"))
        for lane, ready, backing_off in self.room.sql("SELECT id, ready, backing_off FROM lanes"):
            assert (ready, backing_off) == (waits[lane, True], waits[lane, False])

    @invariant()
    def each_attempt_keeps_its_first_result_and_the_stream_has_each_finished_job_once(self) -> None:
        rows = self.room.service.results(0).rows
        terminal = [job for job, life in self.lives.items() if life.status in TERMINAL]
        assert sorted(row.job_id for row in rows) == sorted(terminal)
        kept: dict[int, dict[int, str]] = {job: {} for job in self.lives}
        for job, attempt, result in self.room.sql("SELECT job_id, attempt, result FROM attempts"):
            if result is not None:
                kept[job][attempt] = result
        assert kept == {job: life.results for job, life in self.lives.items()}

    @invariant()
    def rows_agree_with_themselves(self) -> None:
        asked = "SELECT id, status, queued_lane, due_at, done_seq, attempt FROM jobs"
        closed = Counter(row[0] for row in self.room.sql("SELECT job_id FROM attempts"))
        for job, status, lane, due_at, done_seq, attempt in self.room.sql(asked):
            assert (lane is not None or due_at is not None) == (status == 0 or (status == 2 and due_at is not None))
            assert (done_seq is not None) == (status in TERMINAL)
            assert attempt - closed[job] == (status == Status.RUNNING)  # at most one is open, and none is missing (G4)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", databases.KINDS)
def test_random_lives(kind: str, database_servers: None) -> None:
    require(databases.missing(kind))
    number = int(os.environ.get("MJ_MODEL_SEED") or random.SystemRandom().randrange(2**32))
    examples = int(os.environ.get("MJ_MODEL_EXAMPLES") or EXAMPLES[kind])
    print(f"MJ_MODEL_SEED={number} MJ_MODEL_EXAMPLES={examples}")
    asked = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    machine = type(f"StepsOn{kind.title()}", (Steps,), {"kind": kind})
    seed(number)(get_state_machine_test(machine, settings=asked))()
