"""A function call as the input of a job, and a job's result as what the function answered. Pure but for pickling.

The input is ``{name, python, retried, function, call | calls | group}``: the name is for people, function and the last
three are pickles. The result is ``{shown | type, pickle}``, of a failure ``{type, raised}``; of a group, which may end
before its last call, ``{shown | type, pickles, took_s}`` and ``{type, raised, pickles}``, or ``dense_pickles`` for what
is long.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from . import pickling
from .errors import Invalid, JobFailed, NotFound
from .pickling import ByValue
from .values import Input, Result

#: A function that jobs share travels apart from them, once to each machine, when they would carry more than this.
APART_FROM_BYTES = 1024 * 1024
#: How many jobs a map whose items are not counted may well have.
UNKNOWN_JOBS = 128
#: The job's input holds the name for people only.
NAME_LIMIT = 200


class Function(NamedTuple):
    """A function, pickled."""

    name: str
    data: bytes

    def goes_apart(self, jobs: int = UNKNOWN_JOBS) -> bool:
        """Whether it is better sent once to each machine than with each of so many jobs."""
        return jobs > 1 and len(self.data) * jobs > APART_FROM_BYTES

    def head(self, *, apart: bool = False, retried: bool = False) -> dict[str, Any]:
        """What all jobs that call it have in their input.

        ``apart``: they find the function in their job type's folder. ``retried``: an exception is not yet the end.
        """
        told: dict[str, Any] = {"name": self.name, "python": pickling.python()}
        if retried:
            told["retried"] = True
        return told if apart else {**told, "function": pickling.text_of(self.data, "function")}


def function(called: object, by_value: ByValue = ()) -> Function:
    """Pickle a function. Raises Invalid for what is none."""
    if not callable(called):
        remedy = "jobs of a job type are inserted with client.insert and client.submit_many"
        raise Invalid(f"{type(called).__name__} cannot be called", field="function", remedy=remedy)
    return Function(name_of(called), pickling.dumps(called, "function", by_value))


def name_of(called: object) -> str:
    """What people call it."""
    name = getattr(called, "__qualname__", None) or type(called).__qualname__
    return str(name)[:NAME_LIMIT].encode("ascii", "backslashreplace").decode("ascii")


def one_call(
    head: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], by_value: ByValue = ()
) -> Input:
    """The input of a job that calls once. Raises Invalid where it is too large."""
    data = pickling.dumps((args, dict(kwargs)), "arguments", by_value)
    return _checked({**head, "call": pickling.text_of(data, "arguments")})


def many_calls(head: Mapping[str, Any], calls: list[tuple[Any, ...]], by_value: ByValue = ()) -> Input:
    """The input of a job that calls once for each of these arguments, and answers a list."""
    data = pickling.dumps(calls, "arguments", by_value)
    return _checked({**head, "calls": pickling.text_of(data, "arguments")})


def arguments(args: tuple[Any, ...], by_value: ByValue = ()) -> bytes:
    """The arguments of a call that may share a job with others, pickled by themselves."""
    return pickling.dumps(args, "arguments", by_value)


def group(head: Mapping[str, Any], calls: list[bytes]) -> Input:
    """The input of a job that makes these calls for as long as they are short, and answers each by itself."""
    return _checked({**head, "group": pickling.text_of(pickle.dumps(calls), "arguments")})


def room_in_group(head: Mapping[str, Any]) -> int:
    """A call of no more bytes can certainly be sent; of others ``check_group`` says so."""
    return pickling.PAYLOAD_LIMIT_BYTES - len(head.get("function", "")) - 100


def check_group(head: Mapping[str, Any], call: bytes) -> None:
    """Refuse a call now that could not be sent later. Raises Invalid."""
    group(head, [call])


def _checked(kwargs: dict[str, Any]) -> Input:
    together = sum(len(kwargs.get(part, "")) for part in ("function", "call", "calls", "group"))
    limit = pickling.PAYLOAD_LIMIT_BYTES * 4 // 3 + 4
    if together > limit:
        message = f"have {together * 3 // 4:,} bytes pickled; the limit is {pickling.PAYLOAD_LIMIT_BYTES:,}"
        raise Invalid(message, field="function and arguments", remedy="let the function read large data where it runs")
    return Input((), kwargs)


def size_of(job: Input) -> int:
    """About how long it is in a request."""
    return sum(len(value) for value in job.kwargs.values() if isinstance(value, str)) + 100


def pieces(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of so many."""
    if size < 1:
        raise ValueError("chunksize must be >= 1.")
    source = iter(items)
    while piece := list(islice(source, size)):
        yield piece


def answer_of(result: Result) -> Any:
    """What the function answered. Raises what it raised, with JobFailed (machine, attempt, traceback) as the cause."""
    if not result.ok:
        raise error_of(result)
    pickled = result.result.get("pickle") if isinstance(result.result, dict) else None
    if not isinstance(pickled, str):
        raise NotFound(f"job {result.id} has no result any more", remedy="it was cleared; run it again")
    return pickling.loads(pickled)


class Told(NamedTuple):
    """What a group told: the answers of its first calls, pickled, and how long those took."""

    answers: list[bytes]
    took_s: float


def answers_of(result: Result, calls: int) -> Told | None:
    """What a group of so many calls told before it ended, well or not; None where it could not."""
    told = result.result if isinstance(result.result, dict) else {}
    try:
        dense = told.get("dense_pickles")
        answers = pickling.loads(told["pickles"] if dense is None else base64.b85decode(dense))
        took_s = float(told.get("took_s", 0.0))
    except Exception:  # noqa: BLE001 - it was cleared, or is not what our part there makes
        return None
    if not isinstance(answers, list) or len(answers) > calls or not all(isinstance(each, bytes) for each in answers):
        return None
    return Told(answers, took_s)


def error_of(result: Result) -> BaseException:
    """The exception that the function raised, as far as it can be had; else JobFailed."""
    failed = JobFailed(result)
    pickled = result.result.get("raised") if isinstance(result.result, dict) else None
    if not isinstance(pickled, str):
        return failed
    try:
        error = pickling.loads(pickled)
    except Exception:  # noqa: BLE001 - a class that cannot be made anew may raise anything; the traceback says it all
        return failed
    if not isinstance(error, BaseException):
        return failed
    error.__cause__ = failed
    return error
