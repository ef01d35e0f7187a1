"""The SDK's functions without a server: what is sent, what comes back, what is refused here."""

import builtins
import concurrent.futures
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from multijob import Client, Executor, Invalid, JobFailed, NotFound, NotInstalled, Result, payload, pickling
from multijob.exchange import Exchange
from multijob.future import Call, FunctionFuture
from multijob.outbox import SEND_JOBS, Order


def result(status: int = 3, value: Any = None, error: str | None = None) -> Result:
    return Result(1, status, "" if status == 3 else "error", 1, "m1", 0, 1, 0.5, value, error)


def sent(value: Any) -> str:
    return pickling.text_of(pickling.dumps(value, "value"), "value")


def test_without_cloudpickle_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "cloudpickle":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NotInstalled, match=r'pip install "multijob\[functions\]"') as raised:
        payload.function(len)
    assert isinstance(raised.value, ImportError)


def test_only_functions_are_functions() -> None:
    with pytest.raises(Invalid, match="str cannot be called"):
        payload.function("crawl")


def test_answers_and_what_was_raised() -> None:
    assert payload.answer_of(result(value={"shown": 1, "pickle": sent((1, 2))})) == (1, 2)
    failed = result(-1, {"raised": sent(KeyError("k"))}, "Traceback: there")
    with pytest.raises(KeyError) as raised:
        payload.answer_of(failed)
    assert isinstance(raised.value.__cause__, JobFailed)
    assert raised.value.__cause__.remote_traceback == "Traceback: there"


@pytest.mark.parametrize("told", [None, 1, {}, {"raised": 1}, {"raised": "!"}, {"raised": "AAAA"}])
def test_what_cannot_be_made_anew_is_a_failed_job(told: object) -> None:
    assert isinstance(payload.error_of(result(-1, told)), JobFailed)


def test_what_was_raised_has_to_be_an_exception() -> None:
    assert isinstance(payload.error_of(result(-1, {"raised": sent("no exception")})), JobFailed)


@pytest.mark.parametrize("told", [None, {}, [1], {"shown": 1}])
def test_a_cleared_result_says_so(told: object) -> None:
    with pytest.raises(NotFound, match="no result any more"):
        payload.answer_of(result(value=told))


def test_sizes_are_told() -> None:
    head = payload.function(len).head()
    with pytest.raises(Invalid, match=r"arguments: has 12,0\d\d,\d{3} bytes pickled; the limit is 11,534,336"):
        payload.one_call(head, (b"x" * 12_000_000,), {})
    half = {"function": "x" * 10_000_000}
    with pytest.raises(Invalid, match="function and arguments"):
        payload.one_call(half, (b"x" * 5_000_000,), {})


@pytest.mark.parametrize(
    ("size_bytes", "jobs", "apart"),
    [(600, 1, False), (600, 100, False), (600, 10_000, True), (10_000_000, 1, False), (600_000, 2, True)],
)
def test_a_function_travels_apart_where_that_spares_much(size_bytes: int, jobs: int, apart: bool) -> None:
    assert payload.Function("name", b"x" * size_bytes).goes_apart(jobs) == apart


def test_of_items_that_are_not_counted_the_size_alone_decides() -> None:
    assert not payload.Function("name", b"x" * 8 * 1024).goes_apart()
    assert payload.Function("name", b"x" * (8 * 1024 + 1)).goes_apart()


def test_a_request_holds_jobs_of_one_type_and_no_more_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = Exchange(None, "batch", 1.0)  # type: ignore[arg-type]
    monkeypatch.setattr(exchange, "_start", lambda: None)

    def orders(count: int, job_type: str, size: int = 10) -> list[Order]:
        item = payload.Input((), {"call": "x" * size})
        return [Order(job_type, item, [FunctionFuture(None, exchange)]) for _ in range(count)]  # type: ignore[arg-type]

    exchange.add([*orders(SEND_JOBS + 1, "a"), *orders(2, "b"), *orders(3, "b", 2_000_000)])
    taken = [exchange._next_orders() for _ in range(5)]
    assert [(len(some), some[0].job_type) for some in taken] == [
        (SEND_JOBS, "a"), (1, "a"), (3, "b"), (1, "b"), (1, "b")
    ]  # fmt: skip
    exchange._sending = ()
    exchange.close()
    assert not exchange._next_orders()
    with pytest.raises(RuntimeError, match="after shutdown"):
        exchange.add([])


class Number(int):
    """Not plain: it has a class."""


@pytest.mark.parametrize(
    "value", [0, 10**400, "text", b"\x00", None, True, 1.5, (1, [2, {"a": {3}}]), Number(3), len, {"f": [max]}]
)
def test_what_is_pickled_comes_back(value: Any) -> None:
    back = pickling.loads(pickling.dumps(value, "value"))
    assert back == value
    assert type(back) is type(value)


def test_what_holds_code_goes_as_code() -> None:
    factor = 3
    [back] = pickling.loads(pickling.dumps([lambda n: n * factor], "value"))
    assert back(4) == 12


def test_what_cannot_be_pickled_is_told() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, [(n for n in range(3))]):
        with pytest.raises(Invalid, match="cannot be pickled"):
            pickling.dumps(value, "value")


def test_a_call_is_settled_once_and_handed_out_once() -> None:
    call = Call(b"arguments")
    assert not call.done()
    call.answered(pickle.dumps(7))
    call.failed_with(ValueError("too late"))
    call.cancelled_by_us()
    assert call.done()
    assert call.take() == 7
    assert call.done()
    with pytest.raises(concurrent.futures.InvalidStateError):
        call.take()


def test_a_map_of_nothing_asks_nobody() -> None:
    client = Client("http://127.0.0.1:9", "token")
    with Executor(client) as executor:
        assert list(executor.map(len, [])) == []


def test_a_call_that_was_withdrawn_and_killed_is_cancelled() -> None:
    killed = result(-1)._replace(reason="killed")
    call, other = Call(), Call()
    call.withdrawn = True
    call.finished(killed)
    with pytest.raises(concurrent.futures.CancelledError):
        call.take()
    other.finished(killed)
    with pytest.raises(JobFailed):
        other.take()
