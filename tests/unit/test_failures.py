"""Signatures of failures: what looks alike is one group, what does not is several; hostile words cost little."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import failures
from jobs.status import Reason

TRACEBACK = """Traceback (most recent call last):
  File "{folder}/main.py", line {line}, in work
    return step(url)
           ~~~~^^^^^
  File "{folder}/steps.py", line 3, in step
    raise ValueError(message)
  File "/usr/lib/python3.{minor}/json/decoder.py", line 355, in raw_decode
    raise JSONDecodeError("Expecting value", s, err.value) from None
{last}"""
PLAIN = {
    "folder": "/home/a/.multijob/s/versions/crawl/3-ab",
    "line": 7,
    "minor": 11,
    "last": "ValueError: no 17 in 'x'",
}


def sign(error: str | None, reason: Reason = Reason.ERROR, **more: int) -> failures.Signature:
    found = failures.sign("crawl", reason, error, **more)
    assert found is not None
    assert failures.FINGERPRINT.fullmatch(found.fingerprint)
    return found


def traceback(**changes: object) -> str:
    return TRACEBACK.format(**PLAIN | changes)


def test_a_traceback_is_read():
    found = sign(traceback())
    assert found[1:] == ("crawl", Reason.ERROR, "ValueError", "no # in '…'", "steps.py in step")


@pytest.mark.parametrize(
    "changes",
    [
        {"line": 12},
        {"folder": "/srv/other/versions/crawl/4-cd"},
        {"minor": 13},
        {"last": "ValueError: no 18 in 'something else'"},
        {"last": "ValueError: no 17 in 'x'\nwith more of it\nline by line"},
    ],
)
def test_what_differs_from_job_to_job_makes_no_group(changes):
    assert sign(traceback(**changes)).fingerprint == sign(traceback()).fingerprint


@pytest.mark.parametrize(
    "other",
    [
        traceback(last="KeyError: 'x'"),
        traceback(last="ValueError: none in 'x'"),
        traceback().replace("in step", "in stop"),
        "no 17 in 'x'",
        "",
    ],
)
def test_what_differs_otherwise_does(other):
    assert sign(other).fingerprint != sign(traceback()).fingerprint


def test_types_and_reasons_make_groups():
    one = failures.sign("crawl", Reason.ERROR, "x")
    other = failures.sign("resize", Reason.ERROR, "x")
    assert one != other
    assert sign("x", Reason.TIMEOUT).fingerprint != sign("x", Reason.ERROR).fingerprint


@pytest.mark.parametrize(
    ("message", "folded"),
    [
        ("took 3.5 s, not 1e-9", "took # s, not #"),
        ("550e8400-e29b-41d4-a716-446655440000 is gone", "<id> is gone"),
        ("object at 0x7f00ab12", "object at <id>"),
        ("commit deadbeef01", "commit <id>"),
        ("no file /home/a/b c", "no file <path> c"),
        (r"no file C:\a\b", "no file <path>"),
        ("GET https://a.b/c?d=1 said 503", "GET <url> said #"),
        ("can't find 'a' or \"b\"", "can't find '…' or \"…\""),
        ("10.0.0.1:80 refused", "# refused"),
        ("a\t b\x1b[31m", "a b\ufffd[#m"),
        ("名字 12", "名字 #"),
    ],
)
def test_messages_are_folded(message, folded):
    assert failures.fold(message) == folded


def test_a_group_of_exceptions():
    error = """  + Exception Group Traceback (most recent call last):
  |   File "/x/main.py", line 2, in work
  |     raise ExceptionGroup("many", [ValueError(1)])
  | ExceptionGroup: many (1 sub-exception)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------
"""
    assert sign(error)[3:] == ("ExceptionGroup", "many (# sub-exception)", "main.py in work")


@pytest.mark.parametrize(
    ("last", "exception"),
    [("KeyboardInterrupt", "KeyboardInterrupt"), ("main.f.<locals>.Ärger: x", "main.f.<locals>.Ärger"), ("?!", "")],
)
def test_names_of_exceptions(last, exception):
    assert sign(traceback(last=last)).exception == exception


def test_a_process_that_died_is_named_by_its_end():
    assert sign("the worker died", Reason.DIED, signal=9).exception == "signal 9"
    assert sign("the worker died", Reason.DIED, exit_code=3).exception == "exit code 3"
    assert sign("the worker died", Reason.DIED).exception == ""


def test_lost_ones_are_one_group_whatever_is_said():
    assert sign("the runner on m1 knows nothing of it", Reason.LOST) == sign("no contact with m2", Reason.LOST)


@pytest.mark.parametrize("reason", sorted(failures.NOT_GROUPED))
def test_what_people_asked_for_is_no_failure(reason):
    assert failures.sign("crawl", reason, "x") is None


@given(st.text(max_size=3000), st.sampled_from(sorted(set(Reason) - failures.NOT_GROUPED)))
def test_no_words_break_it_and_what_comes_back_is_bounded(error, reason):
    found = sign(error, reason)
    assert len(found.message) <= failures.MESSAGE_LIMIT
    assert len(found.exception) <= failures.EXCEPTION_LIMIT
    assert len(found.frame) <= failures.FRAME_LIMIT
    assert found.message.isprintable()
    assert found.frame.isprintable()


@pytest.mark.parametrize(
    "error",
    [
        "'" * 64_000,
        "/" * 64_000,
        "a/" * 32_000,
        "0-" * 32_000,
        "a.b+" * 16_000,
        '  File "' * 8_000,
        '  File "a", line 1, in x\n' * 2_500,
        'File "' + "\n  | " * 12_000,
        "Traceback (most recent call last)\n" + " " * 60_000,
        "Traceback (most recent call last)\n" + "\u2028x" * 30_000,
    ],
    ids=range(10),
)
def test_hostile_words_cost_little(error):
    began = time.process_time()
    sign(error)
    assert time.process_time() - began < 1, "a thousand times what it takes"
