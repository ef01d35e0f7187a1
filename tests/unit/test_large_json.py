"""Large texts are judged without the interpreter's lock: what is called plain, Python's decoder takes as strict."""

import json
from typing import NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs import large_json, outcomes, strict_json
from jobs.status import Reason
from remote_runner.protocol import Record

LARGE = json.dumps([{"id": number, "name": f'Ünit "{number}"', "of": [1.5, None, True]} for number in range(3000)])
WRONG = [
    *("", " ", "1 2", "1,2", "],[", '"a":1', '1,"a":2', "[1,]", '{"a":1,}', "{a:1}", "'a'", "//\n1", "[1]]", "[[1]"),
    *("01", "-", "1.", ".5", "+1", "1e", "0x1", "NaN", "[NaN]", "-Infinity", "1\0", '"a\0"', '"a\nb"', '"\x1f"'),
    *('"\\x"', '"\\u12"', "\ufeff1", "\u00a01", "\x0b1", '"\ud800"', "9" * 4301, "[1," + "0" * 9000 + "]"),
]


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def strict(text: str) -> bool:
    """As Python's decoder sees it, on its way to UTF-8 and back."""
    try:
        json.dumps(json.loads(text.encode().decode(), parse_constant=_refuse), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


@pytest.mark.parametrize("text", WRONG)
def test_what_is_not_strict_is_not_plain(text: str) -> None:
    assert not large_json.is_plain(text)
    assert not strict(text)


@pytest.mark.parametrize("text", [LARGE, "1", '"é\U0001f600"', " [ ] ", "-0.5e-7", "9" * 4300, json.dumps("9" * 4300)])
def test_what_is_strict_is_plain(text: str) -> None:
    assert large_json.is_plain(text)
    assert strict(text)


def test_what_every_decoder_can_follow_is_plain_and_what_is_deeper_is_not() -> None:
    def nested(depth: int, opening: str, closing: str) -> str:
        return opening * depth + "1" + closing * depth

    limit = large_json.DEPTH_LIMIT
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        assert large_json.is_plain(nested(limit, opening, closing))
        assert not large_json.is_plain(nested(limit + 1, opening, closing))
    wide = "[" + ",".join(["[[1]]"] * limit) + "]"
    assert large_json.is_plain(wide)
    assert not large_json.is_plain(wide[:-1] + "," + nested(limit, "[", "]") + "]")


def test_halves_of_characters_are_found_wherever_they_stand() -> None:
    for at in (0, 5, 512 * 1024 - 3, 512 * 1024 - 2, 512 * 1024 - 1, 512 * 1024):
        assert large_json.has_half_pair("x" * at + "\\ud83d" + "y" * 9)
    assert not large_json.has_half_pair("\\u00d8 ud83d" + "x" * 600 * 1024)


@given(st.text(alphabet='[]{}",:\\u12dne.-+0 \n', max_size=40))
@example("[" * 10 + "]" * 10)
def test_plain_is_never_said_of_what_python_refuses(text: str) -> None:
    assert not large_json.is_plain(text) or strict(text)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_VALUES, st.booleans())
def test_what_python_writes_is_plain(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert large_json.is_plain(text) or large_json.has_half_pair(text) or "\0" in text


def test_only_what_takes_long_to_decode_is_costly() -> None:
    assert large_json.is_costly(LARGE)
    assert large_json.is_costly(json.dumps("\n" * 99_999))
    assert not large_json.is_costly(json.dumps("x" * 99_999))
    assert not large_json.is_costly("[1]")


def _end(result: str) -> outcomes.Outcome:
    heard = outcomes.from_records([Record(1, "end", 1, 1, {"ok": True, "result": result, "spend_s": 0.1})])
    return heard.ended[0][1]


def test_a_large_result_is_taken_without_being_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "decode", _refuse)
    assert _end(LARGE) == outcomes.Outcome(Reason.NONE, result=LARGE, return_count=1.0, spend_s=0.1)


@pytest.mark.parametrize("wrong", ["NaN", '"\\ud83d"', "[" * 100_000, "1", "1" * 5000])
def test_a_large_result_that_is_wrong_is_refused_as_a_small_one(wrong: str) -> None:
    outcome = _end(LARGE[:-1] + "," + wrong + "]")
    assert outcome.reason == (Reason.NONE if wrong == "1" else Reason.BAD_RESULT)
