"""``docs/manual-tests.md`` leaves nothing of the old surface out, and each test it names is there."""

import re

from MultiJob import MultiJob
from tests.docs.blocks import ROOT
from tests.docs.tables import paths
from tests.docs.walk import is_a_test

TEXT = (ROOT / "docs" / "manual-tests.md").read_text("utf-8")
#: The manual's sections that say what can be done.
SECTIONS = ["2.1", "2.2", "2.3", *(f"4.{n}" for n in range(1, 7)), *(f"5.{n}" for n in range(1, 13))]


def test_each_named_test_exists() -> None:
    named = re.findall(r"`([a-z_]+/test_\w+\.py(?:::\w+)?)`", TEXT)
    assert len(named) > 80
    assert [name for name in named if not is_a_test(f"tests/{name}")] == []


def test_each_guarantee_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    named = re.findall(r"`([a-z_]+/test_\w+\.py(?:::\w+)?)`", text)
    assert [name for name in named if not is_a_test(f"tests/{name}")] == []
    for letter, last in (("G", 22), ("B", 20)):
        rows = [rf"\| {letter}{number} \|.*/test_\w+\.py" for number in range(1, last + 1)]
        assert [row for row in rows if not re.search(row, text)] == []


def test_each_row_names_a_test() -> None:
    rows = re.findall(r"^\| (.+) \|$", TEXT, re.MULTILINE)
    told = [row for row in rows if not row.startswith(("---", "section |", "path |", "call |"))]
    assert [row for row in told if not re.search(r"/test_\w+\.py", row)] == []


def test_every_section_has_a_row() -> None:
    told = re.findall(r"^\| ([0-9.]+) \|", TEXT, re.MULTILINE)
    assert [section for section in SECTIONS if section not in told] == []


def test_every_old_path_has_a_row() -> None:
    old = [path.lstrip("/") for path in paths() if not path.startswith(("/api/v1/", "/healthz"))]
    assert len(old) == 20
    assert [path for path in old if f"\n| `{path}` |" not in TEXT] == []


def test_every_call_of_the_old_sdk_has_a_row() -> None:
    calls = [name for name in dir(MultiJob) if not name.startswith("_")]
    assert [call for call in calls if f"`{call}" not in TEXT] == []
