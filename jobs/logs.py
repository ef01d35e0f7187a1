"""The stored log of an attempt as one text with, where it was long, a hole in the middle. Pure.

A node sends the first part and the last part of what was printed and says how much it was. Offsets are bytes of UTF-8
within what was printed; a part never begins or ends inside a character.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

#: Room for at least one character of any kind.
LEAST_BYTES: Final = 16
MOST_BYTES: Final = 2 * 1024 * 1024


class Printed(NamedTuple):
    """One stream of one attempt."""

    head: str
    tail: str
    #: Bytes printed in all.
    total: int


class Part(NamedTuple):
    """A piece of it."""

    offset: int
    end: int
    total: int
    text: str
    #: Where the hole begins and ends; None: nothing was left out.
    missing: tuple[int, int] | None


def printed(log: str | None, stream: str) -> Printed:
    """What is stored of this stream."""
    streams: Mapping[str, Any] = json.loads(log) if log else {}
    kept = streams.get(stream) or {}
    return Printed(kept.get("head", ""), kept.get("tail", ""), kept.get("total", 0))


def part(whole: Printed, offset: int, limit: int) -> Part:
    """So many bytes from there on, ending early at the hole; a negative offset counts from the end."""
    head, tail = whole.head.encode(), whole.tail.encode()
    total = max(whole.total, len(head) + len(tail))
    hole = (len(head), total - len(tail))
    begin = max(total + offset, 0) if offset < 0 else min(offset, total)
    if hole[0] <= begin < hole[1]:
        begin = hole[1]
    data, base = (head, 0) if begin < hole[0] else (tail, hole[1])
    first = _boundary(data, begin - base)
    last = _boundary(data, min(first + limit, len(data)))
    missing = hole if hole[0] < hole[1] else None
    return Part(base + first, base + last, total, data[first:last].decode(), missing)


def _boundary(data: bytes, at: int) -> int:
    """The beginning of the character that holds this byte."""
    while 0 < at < len(data) and data[at] & 0xC0 == 0x80:
        at -= 1
    return at


def whole(stored: Printed) -> str:
    """All that is stored as one text, the hole told in a line of its own."""
    part_missing = part(stored, 0, 0).missing
    if part_missing is None:
        return stored.head + stored.tail
    begin, end = part_missing
    return f"{stored.head}\n… {end - begin} bytes were not kept …\n{stored.tail}"
