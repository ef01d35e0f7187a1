"""Whether a large text is strict JSON, found out while other threads go on. Text in, an answer out.

Python's decoder holds the interpreter from the first byte of a text to the last: 100 ms for 5 MB of rows. SQLite's
parser reads the same in a tenth of that, without the interpreter. "Yes" is certain: what Python's decoder would refuse
is no; about what else is not plain (deep nesting, an integer of thousands of digits) it may say no as well.
"""

import re
import sqlite3
from bisect import bisect
from functools import cache
from typing import Final

#: Below this the decoder is as quick as SQLite.
LARGE_CHARS: Final = 64 * 1024
#: Nesting that every decoder down the road can follow, wherever it is called from.
DEPTH_LIMIT: Final = 800
#: SQLite is built for a thousand or two.
_NEVER_SO_DEEP: Final = 5000
#: Python refuses integers of more digits.
_DIGITS_LIMIT: Final = 4300
_PIECE_CHARS: Final = 512 * 1024

_DIGITS: Final = re.compile(r"[0-9]*+")


def is_costly(text: str) -> bool:
    """Whether the decoder would hold the interpreter for long: not where it only copies one long string."""
    return len(text) >= LARGE_CHARS and ("\\" in text or not text.startswith('"'))


def is_plain(text: str) -> bool:
    """Whether this is strict JSON that every decoder takes."""
    if "\0" in text or has_half_pair(text) or _has_endless_number(text):
        return False
    try:
        return _is_valid(text) and not _may_be_deep(text)
    except (sqlite3.Error, UnicodeEncodeError):
        return False


def has_half_pair(text: str) -> bool:
    r"""Whether something like an escape of half a character (``\ud83d``) is in it."""
    if "\\" not in text:
        return False
    pieces = (text[at : at + _PIECE_CHARS + 2] for at in range(0, len(text), _PIECE_CHARS))
    return any("\\ud" in piece or "\\uD" in piece for piece in pieces)


def _has_endless_number(text: str) -> bool:
    """Whether more digits follow each other than an integer may have; any that do pass one of these places."""
    for at in range(_DIGITS_LIMIT, len(text), _DIGITS_LIMIT):
        if "0" <= text[at] <= "9":
            before = text[at - _DIGITS_LIMIT : at]
            digits = len(before) - len(before.rstrip("0123456789"))
            found = _DIGITS.match(text, at, at + _DIGITS_LIMIT + 1)
            if found is not None and digits + found.end() - at > _DIGITS_LIMIT:
                return True
    return False


def _may_be_deep(text: str) -> bool:
    """Of strict JSON: whether it nests below our limit. SQLite has a limit too: brackets around it use that up."""
    if text.count("[") + text.count("{") <= DEPTH_LIMIT:
        return False
    deepest = _deepest()
    if not DEPTH_LIMIT <= deepest < _NEVER_SO_DEEP:
        return True
    room = deepest - DEPTH_LIMIT
    return not _is_valid("[" * room, text, "]" * room)


@cache
def _deepest() -> int:
    """How deep a text may nest for this SQLite."""
    return bisect(range(1, _NEVER_SO_DEEP + 1), False, key=lambda depth: not _is_valid("[" * depth, "]" * depth))


def _is_valid(*parts: str) -> bool:
    """Together they are strict JSON."""
    connection = sqlite3.connect(":memory:")
    try:
        query = f"SELECT json_valid({' || '.join('?' * len(parts))})"
        return bool(connection.execute(query, parts).fetchone()[0])
    finally:
        connection.close()
