"""How many calls of a map share a job, when they go, and what becomes of each: without a server."""

import base64
import pickle
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest

from multijob import Result
from multijob.course import ALONG_S, TOGETHER_ALONG_S, Course
from multijob.future import Call
from multijob.grouping import (
    FEWEST_JOBS,
    FIRST_CALLS,
    HOLD_S,
    LEAST_S,
    MEASURED_JOBS,
    SCOUTS,
    TOGETHER_BYTES,
    TOGETHER_CALLS,
    TOGETHER_S,
    TRIAL_CALLS,
    TRIAL_S,
    taken,
    together,
)
from multijob.outbox import Order, Outbox

HEAD = {"name": "f", "python": "3.11"}
NOW_S = 100.0


def course(calls: int, size_bytes: int = 10, *, whole: bool = True) -> Course:
    made = Course("type", HEAD)
    for _ in range(calls):
        made.add(Call(b"x" * size_bytes), NOW_S)
    if whole:
        made.close()
    return made


def outbox_of(made: Course) -> Outbox:
    outbox = Outbox()
    outbox.put_course(made)
    return outbox


def row(answers: Sequence[Any] | None, took_s: float = 0.0, *, ok: bool = True, reason: str = "error") -> Result:
    told = None if answers is None else {"pickles": text([pickle.dumps(each) for each in answers]), "took_s": took_s}
    return Result(1, 3 if ok else 4, "" if ok else reason, 1, "m1", 0, 1, 0.5, told, None)


def text(value: Any) -> str:
    return base64.b64encode(pickle.dumps(value)).decode()


def take_all(outbox: Outbox) -> list[Order]:
    orders: list[Order] = []
    while some := outbox.take():
        orders += some
    return [order.sent(number) for number, order in enumerate(orders)]


def sizes(orders: Sequence[Order]) -> list[int]:
    return [len(order.futures) for order in orders]


def measured(outbox: Outbox, each_s: float) -> None:
    """The first calls were sent, and enough have told how long they took."""
    for order in take_all(outbox)[:MEASURED_JOBS]:
        outbox.put(order.settle(row([1], each_s)))


# ------------------------------------------------------------------------------------ before they are known to be short


def test_few_calls_go_one_a_job_at_once() -> None:
    outbox = outbox_of(course(TRIAL_CALLS))
    assert outbox.is_due(NOW_S)
    assert sizes(take_all(outbox)) == [1] * TRIAL_CALLS
    assert not outbox
    assert not outbox.is_due(NOW_S)


@pytest.mark.parametrize("each_s", [0.02, 0.01])
def test_calls_that_are_not_short_go_on_one_a_job(each_s: float) -> None:
    outbox = outbox_of(course(FIRST_CALLS))
    assert outbox.is_due(NOW_S)
    measured(outbox, each_s)
    assert not outbox.is_due(NOW_S)
    assert outbox.is_due(NOW_S + TRIAL_S)
    assert sizes(take_all(outbox)) == [1] * (FIRST_CALLS - TRIAL_CALLS)


def test_who_is_not_measured_in_time_goes_one_a_job_twice_as_many_each_time() -> None:
    outbox = outbox_of(course(FIRST_CALLS * 7 + 5))
    now_s = NOW_S
    for calls, pause_s in (
        (TRIAL_CALLS, TRIAL_S),
        (FIRST_CALLS - TRIAL_CALLS, HOLD_S),
        (FIRST_CALLS * 2, HOLD_S),
        (FIRST_CALLS * 4, HOLD_S),
    ):
        assert outbox.is_due(now_s)
        assert sizes(take_all(outbox)) == [1] * calls
        assert not outbox.is_due(now_s + pause_s / 2)
        assert outbox.due_at_s() == now_s + pause_s
        now_s += pause_s
    assert outbox.is_due(now_s)
    assert sizes(take_all(outbox)) == [1] * 5
    assert not outbox


def test_while_arguments_are_read_calls_wait_for_a_moment_only() -> None:
    made = course(3, whole=False)
    outbox = outbox_of(made)
    assert not outbox.is_due(NOW_S)
    assert outbox.due_at_s() == NOW_S + ALONG_S
    assert outbox.is_due(NOW_S + ALONG_S)
    assert sizes(take_all(outbox)) == [1] * 3
    assert not outbox.is_due(NOW_S + 1)
    assert made.add(Call(b"x"), NOW_S + 1), "whoever waits has to look anew"
    assert outbox.is_due(NOW_S + 1 + ALONG_S)
    assert sizes(take_all(outbox)) == [1]
    for number in range(1, TRIAL_CALLS - 4):
        assert made.add(Call(b"x"), NOW_S + 2) == (number == 1)
    assert made.add(Call(b"x"), NOW_S + 2), "as many as may go"
    assert outbox.is_due(NOW_S + 2)


def test_while_arguments_are_read_short_calls_wait_for_a_moment_to_go_together() -> None:
    made = course(TRIAL_CALLS, whole=False)
    outbox = outbox_of(made)
    assert outbox.is_due(NOW_S)
    measured(outbox, 0.001)
    for _ in range(25):
        made.add(Call(b"x"), NOW_S + 1)
    assert not outbox.is_due(NOW_S + 1)
    assert outbox.due_at_s() == NOW_S + 1 + TOGETHER_ALONG_S
    assert outbox.is_due(NOW_S + 1 + TOGETHER_ALONG_S)
    assert sizes(take_all(outbox)) == [10, 10, 5]
    made.add(Call(b"x"), NOW_S + 2)
    made.close()
    assert outbox.is_due(NOW_S + 2), "none can come along"


# ------------------------------------------------------------------------------------------------------------- together


@pytest.mark.parametrize("each_s", [0.005, 0.001, 0.0])
def test_short_calls_share_jobs_the_first_of_them_short_ones(each_s: float) -> None:
    outbox = outbox_of(course(100_000))
    assert outbox.is_due(NOW_S)
    measured(outbox, each_s)
    assert outbox.is_due(NOW_S)
    scouts = take_all(outbox)
    assert len(scouts) == SCOUTS
    assert set(sizes(scouts)) == {min(TOGETHER_CALLS, int(LEAST_S / max(each_s, 1e-6)))}
    assert not outbox.is_due(NOW_S), "nothing is known of such jobs yet"
    for order in scouts[:MEASURED_JOBS]:
        assert not outbox.is_due(NOW_S)
        outbox.put(order.settle(row([1] * len(order.calls), each_s * len(order.calls))))
    assert outbox.is_due(NOW_S)
    others = sizes(take_all(outbox))
    assert TRIAL_CALLS + sum(sizes(scouts)) + sum(others) == 100_000
    assert others[0] == min(TOGETHER_CALLS, int(TOGETHER_S / max(each_s, 1e-6)))
    assert set(others[:-1]) == {others[0]}
    assert outbox.due_at_s() is None


def test_few_calls_are_still_for_many_machines() -> None:
    assert together(10_000, 0.001, scouts=False) == 50
    assert together(20 * FEWEST_JOBS, 0.001, scouts=False) == 20
    assert together(1, 0.001, scouts=False) == 10
    assert together(10_000, 0.009, scouts=True) == 1


def test_long_arguments_do_not_pile_up_in_a_job() -> None:
    calls = deque(Call(b"x" * (TOGETHER_BYTES // 2)) for _ in range(5))
    assert [len(taken(calls, 20)) for _ in range(3)] == [2, 2, 1]
    longest = deque([Call(b"x" * TOGETHER_BYTES * 2), Call(b"x")])
    assert len(taken(longest, 20)) == 1


def test_where_the_first_shared_jobs_do_not_come_back_the_others_go_one_a_job() -> None:
    outbox = outbox_of(course(10_000))
    assert outbox.is_due(NOW_S)
    measured(outbox, 0.001)
    assert outbox.is_due(NOW_S)
    assert len(take_all(outbox)) == SCOUTS
    assert outbox.due_at_s() == NOW_S + HOLD_S
    assert outbox.is_due(NOW_S + HOLD_S)
    assert sizes(take_all(outbox)) == [1] * (FIRST_CALLS - TRIAL_CALLS)


def test_jobs_that_come_to_nothing_hold_up_no_others() -> None:
    outbox = outbox_of(course(10_000))
    assert outbox.is_due(NOW_S)
    measured(outbox, 0.001)
    assert outbox.is_due(NOW_S)
    scouts = take_all(outbox)
    for number, order in enumerate(scouts[:MEASURED_JOBS]):
        assert not outbox.is_due(NOW_S)
        if number % 2:
            order.failed_with(ValueError("gone"))
        else:
            order.cancelled_by_us()
    assert outbox.is_due(NOW_S)


def test_in_a_hurry_nothing_waits_for_what_is_out() -> None:
    outbox = outbox_of(course(10_000))
    assert outbox.is_due(NOW_S)
    measured(outbox, 0.001)
    assert outbox.is_due(NOW_S)
    assert len(take_all(outbox)) == SCOUTS
    assert outbox.is_learning
    assert outbox
    outbox.hurry()
    assert outbox.is_due(NOW_S)
    take_all(outbox)
    assert not outbox
    assert not outbox.is_learning


# ------------------------------------------------------------------------------------------------- what becomes of each


def shared(calls: int) -> Order:
    """A job of so many calls, on its way."""
    outbox = outbox_of(course(TRIAL_CALLS + calls))
    outbox.is_due(NOW_S)
    measured(outbox, 0.001)
    outbox.is_due(NOW_S)
    [order] = take_all(outbox)
    return order


def test_calls_the_job_has_not_come_to_are_sent_again() -> None:
    order = shared(4)
    again = order.settle(row(["a", "b"]))
    assert [call.take() for call in order.calls[:2]] == ["a", "b"]
    assert [one.futures for one in again] == [[order.calls[2]], [order.calls[3]]]


def test_an_exception_is_of_one_call_those_before_it_have_answered() -> None:
    order = shared(4)
    again = order.settle(row(["a"], ok=False))
    assert order.calls[0].take() == "a"
    with pytest.raises(Exception, match="reason: error"):
        order.calls[1].take()
    assert [one.futures for one in again] == [[order.calls[2]], [order.calls[3]]]


def test_what_died_with_its_process_tells_nothing_of_any_call() -> None:
    order = shared(3)
    assert order.settle(row(None, ok=False, reason="died")) == []
    for call in order.calls:
        with pytest.raises(Exception, match="reason: died"):
            call.take()


@pytest.mark.parametrize("told", [{"pickles": "!"}, {"pickles": text({})}, {"pickles": text([1])}, {}, None, 7, "x"])
def test_a_result_that_is_not_ours_is_no_answer(told: Any) -> None:
    order = shared(2)
    assert order.settle(row([])._replace(result=told)) == []
    for call in order.calls:
        with pytest.raises(Exception, match="no result any more"):
            call.take()


def test_more_answers_than_calls_are_no_answer() -> None:
    order = shared(2)
    assert order.settle(row([1, 2, 3])) == []
    assert all(call.done() for call in order.calls)


def test_what_was_withdrawn_is_not_sent_again() -> None:
    order = shared(3)
    order.calls[2].withdrawn = True
    again = order.settle(row(["a"]))
    assert [one.futures for one in again] == [[order.calls[1]]]
    assert order.calls[2].done()


def test_arguments_are_kept_while_they_may_be_sent_again() -> None:
    assert all(call.data for call in shared(2).calls)
    outbox = outbox_of(course(1))
    assert outbox.is_due(NOW_S)
    [alone] = take_all(outbox)
    assert not alone.calls[0].data


def test_taking_back_leaves_the_others_of_a_shared_job() -> None:
    outbox = outbox_of(course(TRIAL_CALLS + 4))
    outbox.is_due(NOW_S)
    measured(outbox, 0.001)
    waiting = outbox.take_back(set())
    assert waiting == set()
    outbox.is_due(NOW_S)
    [order] = outbox.take()
    outbox.put([order])
    assert outbox.take_back({order.calls[1]}) == {order.calls[1]}
    assert [one.futures for one in take_all(outbox)] == [[order.calls[0]], [order.calls[2]], [order.calls[3]]]


def test_taking_back_what_is_still_held() -> None:
    made = course(TRIAL_CALLS + 2)
    outbox = outbox_of(made)
    outbox.is_due(NOW_S)
    held = set(made._waiting)
    assert len(held) == 2
    assert outbox.take_back(held) == held  # type: ignore[arg-type]  # sets of the one are sets of either
    assert made.due_at_s() is None
