"""Troubleshooting quotes messages: each of them is one that the code really says, and no reason is left out."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from jobs.status import Reason
from tests.docs.blocks import ROOT

ROOMS = ("inventory", "jobs", "orchestrator", "remote_runner", "sdk", "web")
#: Of these only the outcome is shown, never as a reason of a failed job.
NOT_SHOWN = {Reason.NONE, Reason.GIVEN_BACK}
LANGUAGES = ("en", "zh")
GAP = "…"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_quoted_message_is_said_somewhere(language: str) -> None:
    quoted = [row[0] for row in _rows(language) if " " in row[0]]
    assert len(quoted) > 30
    assert [message for message in quoted if not any(_says(text, message) for text in _texts())] == []


def test_both_languages_quote_the_same() -> None:
    english, chinese = ([row[0] for row in _rows(language)] for language in LANGUAGES)
    assert english == chinese


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_is_explained(language: str) -> None:
    told = {row[0] for row in _rows(language)}
    assert sorted(set(Reason) - NOT_SHOWN - told) == []


def _rows(language: str) -> list[tuple[str, str]]:
    """Rows of the page's tables that begin with a quotation."""
    text = (ROOT / "docs" / language / "troubleshooting.md").read_text("utf-8")
    return re.findall(r"^\| `([^`]+)` \| (.+) \|$", text, re.MULTILINE)


def _says(text: str, message: str) -> bool:
    """The message's words, in order, as they stand between its gaps."""
    place = 0
    for part in (part.strip() for part in message.split(GAP)):
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True


@cache
def _texts() -> tuple[str, ...]:
    """Everything the code can say, with a gap where it fills something in."""
    found: list[str] = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                found.extend(_said_by(node))
    return tuple(found)


def _said_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.sub(r"%[a-z]", GAP, node.value)
