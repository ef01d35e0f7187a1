"""The one-pass reader of submissions: what it takes, what it refuses, and that it agrees with the json module."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.api import bodies

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
INPUTS = st.lists(
    st.fixed_dictionaries({}, optional={"args": st.lists(ANY_JSON), "kwargs": st.dictionaries(st.text(), ANY_JSON)})
)


@given(
    inputs=INPUTS,
    members=st.dictionaries(st.text().filter(lambda name: name != "inputs"), ANY_JSON, max_size=3),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
def test_agrees_with_the_json_module(inputs, members, indent, ascii_only):
    text = json.dumps(members | {"inputs": inputs}, indent=indent, ensure_ascii=ascii_only)
    body = bodies.load_submission(text.encode("utf-8", "surrogatepass"))
    assert body.members == members
    assert [json.loads(one) for one in body.inputs] == [{"args": [], "kwargs": {}} | one for one in inputs]


def test_keeps_the_text_of_an_input_as_it_came():
    body = bodies.load_submission(b'{"inputs": [{"args": [1.50, "\\u4e2d"], "kwargs": {}}] , "job_type": "x"}')
    assert body.inputs == ['{"args": [1.50, "\\u4e2d"], "kwargs": {}}']
    assert body.members == {"job_type": "x"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", None),
        (b'{"job_type": "x"}', "inputs"),
        (b'{"inputs": 1}', "inputs"),
        (b'{"inputs": {}}', "inputs"),
        (b'{"inputs": [1]}', "inputs.0"),
        (b'{"inputs": [{}, null]}', "inputs.1"),
        (b'{"inputs": [{"args": 1}]}', "inputs.0.args"),
        (b'{"inputs": [{"args": [], "kwargs": []}]}', "inputs.0.kwargs"),
        (b'{"inputs": [{"kwargs": null}]}', "inputs.0.kwargs"),
        (b'{"inputs": [{"args": [], "arg": []}]}', "inputs.0.arg"),
        (b'{"inputs": [], "inputs": []}', "inputs"),
        (b'{"tag": "a", "tag": "b", "inputs": []}', "tag"),
    ],
)
def test_json_that_is_no_submission_names_its_field(body, field):
    with pytest.raises(bodies.Refused) as refused:
        bodies.load_submission(body)
    assert refused.value.well_formed
    assert refused.value.field == field


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"inputs"',
        b'{"inputs":',
        b'{"inputs":[',
        b'{"inputs":[{}',
        b'{"inputs":[{},',
        b'{"inputs":[{},]}',
        b'{"inputs":[{}],}',
        b'{"inputs":[{}]} {}',
        b'{"inputs":[{}] "tag":1}',
        b'{"inputs":[{} {}]}',
        b"{inputs:[]}",
        b"{1:[]}",
        b'{"inputs":[{"args":[NaN]}]}',
        b'{"inputs":[{"args":[Infinity]}]}',
        b'{"inputs":[{"args":[' + b"1" * 5000 + b"]}]}",
        b'{"inputs":' + b"[" * 200_000,
        b'{"inputs":[{"args":' + b"[" * 200_000,
        b'{"a":' + b'{"a":' * 100_000,
        b'{"inputs":[{"args":["\xff"]}]}',
        b'{"inputs":[{"args":["\n"]}]}',
    ],
)
def test_what_is_not_json_is_refused_as_such(body):
    with pytest.raises(bodies.Refused) as refused:
        bodies.load_submission(body)
    assert not refused.value.well_formed


@pytest.mark.parametrize("body", [b"", b"\xff", b"NaN", b"1 2", b"[" * 200_000, b"1" * 5000])
def test_load_refuses_what_is_not_strict_json(body):
    with pytest.raises(bodies.Refused) as refused:
        bodies.load(body)
    assert not refused.value.well_formed
