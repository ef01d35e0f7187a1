"""Parts of a stored log: no byte twice, none missing but those of the hole, never half a character."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import logs
from jobs.logs import Part, Printed, part


def walk(whole: Printed, limit: int) -> list[Part]:
    """All parts from the beginning, each where the one before ended."""
    found = [part(whole, 0, limit)]
    while found[-1].end < found[-1].total:
        found.append(part(whole, found[-1].end, limit))
    return found


@given(st.text(max_size=200), st.text(max_size=200), st.integers(0, 500), st.integers(logs.LEAST_BYTES, 64))
def test_a_walk_gives_everything_once(head, tail, hole, limit):
    whole = Printed(head, tail, len(head.encode()) + len(tail.encode()) + hole)
    parts = walk(whole, limit)
    assert "".join(one.text for one in parts) == head + tail
    assert all(len(one.text.encode()) <= limit for one in parts)
    assert all(one.end - one.offset == len(one.text.encode()) for one in parts)
    assert parts[0].missing == ((len(head.encode()), len(head.encode()) + hole) if hole else None)


def test_from_the_end():
    whole = Printed("abc", "äöü", 100)
    assert part(whole, -4, 16) == Part(96, 100, 100, "öü", (3, 94))
    assert part(whole, -1, 16) == Part(98, 100, 100, "ü", (3, 94))
    assert part(whole, -1000, 16).text == "abc"
    assert part(whole, 50, 16).offset == 94
    assert part(whole, 1000, 16) == Part(100, 100, 100, "", (3, 94))


@pytest.mark.parametrize("log", [None, "{}", json.dumps({"stderr": {"head": "x", "tail": "", "total": 1}})])
def test_nothing_printed(log):
    assert part(logs.printed(log, "stdout"), 0, 100) == Part(0, 0, 0, "", None)


def test_as_one_text():
    assert logs.whole(Printed("ab", "", 2)) == "ab"
    assert logs.whole(Printed("ab", "yz", 10)) == "ab\n… 6 bytes were not kept …\nyz"
    assert logs.whole(Printed("\ufffd", "", 1)) == "\ufffd"
