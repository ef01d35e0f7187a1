"""Small functions that run on machines, where this package is not: sent by value, so they may use nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def call_each(calls: Sequence[tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any]]]) -> list[Any]:
    """What each of the calls answers."""
    return [function(*args, **kwargs) for function, args, kwargs in calls]
