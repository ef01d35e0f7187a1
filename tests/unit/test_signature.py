"""What work() takes, read without running anything."""

import json

import pytest

from jobs import signature


def _read(text: str) -> list[tuple[object, ...]] | None:
    found = signature.read(text.encode())
    if found.parameters is None:
        return None
    return [(one.name, one.kind, one.annotation, one.default_text, one.default) for one in found.parameters]


def test_parameters_with_kinds_annotations_and_defaults():
    text = 'def work(a, /, b: int, c="x", *rest, d=None, e: "list[str]", **more):\n    "Adds."\n'
    assert _read(text) == [
        ("a", "by_order", None, None, None),
        ("b", "plain", "int", None, None),
        ("c", "plain", None, "'x'", '"x"'),
        ("d", "by_name", None, "None", "null"),
        ("e", "by_name", "'list[str]'", None, None),
    ]
    assert signature.read(text.encode()).doc == "Adds."


def test_a_default_that_is_no_plain_value_is_shown_as_written():
    assert _read("def work(at=time.time(), far=float('inf')): pass") == [
        ("at", "plain", None, "time.time()", None),
        ("far", "plain", None, "float('inf')", None),
    ]


def test_the_last_definition_counts():
    assert _read("def work(a): pass\ndef work(b=[1, {'x': 2}]): pass") == [
        ("b", "plain", None, "[1, {'x': 2}]", json.dumps([1, {"x": 2}]))
    ]


@pytest.mark.parametrize(
    "text",
    ["", "work = 1", "from x import work", "@wrap\ndef work(a): pass", "def work(:", "x = " + "(" * 5000, "\0"],
)
def test_what_cannot_be_known_is_said_to_be_unknown(text):
    assert _read(text) is None


def test_nothing_runs(tmp_path):
    mark = tmp_path / "ran"
    assert _read(f"open({str(mark)!r}, 'w')\ndef work(x=open({str(mark)!r}, 'w')): pass") is not None
    assert not mark.exists()
