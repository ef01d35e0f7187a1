"""What follows from the end of an attempt, and what is made of what a node says. No database."""

import json
from typing import Any

import pytest

from jobs import outcomes
from jobs.outcomes import Outcome
from jobs.rules import FREE_DEATHS, Backoff, Move, OpenJob, settle
from jobs.status import Reason, Status
from remote_runner.protocol import RESULT_LIMIT_BYTES, Record
from tests.support.store_kit import failed, ok

NOW = 1000.0


def a_job(**more: Any) -> OpenJob:
    facts: dict[str, Any] = {
        "job_id": 1,
        "status": Status.RUNNING,
        "attempt": 1,
        "starts": 1,
        "limit_count": 1,
        "kill_requested": False,
        "machine_id": "m1",
        "version": 0,
        "lane_id": 1,
        "rank": 0,
        "job_type": "crawl",
        "batch": "b",
        "claimed_at": 1.0,
        "started_at": None,
        "return_count": 0.0,
        "spend_s": 0.0,
    }
    return OpenJob(**{**facts, **more})


def moved(job: OpenJob, outcome: Outcome, *, has_return: bool = False) -> Move | None:
    return settle(job, outcome, has_return=has_return, now=NOW, spread=lambda: 0.5)


SUCCESS = Outcome(Reason.NONE, result="1")


def test_t4_t5_success() -> None:
    assert moved(a_job(), SUCCESS) == Move(Status.DONE, Reason.NONE, 1, None)
    assert moved(a_job(), SUCCESS, has_return=True) == Move(Status.RETURNING, Reason.NONE, 1, None)


@pytest.mark.parametrize("reason", [Reason.ERROR, Reason.DIED, Reason.TIMEOUT, Reason.LOST])
def test_t6_t7_retries_while_starts_are_left(reason: Reason) -> None:
    due_at = NOW + Backoff().delay_s(1, 0.5, reason)
    assert moved(a_job(starts=1, limit_count=1), Outcome(reason)) == Move(Status.WAITING, reason, 1, due_at)
    assert moved(a_job(starts=2, limit_count=1), Outcome(reason)) == Move(Status.FAILED, reason, 2, None)
    assert moved(a_job(starts=1, limit_count=0), Outcome(reason)) == Move(Status.FAILED, reason, 1, None)


@pytest.mark.parametrize("reason", [Reason.BAD_RESULT, Reason.RESULT_TOO_LARGE, Reason.KILLED])
def test_some_reasons_are_never_retried(reason: Reason) -> None:
    assert moved(a_job(limit_count=9), Outcome(reason)) == Move(Status.FAILED, reason, 1, None)


@pytest.mark.parametrize("reason", [Reason.GIVEN_BACK, Reason.DISPATCH_FAILED])
def test_t3_what_never_began_costs_nothing_and_waits_for_nothing(reason: Reason) -> None:
    assert moved(a_job(limit_count=0), outcomes.server_made(reason)) == Move(Status.WAITING, reason, 0, None)


def test_t8_a_late_success_of_a_lost_attempt_is_adopted_unless_a_kill_was_asked() -> None:
    for status in (Status.WAITING, Status.FAILED):
        assert moved(a_job(status=status, lost=True), SUCCESS) == Move(Status.DONE, Reason.NONE, 1, None)
        assert moved(a_job(status=status, lost=True, kill_requested=True), SUCCESS) is None
        assert moved(a_job(status=status, lost=True), Outcome(Reason.ERROR)) is None
        assert moved(a_job(status=status), SUCCESS) is None


def test_t10_t11_a_kill() -> None:
    killed = a_job(kill_requested=True, limit_count=5)
    assert moved(killed, Outcome(Reason.KILLED)) == Move(Status.FAILED, Reason.KILLED, 1, None)
    assert moved(killed, Outcome(Reason.ERROR)) == Move(Status.FAILED, Reason.ERROR, 1, None)
    assert moved(killed, Outcome(Reason.LOST)) == Move(Status.FAILED, Reason.KILL_UNCONFIRMED, 1, None)
    assert moved(killed, outcomes.server_made(Reason.GIVEN_BACK)) == Move(Status.FAILED, Reason.KILLED, 0, None)
    assert moved(killed, SUCCESS) == Move(Status.DONE, Reason.NONE, 1, None)


def test_a_worker_that_dies_before_work_is_free_but_not_for_ever() -> None:
    unstarted = Outcome(Reason.DIED, started=False)
    assert moved(a_job(limit_count=0), unstarted) == Move(Status.WAITING, Reason.DIED, 0, NOW + 5.0)
    assert moved(a_job(limit_count=0, attempt=FREE_DEATHS), unstarted) == Move(Status.FAILED, Reason.DIED, 1, None)


def test_back_off_doubles_to_five_minutes_and_is_spread() -> None:
    assert [Backoff().delay_s(tries, 0.5) for tries in (1, 2, 3, 9, 10, 99)] == [1, 2, 4, 256, 300, 300]
    assert (Backoff().delay_s(10, 0.0), Backoff().delay_s(10, 1.0)) == (150, 450)


def test_what_may_lie_with_the_machine_waits_longer_and_all_of_it_is_settable() -> None:
    slow = Backoff(first_s=0.1, longest_s=2.0)
    reasons = (Reason.ERROR, Reason.LOST, Reason.TIMEOUT, Reason.DIED)
    waits = {reason: slow.delay_s(1, 0.5, reason) for reason in reasons}
    assert waits == {Reason.ERROR: 0.1, Reason.LOST: 0.1, Reason.TIMEOUT: 0.2, Reason.DIED: 0.5}
    assert slow.delay_s(50, 0.5, Reason.DIED) == 2.0


# ------------------------------------------------------------------------------------------------------- what is heard


def heard(body: dict[str, Any], kind: str = "end") -> Outcome:
    ((_, outcome),) = outcomes.from_records([Record(1, kind, 1, 1, body)]).ended
    return outcome


def test_a_success_is_taken_as_it_is() -> None:
    log = {"stdout": {"head": "hi", "tail": "", "total": 2}}
    outcome = heard(ok({"a": [1, "é"]}, count=3, return_data="[2]", log=log))
    assert outcome.reason == Reason.NONE
    assert (outcome.result, outcome.return_data, outcome.return_count) == ('{"a": [1, "\\u00e9"]}', "[2]", 3.0)
    assert json.loads(outcome.log or "") == log
    assert heard(ok(return_data="null")).return_data is None
    assert heard(ok()).return_count == 1.0


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "-Infinity", "{", "", "'a'", "[1,]", '"\\ud800"', "[" * 100_000, '"\ud800"', "1 2"]
)
def test_what_is_not_strict_json_is_a_bad_result(text: str) -> None:
    for field in ("result", "return_data"):
        outcome = heard({**ok(), field: text})
        assert (outcome.reason, outcome.result) == (Reason.BAD_RESULT, None)
        assert field in (outcome.error or "")


@pytest.mark.parametrize("count", ["1", -1, float("nan"), float("inf"), True, None, [1]])
def test_a_count_is_a_number_of_at_least_0(count: object) -> None:
    assert heard(ok(count=count)).reason == Reason.BAD_RESULT


def test_sizes_are_bounded() -> None:
    outcome = heard(ok("x" * RESULT_LIMIT_BYTES))
    assert (outcome.reason, outcome.result) == (Reason.RESULT_TOO_LARGE, None)
    assert str(RESULT_LIMIT_BYTES + 2) in (outcome.error or "")
    assert len(heard(failed(error="e" * 1_000_000)).error or "") == outcomes.ERROR_LIMIT
    log = {"stdout": {"head": "h" * 1_000_000, "tail": "t" * 1_000_000, "total": 2_000_000}}
    assert len(heard(failed(log=log)).log or "") < outcomes.LOG_HEAD_LIMIT + outcomes.LOG_TAIL_LIMIT + 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ok": "yes", "result": "1"},
        {"ok": True},
        {"ok": True, "result": 5},
        {"ok": False, "reason": ["error"], "error": {"a": 1}, "spend_s": "long", "log": [1], "exit_code": 2**99},
        {"ok": False, "reason": "given_back", "spend_s": float("nan"), "signal": True},
        {"ok": False, "reason": "lost", "error": "\ud800\0", "log": {"stdout": {"head": 1, "tail": None}}},
    ],
)
def test_garbage_is_a_failure_and_never_an_error_of_ours(body: dict[str, Any]) -> None:
    outcome = heard(body)
    assert outcome.reason in (Reason.ERROR, Reason.BAD_RESULT)
    assert outcome.spend_s == 0.0
    (outcome.error or "").encode()
    assert "\0" not in (outcome.error or "")


def test_an_attempt_that_ended_is_not_also_told_to_have_begun() -> None:
    records = [Record(3, "end", 1, 1, ok()), Record(2, "start", 1, 1, {}), Record(7, "start", 2, 1, {})]
    told = outcomes.from_records(records)
    assert (told.last_seq, told.begun, len(told.ended)) == (7, [(2, 1)], 1)
