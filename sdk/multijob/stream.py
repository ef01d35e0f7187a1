"""The stream of finished jobs: bytes as they arrive → Results. Pure; the hot path of reading results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, NamedTuple

from .errors import ServerError
from .values import Result

_FIELDS = Result._fields
_in_order = itemgetter(*_FIELDS)


class End(NamedTuple):
    """The last line of a page: where the next one begins, and how many jobs are unfinished (None: not known)."""

    cursor: int
    pending: int | None


def batches(chunks: Iterable[bytes]) -> Iterator[list[Result] | End]:
    """What one answer holds: lists of results as they become complete, then its End."""
    for rows in _rows(chunks):
        last = rows[-1]
        if "cursor" in last:
            del rows[-1]
        if rows:
            yield results(rows)
        if "cursor" in last:
            yield End(last["cursor"], last.get("pending"))


def results(rows: list[dict[str, Any]]) -> list[Result]:
    """Decoded lines as Results."""
    try:
        return list(map(Result._make, map(_in_order, rows)))
    except KeyError:
        # Another release of the server may leave out what is empty.
        return [Result._make(row.get(name) for name in _FIELDS) for row in rows]


def _rows(chunks: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    """Whole lines, decoded many at a time: one call of the C decoder costs less than one a line."""
    held: list[bytes] = []
    for chunk in chunks:
        lines, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            held.append(chunk)
            continue
        held.append(lines)
        yield from _decoded(b"".join(held))
        held = [rest]
    yield from _decoded(b"".join(held))


def _decoded(lines: bytes) -> Iterator[list[dict[str, Any]]]:
    text = lines.strip()
    if not text:
        return
    try:
        yield json.loads("[" + text.replace(b"\n", b",").decode("utf-8") + "]")
    except ValueError as error:
        raise ServerError(f"the server's answer is not lines of JSON: {error}", status=200) from error
