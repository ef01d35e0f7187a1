"""strict_json: what it takes and refuses, with and without spaces around."""

import json

import pytest

from jobs import strict_json


@pytest.mark.parametrize("text", ["1", '"a"', ' {"a": [1, null]} ', "\n[]\n", "-0.5e3"])
def test_it_takes_what_the_standard_takes(text: str) -> None:
    assert strict_json.decode(text) == json.loads(text)


@pytest.mark.parametrize("text", ["", " ", "1 2", "[1", "'a'", '{"a": 1,}', "[] x", '"a\nb"'])
def test_it_refuses_what_is_not_json(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        strict_json.decode(text)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_it_refuses_what_only_python_takes(constant: str) -> None:
    with pytest.raises(strict_json.NotJson, match=f"^{constant} is not JSON$"):
        strict_json.decode(f"[{constant}]")
