"""``.mjignore``: which files of a job folder are not sent. Pure. The same rules as the server's for folders of its own.

One pattern a line: ``*`` and ``?`` stay within a name, ``**/`` is any folders, a ``/`` in front or within ties the
pattern to the job folder, one at the end means folders only, ``!`` takes back in. The last pattern that fits decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

FILE = ".mjignore"
#: Never sent: what tools leave behind, and what is ours. These come last, so that no line takes them back in.
ALWAYS = ("__pycache__/", "*.pyc", ".git/", ".hg/", ".svn/", ".DS_Store", "/.info", "/.mjignore")

_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class Ignore:
    """What the lines of one ``.mjignore`` leave out, together with what is never sent."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        meant = [line.rstrip() for line in lines if line.strip() and not line.startswith("#")]
        self._rules = [_rule(line) for line in (*meant, *ALWAYS)]

    def leaves_out(self, name: str, *, is_folder: bool) -> bool:
        """Whether the file or folder of this path in the job folder (slashes between names) stays here."""
        out = False
        for fits, folders_only, leave in self._rules:
            if (is_folder or not folders_only) and fits.fullmatch(name):
                out = leave
        return out


def _rule(line: str) -> tuple[re.Pattern[str], bool, bool]:
    leave, line = not line.startswith("!"), line.removeprefix("!")
    folders_only, line = line.endswith("/"), line.rstrip("/")
    tied = "/" in line
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", line.removeprefix("/"))
    wanted = "".join(_WILD.get(piece) or re.escape(piece) for piece in pieces)
    return re.compile(wanted if tied else "(?:.*/)?" + wanted), folders_only, leave
