"""How a return value becomes a result, a return_data and a count, and what is refused with which words."""

import math
import types
from collections import OrderedDict
from enum import IntEnum
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from remote_runner import call
from remote_runner.call import BadResult, Outcome, TooLarge

PLAIN = types.ModuleType("main")


class Colour(IntEnum):
    RED = 1


def module(**functions: Any) -> types.ModuleType:
    found = types.ModuleType("main")
    found.__dict__.update(functions)
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("数据", '"数据"'),
        (1.5, "1.5"),
        ((1, [2, ()]), "[1,[2,[]]]"),
        ({"a": {"b": None}}, '{"a":{"b":null}}'),
        (OrderedDict([("b", 1), ("a", 2)]), '{"b":1,"a":2}'),
        (Colour.RED, "1"),
        ({}, "{}"),
    ],
)
def test_any_json_value_is_a_result(value: Any, text: str) -> None:
    assert call.shape(PLAIN, value) == Outcome(text, None, 1)


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ({"result": "x"}, Outcome('"x"', None, 1)),
        ({"result": "x", "count": 6, "return_data": 1}, Outcome('"x"', "1", 6)),
        ({"result": None, "count": 2.5, "return_result": [1]}, Outcome("null", "[1]", 2.5)),
        ({"result": 1, "return_data": None, "return_result": None, "count": None}, Outcome("1", None, 1)),
        ({"result": 1, "return_data": 0, "return_result": 2, "more": object()}, Outcome("1", "0", 1)),
        ({"result": 1, "count": 0}, Outcome("1", None, 0)),
    ],
)
def test_the_manuals_object(value: Any, outcome: Outcome) -> None:
    assert call.shape(PLAIN, value) == outcome


def test_functions_of_main_are_asked() -> None:
    asked = module(count=lambda result: len(result), return_data=lambda result: {"all": result})
    assert call.shape(asked, [1, 2]) == Outcome("[1,2]", '{"all":[1,2]}', 2)
    assert call.shape(asked, {"result": "abc", "count": 9}) == Outcome('"abc"', '{"all":"abc"}', 9)


def test_a_class_that_happens_to_be_called_count_is_not_asked() -> None:
    assert call.shape(module(count=count), [1]) == Outcome("[1]", None, 1)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "result: nan is not JSON"),
        ({"result": {"a": [1, math.inf]}}, "result.a[1]: inf is not JSON"),
        ({"a b": {2}}, "result['a b']: set is not JSON"),
        ({"a": {1: 2}}, "result.a: key 1 is int, not text"),
        ([{"x": b"bytes"}], "result[0].x: bytes is not JSON"),
        (["ok", "\ud800"], "result[1]: text with half a surrogate pair"),
        ([{"\ud800": 1}], "result[0]: a key with half a surrogate pair"),
        ({"result": 1, "return_data": [object()]}, "return_data[0]: object is not JSON"),
        ({"count": 1}, "the returned object has no key 'result'"),
        ({"return_data": 1}, "the returned object has no key 'result'"),
        ({"result": 1, "count": "3"}, "count is str, not a number"),
        ({"result": 1, "count": True}, "count is bool, not a number"),
        ({"result": 1, "count": -1}, "count is -1, not a finite number from 0 up"),
        ({"result": 1, "count": math.inf}, "count is inf, not a finite number from 0 up"),
    ],
)
def test_what_is_refused_is_named(value: Any, words: str) -> None:
    with pytest.raises(BadResult) as caught:
        call.shape(PLAIN, value)
    assert str(caught.value) == words


def test_what_contains_itself_or_is_too_deep_is_named() -> None:
    circle: dict[str, Any] = {"a": []}
    circle["a"].append(circle)
    with pytest.raises(BadResult, match=r"^result\.a\[0\]: contains itself$"):
        call.shape(PLAIN, circle)
    deep: list[Any] = []
    for _ in range(call.DEPTH_LIMIT):
        deep = [deep]
    with pytest.raises(BadResult, match="nested deeper than"):
        call.shape(PLAIN, deep)
    assert call.shape(PLAIN, deep[0]).count == 1
    for _ in range(100000):
        deep = [deep]
    with pytest.raises(BadResult, match="nested deeper than"):
        call.shape(PLAIN, deep)


def test_the_encoder_forgets_a_failure() -> None:
    shared: list[Any] = [1]
    with pytest.raises(BadResult):
        call.shape(PLAIN, [shared, object()])
    assert call.shape(PLAIN, [shared, shared]).result_text == "[[1],[1]]"


def test_size_is_bounded() -> None:
    limit = call.RESULT_LIMIT_BYTES
    assert len(call.shape(PLAIN, "x" * (limit - 2)).result_text) == limit
    with pytest.raises(TooLarge, match=f"result has {limit + 1} bytes"):
        call.shape(PLAIN, "x" * (limit - 1))
    with pytest.raises(TooLarge, match="return_data has"):
        call.shape(PLAIN, {"result": 1, "return_data": "数" * limit})


def test_arguments() -> None:
    assert call.arguments('{"args":[1,"\\ud83d\\ude00"],"kwargs":{"a":null}}') == ([1, "😀"], {"a": None})
    assert call.arguments("{}") == ([], {})


def test_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "runner_call_sample.py").write_text("def work():\n    return 1\n")
    assert call.load(str(tmp_path), "runner_call_sample").work() == 1
    (tmp_path / "runner_call_empty.py").write_text("")
    with pytest.raises(AttributeError, match=r"runner_call_empty\.py has no function work"):
        call.load(str(tmp_path), "runner_call_empty")
    for name in ("runner_call_sample", "runner_call_empty"):
        del sys.modules[name]
