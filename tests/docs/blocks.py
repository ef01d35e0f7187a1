"""The code blocks of a page of docs, in order, each with the remark above it. Reads text only.

A remark is an HTML comment on the line above a block: ``file: PATH`` (the block is that file), ``tested by: TEST`` (it
cannot be run here; that test does what it says).
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"(?:^<!-- (?P<remark>[a-z ]+): (?P<value>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One block: its line in the page, its language, the remark above it, its text."""

    line: int
    kind: str
    remark: str
    value: str
    text: str


def pages() -> list[Path]:
    """All pages of docs, and the two that people read first."""
    return [ROOT / "README.md", ROOT / "sdk" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page."""
    text = page.read_text("utf-8")
    return [
        Block(
            text.count("\n", 0, found.start("kind")) + 1,
            found["kind"],
            found["remark"] or "",
            found["value"] or "",
            found["text"],
        )
        for found in _BLOCK.finditer(text)
    ]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()
