"""What a caller gives as inputs → the JSON the server takes, in chunks. Pure; the hot path of submitting."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from .errors import Invalid
from .values import Input

#: Below the server's limit for a body (16 MiB), with room for the rest of the request.
BODY_LIMIT_BYTES = 15 * 1024 * 1024

_UNMARKED = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def as_input(item: Any) -> dict[str, Any]:
    """One item as args and kwargs: a dict is keyword arguments, a tuple or list positional ones, else the only one."""
    kind = item.__class__
    if kind is dict:
        return {"args": (), "kwargs": item}
    if kind is Input:
        return {"args": item.args, "kwargs": item.kwargs}
    if kind is tuple or kind is list:
        return {"args": item, "kwargs": {}}
    return {"args": (item,), "kwargs": {}}


def bodies(options: dict[str, Any], inputs: Iterable[Any], chunk: int) -> Iterator[bytes]:
    """Request bodies of at most ``chunk`` inputs and BODY_LIMIT_BYTES each; takes from ``inputs`` only as it goes."""
    if chunk < 1:
        raise Invalid("must be at least 1", field="chunk")
    head = _UNMARKED.encode(options)[:-1] + ("," if options else "") + '"inputs":'
    source, offset = iter(inputs), 0
    while items := [as_input(item) for item in islice(source, chunk)]:
        for part in _encoded(items, offset):
            yield f"{head}{part}}}".encode("ascii")
        offset += len(items)


def _encoded(items: list[dict[str, Any]], offset: int) -> Iterator[str]:
    """The items as one JSON list, or as several where one would be too long."""
    text = _encode(items, offset)
    if len(text) <= BODY_LIMIT_BYTES:
        yield text
    elif len(items) == 1:
        raise Invalid(f"is {len(text)} bytes of JSON; the limit is {BODY_LIMIT_BYTES}", field=f"inputs.{offset}")
    else:
        half = len(items) // 2
        yield from _encoded(items[:half], offset)
        yield from _encoded(items[half:], offset + half)


def _encode(items: list[dict[str, Any]], offset: int) -> str:
    for n, item in enumerate(items):
        kwargs = item["kwargs"]
        if kwargs and not all(key.__class__ is str for key in kwargs):
            raise Invalid("keyword arguments need names that are text", field=f"inputs.{offset + n}")
    try:
        return _UNMARKED.encode(items)
    except (TypeError, ValueError, RecursionError):
        raise _culprit(items, offset) from None


def _culprit(items: list[dict[str, Any]], offset: int) -> Invalid:
    """The first input that is not JSON, by its number and the reason. Asked once something is known to be wrong."""
    for n, item in enumerate(items):
        reason = _why_not(item)
        if reason:
            return Invalid(reason, field=f"inputs.{offset + n}")
    return Invalid("not JSON", field="inputs")


def _why_not(item: dict[str, Any]) -> str:
    try:
        _UNMARKED.encode(item)
    except (TypeError, ValueError, RecursionError) as error:
        return re.sub(r"^Object of type (\S+) is not.*", r"a value of type \1 is not JSON", str(error))
    return ""
