"""benching: who is benched, for how long, and how it is admitted again. Pure, so nothing is faked."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.model import BenchRow
from jobs.status import Reason
from orchestrator.engine.benching import WHOLE, Benching, Failed, Rule

RULE = Rule(after=5, first_s=60.0, longest_s=600.0)
GOOD, BAD = Reason.NONE, Reason.ERROR


class Court:
    """Ends told one by one, at a time that moves only when told; jobs are all different unless named."""

    def __init__(self, rule: Rule = RULE) -> None:
        self.benching = Benching(rule)
        self.now_s = 1000.0
        self._jobs = itertools.count(1)

    def hear(self, machine: str, *reasons: Reason, kind: str = "crawl", job: int | None = None) -> None:
        for reason in reasons:
            if reason is GOOD:
                self.benching.succeeded(machine, kind, 1, self.now_s)
            else:
                ended = Failed(machine, kind, next(self._jobs) if job is None else job, reason)
                self.benching.failed(ended, self.now_s, 0.5)

    def benched(self, machine: str = "m1", kind: str = "crawl") -> bool:
        return self.benching.bench((machine, kind)) is not None

    def left_s(self, machine: str = "m1", kind: str = "crawl") -> float:
        bench = self.benching.bench((machine, kind))
        assert bench is not None
        return bench.until_s - self.now_s


def test_a_machine_that_fails_what_succeeds_elsewhere_is_benched_for_that_type_only() -> None:
    court = Court()
    court.hear("m2", *[GOOD] * 10)
    court.hear("m1", *[BAD] * 4)
    assert not court.benched()
    court.hear("m1", BAD)
    assert court.benched()
    assert not court.benched(kind="scan")
    assert not court.benched(kind=WHOLE)
    why = court.benching.of("m1")["crawl"].why
    assert "last 5 jobs of crawl" in why
    assert "100 % succeed on the other machines" in why


def test_what_fails_everywhere_benches_nobody() -> None:
    court = Court()
    for _ in range(50):
        court.hear("m1", BAD)
        court.hear("m2", BAD)
    assert not court.benched("m1")
    assert not court.benched("m2")


def test_without_another_machine_to_compare_with_nobody_is_benched() -> None:
    court = Court()
    court.hear("m1", *[GOOD] * 10, *[BAD] * 50)
    assert not court.benched()


@pytest.mark.parametrize(("share", "streak"), [(0.5, 10), (0.9, 60)])
def test_the_more_often_a_type_fails_elsewhere_the_longer_the_streak_must_be(share: float, streak: int) -> None:
    court = Court()
    for number in range(100):
        court.hear("m2", BAD if number < 100 * share else GOOD)
    court.hear("m1", *[BAD] * (streak - 2))
    assert not court.benched()
    court.hear("m1", *[BAD] * 12)
    assert court.benched()


def test_one_poisonous_job_tried_again_and_again_is_no_streak() -> None:
    court = Court()
    court.hear("m2", *[GOOD] * 10)
    court.hear("m1", *[BAD] * 50, job=7)
    assert not court.benched()


@pytest.mark.parametrize("reason", [Reason.KILLED, Reason.BAD_RESULT, Reason.RESULT_TOO_LARGE, Reason.GIVEN_BACK])
def test_what_says_nothing_of_the_machine_does_not_count(reason: Reason) -> None:
    court = Court()
    court.hear("m2", *[GOOD] * 10)
    court.hear("m1", *[reason] * 50)
    assert not court.benched()


def test_a_success_ends_the_streak() -> None:
    court = Court()
    court.hear("m2", *[GOOD] * 10)
    for _ in range(10):
        court.hear("m1", *[BAD] * 4, GOOD)
    assert not court.benched()


def test_failures_of_the_plumbing_bench_the_whole_machine_across_types() -> None:
    court = Court()
    for kind in ("a", "b", "c"):
        court.hear("m2", *[GOOD] * 5, kind=kind)
    for kind in ("a", "b", "c", "a", "b"):
        court.hear("m1", Reason.DIED if kind == "a" else Reason.DISPATCH_FAILED, kind=kind)
    assert court.benched(kind=WHOLE)
    assert not court.benched(kind="a")


def test_it_is_tried_again_after_a_time_that_grows_and_admitted_by_a_success() -> None:
    court = Court()
    court.hear("m2", *[GOOD] * 10)
    court.hear("m1", *[BAD] * 5)
    for wait_s in (60, 120, 240, 480, 600, 600):
        assert court.left_s() == wait_s
        court.hear("m1", BAD)  # what it still had changes nothing
        assert court.left_s() == wait_s
        court.now_s += wait_s
        court.hear("m1", BAD)
    court.hear("m1", GOOD)
    assert not court.benched()


def test_who_is_benched_again_soon_sits_longer_and_a_good_time_is_forgiven() -> None:
    court = Court()
    court.hear("m2", *[GOOD] * 10)
    court.hear("m1", *[BAD] * 5, GOOD, *[BAD] * 5)
    assert court.left_s() == 120
    court.hear("m1", GOOD)
    court.now_s += RULE.longest_s + 1
    court.hear("m1", *[BAD] * 5)
    assert court.left_s() == 60


def test_a_person_admits_at_once_and_nothing_of_before_counts() -> None:
    court = Court()
    court.hear("m2", *[GOOD] * 10)
    court.hear("m1", *[BAD] * 5)
    assert court.benching.admit("m1") == [("m1", "crawl")]
    court.hear("m1", *[BAD] * 4)
    assert not court.benched()


def test_a_bench_outlives_a_restart_with_the_time_that_is_left() -> None:
    court = Court()
    row = BenchRow(machine_id="m1", job_type="crawl", why="it failed", level=3, since_at=0.0, until_at=5030.0)
    court.benching.recall([row], 5000.0, court.now_s)
    assert court.left_s() == 30
    court.now_s += 31
    court.hear("m1", BAD)
    assert court.left_s() == 480


def test_it_can_be_turned_off() -> None:
    court = Court(Rule(after=0))
    court.hear("m2", *[GOOD] * 10)
    court.hear("m1", *[BAD] * 100)
    assert not court.benched()


def test_successes_told_together_count_as_those_told_one_by_one() -> None:
    together, one_by_one = Court(), Court()
    for court in (together, one_by_one):
        court.hear("m1", *[BAD] * 3)
        court.hear("m2", *[GOOD] * 7, *[BAD] * 60)
    together.benching.succeeded("m2", "crawl", 333, 0.0)
    one_by_one.hear("m2", *[GOOD] * 333)
    for court in (together, one_by_one):
        court.hear("m1", *[BAD] * 30)
    why = one_by_one.benching.of("m1")["crawl"].why
    assert "succeed on the other machines" in why
    assert together.benching.of("m1")["crawl"].why == why


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 9)), max_size=60))
def test_whatever_the_numbers_are_successes_are_counted_to_their_end(told: list[tuple[int, int]]) -> None:
    court = Court()
    for good, bad in told:
        court.benching.succeeded("m1", "crawl", good, 0.0)
        court.hear("m1", *[BAD] * bad)
    assert not court.benched()
