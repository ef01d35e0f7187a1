""".mjignore: which files of a job folder stay out of its versions. Pure.

A line is a pattern as in .gitignore, kept simple: ``*`` and ``?`` match within a name, ``**/`` any folders, a leading
``/`` ties it to the job folder, a trailing ``/`` means folders only, ``!`` takes back what an earlier line left out.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

FILE: Final = ".mjignore"
#: Never part of a version: what tools leave behind, and what we write ourselves.
ALWAYS: Final = ("__pycache__/", "*.pyc", ".git/", ".hg/", ".svn/", ".DS_Store", "/.info", "/.mjignore")


class _Pattern(NamedTuple):
    matches: re.Pattern[str]
    folders_only: bool
    takes_back: bool


class Ignore:
    """Asked for every path below the folder, folders first."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        kept = [line.rstrip() for line in lines if line.strip() and not line.startswith("#")]
        self._patterns = [_pattern(line) for line in (*kept, *ALWAYS)]

    def leaves_out(self, path: str, *, is_folder: bool) -> bool:
        """Whether this path ("/" between names) stays out; the last line that matches decides."""
        for pattern in reversed(self._patterns):
            if (is_folder or not pattern.folders_only) and pattern.matches.fullmatch(path):
                return not pattern.takes_back
        return False


def _pattern(line: str) -> _Pattern:
    takes_back, line = line.startswith("!"), line.removeprefix("!")
    folders_only, line = line.endswith("/"), line.rstrip("/")
    anywhere = "" if "/" in line else "(?:.*/)?"
    return _Pattern(re.compile(anywhere + _expression(line.removeprefix("/"))), folders_only, takes_back)


def _expression(glob: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(words.get(part, re.escape(part)) for part in parts)
