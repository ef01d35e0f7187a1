"""Every code block of README and docs does what the page says; the two languages tell the same.

The blocks of a Chinese page are those of the English one but for their remarks, so they are run once.
"""

import itertools
import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks, name, pages
from tests.docs.walk import Walk

ENGLISH = sorted((ROOT / "docs" / "en").glob("*.md"))


@pytest.mark.sshd
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [page for page in pages() if page.parent.name != "zh"], ids=name)
def test_every_block_runs(page: Path, walk: Walk) -> None:
    for block in blocks(page):
        try:
            walk.take(block)
        except Exception as error:
            raise AssertionError(f"{name(page)}:{block.line}: {error}") from error


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    fences = re.findall(r"^ *```(.*)$", page.read_text("utf-8"), re.MULTILINE)
    assert all(fence for fence in fences[::2]), "a block without a language"
    assert len(fences) == 2 * len(blocks(page)), "a block that is not at the beginning of its lines"


@pytest.mark.parametrize("page", ENGLISH, ids=name)
def test_both_languages_have_the_same_blocks(page: Path) -> None:
    other = ROOT / "docs" / "zh" / page.name
    for one, same in itertools.zip_longest(blocks(page), blocks(other)):
        assert (one.kind, one.remark, one.value) == (same.kind, same.remark, same.value), one.text
        assert one.kind == "text" or _code(one.text) == _code(same.text)
    assert _headings(page) == _headings(other)


def test_no_page_is_in_one_language_only() -> None:
    assert [page.name for page in ENGLISH] == [page.name for page in sorted((ROOT / "docs" / "zh").glob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def _code(text: str) -> list[str]:
    """The lines without what is said about them."""
    lines = (re.sub(r"(^|\s+)#.*", "", line) for line in text.splitlines())
    return [line for line in lines if line]


def _headings(page: Path) -> list[int]:
    outside = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [len(marks) for marks in re.findall(r"^(#+) ", outside, re.MULTILINE)]
