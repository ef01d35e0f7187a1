"""How many calls of a map share a job, and what becomes of each: without a server."""

import base64
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from multijob import Result
from multijob.future import FunctionFuture
from multijob.outbox import FIRST_CALLS, HOLD_S, TOGETHER_BYTES, TOGETHER_CALLS, Call, Course, Order, Outbox

HEAD = {"name": "f", "python": "3.11"}
NOW_S = 100.0


def course(calls: int, size_bytes: int = 10) -> Course:
    return Course("type", HEAD, [Call(FunctionFuture(None, None), b"x" * size_bytes) for _ in range(calls)])  # type: ignore[arg-type]


def row(answers: Sequence[Any] | None, took_s: float = 0.0, *, ok: bool = True, reason: str = "error") -> Result:
    told = None if answers is None else {"pickles": text([pickle.dumps(each) for each in answers]), "took_s": took_s}
    return Result(1, 3 if ok else 4, "" if ok else reason, 1, "m1", 0, 1, 0.5, told, None)


def text(value: Any) -> str:
    return base64.b64encode(pickle.dumps(value)).decode()


def take_all(outbox: Outbox) -> list[Order]:
    taken: list[Order] = []
    while some := outbox.take():
        taken += some
    return taken


def sizes(orders: Sequence[Order]) -> list[int]:
    return [len(order.futures) for order in orders]


def measured(outbox: Outbox, each_s: float) -> None:
    """The first calls were sent, and eight have told how long they took."""
    for order in take_all(outbox)[:8]:
        outbox.put(order.sent().settle(row([1], each_s)))


def test_few_calls_go_one_a_job_at_once() -> None:
    outbox = Outbox()
    outbox.put_course(course(FIRST_CALLS))
    assert outbox.is_due(NOW_S)
    assert sizes(take_all(outbox)) == [1] * FIRST_CALLS
    assert not outbox
    assert not outbox.is_due(NOW_S)


@pytest.mark.parametrize("each_s", [0.02, 0.01])
def test_calls_that_are_not_short_go_on_one_a_job(each_s: float) -> None:
    outbox = Outbox()
    outbox.put_course(course(FIRST_CALLS + 50))
    assert outbox.is_due(NOW_S)
    measured(outbox, each_s)
    assert not outbox.is_due(NOW_S)
    assert outbox.is_due(NOW_S + HOLD_S)
    assert sizes(take_all(outbox)) == [1] * 50


@pytest.mark.parametrize(("each_s", "together"), [(0.005, 4), (0.001, 20), (0.0, TOGETHER_CALLS)])
def test_the_rest_shares_jobs_as_the_first_were_short(each_s: float, together: int) -> None:
    outbox = Outbox()
    outbox.put_course(course(FIRST_CALLS + 1000))
    assert outbox.is_due(NOW_S)
    measured(outbox, each_s)
    assert outbox
    assert outbox.is_due(NOW_S)
    shared = sizes(take_all(outbox))
    assert sum(shared) == 1000
    assert set(shared[:-1]) == {together}
    assert outbox.due_at_s() is None


def test_who_is_not_measured_in_time_goes_one_a_job_twice_as_many_each_time() -> None:
    outbox = Outbox()
    outbox.put_course(course(FIRST_CALLS * 3 + 5))
    assert outbox.is_due(NOW_S)
    assert sizes(take_all(outbox)) == [1] * FIRST_CALLS
    assert not outbox.is_due(NOW_S + HOLD_S / 2)
    assert outbox.due_at_s() == NOW_S + HOLD_S
    assert outbox.is_due(NOW_S + HOLD_S)
    assert sizes(take_all(outbox)) == [1] * FIRST_CALLS * 2
    assert outbox.is_due(NOW_S + HOLD_S * 2)
    assert sizes(take_all(outbox)) == [1] * 5
    assert not outbox.is_due(NOW_S + HOLD_S * 3)
    assert not outbox


def test_long_arguments_do_not_pile_up_in_a_job() -> None:
    outbox = Outbox()
    outbox.put_course(course(FIRST_CALLS + 10, TOGETHER_BYTES // 2))
    assert outbox.is_due(NOW_S)
    measured(outbox, 0.001)
    assert outbox.is_due(NOW_S)
    assert sizes(take_all(outbox)) == [2] * 5


def shared(calls: int) -> Order:
    """A job of so many calls, on its way."""
    outbox = Outbox()
    outbox.put_course(course(FIRST_CALLS + calls))
    outbox.is_due(NOW_S)
    measured(outbox, 0.001)
    outbox.is_due(NOW_S)
    [order] = take_all(outbox)
    return order.sent()


def test_calls_the_job_has_not_come_to_are_sent_again() -> None:
    order = shared(4)
    again = order.settle(row(["a", "b"]))
    assert [future.result(0) for future in order.futures[:2]] == ["a", "b"]
    assert [one.futures for one in again] == [[order.futures[2]], [order.futures[3]]]


def test_an_exception_is_of_one_call_those_before_it_have_answered() -> None:
    order = shared(4)
    again = order.settle(row(["a"], ok=False))
    assert order.futures[0].result(0) == "a"
    assert order.futures[1].exception(0) is not None
    assert [one.futures for one in again] == [[order.futures[2]], [order.futures[3]]]


def test_what_died_with_its_process_tells_nothing_of_any_call() -> None:
    order = shared(3)
    assert order.settle(row(None, ok=False, reason="died")) == []
    assert all(future.exception(0) is not None for future in order.futures)


@pytest.mark.parametrize("told", [{"pickles": "!"}, {"pickles": text({})}, {"pickles": text([1])}, {}, None, 7, "x"])
def test_a_result_that_is_not_ours_is_no_answer(told: Any) -> None:
    order = shared(2)
    assert order.settle(row([])._replace(result=told)) == []
    assert all(future.exception(0) is not None for future in order.futures)


def test_more_answers_than_calls_are_no_answer() -> None:
    order = shared(2)
    assert order.settle(row([1, 2, 3])) == []
    assert all(future.exception(0) is not None for future in order.futures)


def test_what_was_withdrawn_is_not_sent_again() -> None:
    order = shared(3)
    order.futures[2].withdrawn = True
    again = order.settle(row(["a"]))
    assert [one.futures for one in again] == [[order.futures[1]]]
    assert order.futures[2].cancelled()


def test_taking_back_leaves_the_others_of_a_shared_job() -> None:
    outbox = Outbox()
    outbox.put_course(course(FIRST_CALLS + 4))
    outbox.is_due(NOW_S)
    measured(outbox, 0.001)
    waiting = outbox.take_back(set())
    assert waiting == set()
    outbox.is_due(NOW_S)
    [order] = take_all(outbox)
    outbox.put([order])
    assert outbox.take_back({order.futures[1]}) == {order.futures[1]}
    assert [one.futures for one in take_all(outbox)] == [[order.futures[0]], [order.futures[2]], [order.futures[3]]]


def test_taking_back_what_is_still_held() -> None:
    made = course(FIRST_CALLS + 2)
    outbox = Outbox()
    outbox.put_course(made)
    outbox.is_due(NOW_S)
    held = {call.future for call in made._waiting}
    assert len(held) == 2
    assert outbox.take_back(held) == held
    assert made.due_at_s() is None
