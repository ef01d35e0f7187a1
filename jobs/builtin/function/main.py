"""Calls functions that came pickled. What it is given and what it answers means something to the submitter only.

Runs on nodes, under Python >= 3.8, with cloudpickle beside it. ``function.pickle``, where there is one, is the function
of all jobs of this type; else each job brings its own. The server never looks into a pickle; ``shown`` is for people.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle

SHARED = Path(__file__).resolve().parent / "function.pickle"
#: Functions that were unpickled last are kept: a map sends the same one with each of its jobs.
KEPT = 4
#: A pickled exception may be so long; the traceback is told as text anyway.
RAISED_LIMIT_BYTES = 512 * 1024
#: A group of calls ends after so long, or when its answers have so many bytes.
GROUP_S = 0.25
GROUP_BYTES = 128 * 1024
#: What a job answers may be so long as JSON (8 MiB, and room for what stands around it). An answer that can be carried
#: alone (base64: four characters for three bytes) can be carried with those before it where five stand for four.
TEXT_LIMIT = 8 * 1024 * 1024 - 1024
ALONE_LIMIT_BYTES = TEXT_LIMIT * 3 // 4
#: What people are shown of a value, at most; longer pickles are not even tried.
SHOWN_LIMIT = 16 * 1024
SHOWN_PICKLE_LIMIT_BYTES = 64 * 1024
SHOWN_DEPTH = 20

_functions: dict[str, Any] = {}


def work(
    name: str,
    python: str,
    function: str | None = None,
    call: str | None = None,
    calls: str | None = None,
    group: str | None = None,
    retried: bool = False,
) -> dict[str, Any]:
    """Call once (``call``: args and kwargs), or for each of ``calls`` or a ``group`` (args); ``name`` is for people.

    An exception is an answer, and so the end of the job, unless the submitter wants those ``retried`` too. Of a group
    each call is answered by itself, also those before an exception.
    """
    answers: list[bytes] | None = None if group is None else []
    try:
        check_python(name, python)
        called = function_of(function)
        if answers is not None:
            return make_group(called, unpickled(group), answers)
        if calls is None:
            args, kwargs = unpickled(call)
            return answer(called(*args, **kwargs), 1)
        every = unpickled(calls)
        return answer([called(*args) for args in every], len(every))
    except BaseException as error:
        carry(error, answers, final=not retried)
        raise


def make_group(called: Any, calls: list[bytes], answers: list[bytes]) -> dict[str, Any]:
    """Make these calls, and pickle what each answers, until they have taken their time; what is left is not made."""
    values: list[Any] = []
    size_bytes, began_s = 0, time.perf_counter()
    for call in calls:
        values.append(called(*loaded(call)))
        data = pickled(values[-1])
        if answers and len(data) > ALONE_LIMIT_BYTES:  # alone it is for the runner to say
            raise AnswerTooLarge(f"it has {len(data)} bytes pickled, the limit is {ALONE_LIMIT_BYTES}")
        answers.append(data)
        size_bytes += len(data)
        took_s = time.perf_counter() - began_s
        if took_s > GROUP_S or size_bytes > GROUP_BYTES:
            break
    told = {**shown(values, size_bytes), **listed(answers), "took_s": round(took_s, 6)}
    return {"result": told, "count": len(values)}


def listed(answers: list[bytes]) -> dict[str, str]:
    """The answers of a group as JSON can hold them: shorter, though slower to make, where they need that."""
    data = pickle.dumps(answers)
    if len(data) * 4 // 3 + 4 <= TEXT_LIMIT:
        return {"pickles": as_text(data)}
    return {"dense_pickles": base64.b85encode(data).decode("ascii")}


def check_python(name: str, python: str) -> None:
    """A pickled function is bytecode: it means something to one minor version of Python only."""
    here = "{}.{}".format(*sys.version_info[:2])
    if here != python:
        raise RuntimeError(f"{name} was pickled by Python {python}, and this machine runs it under {here}")


def function_of(text: str | None) -> Any:
    """The function that came with the job, or the one of this type."""
    key = text or ""
    if key not in _functions:
        while len(_functions) >= KEPT:
            del _functions[next(iter(_functions))]
        _functions[key] = unpickled(text) if text else shared()
    return _functions[key]


def shared() -> Any:
    """The function of all jobs of this type."""
    return loaded(SHARED.read_bytes())


def unpickled(text: str | None) -> Any:
    """What a text of the submitter's stands for."""
    return loaded(base64.b64decode(text or ""))


def loaded(data: bytes) -> Any:
    """What a pickle of the submitter's stands for; a module that is missing here is named with what to do."""
    try:
        return pickle.loads(data)  # noqa: S301  # code for this machine is what the submitter sends
    except ModuleNotFoundError as error:
        remedy = f"install it on the machine, or send it along: by_value=[{error.name}]"
        raise ModuleNotFoundError(f"{error} on this machine; {remedy}", name=error.name) from error


def answer(value: Any, count: int) -> dict[str, Any]:
    """The value for the submitter, and what can be shown of it."""
    data = pickled(value)
    result = {**shown(value, len(data)), "pickle": as_text(data)}
    return {"result": result, "count": count}


class AnswerTooLarge(Exception):
    """What a call of a group answered cannot be carried, not even alone."""


class NeedsMore(Exception):
    """It is not only numbers, texts and lists of them."""


class Plain(pickle.Pickler):
    """What pickles the same by itself as by cloudpickle, at a fraction of the cost."""

    def reducer_override(self, value: object) -> Any:  # noqa: ARG002 - whatever it is
        raise NeedsMore


def pickled(value: Any) -> bytes:
    """A value for the submitter."""
    into = io.BytesIO()
    try:
        Plain(into, pickle.HIGHEST_PROTOCOL).dump(value)
    except (NeedsMore, RecursionError):
        data: bytes = cloudpickle.dumps(value)
        return data
    return into.getvalue()


def shown(value: Any, size_bytes: int) -> dict[str, Any]:
    """The value as JSON, where it can be and is short; else what it is."""
    with suppress(Exception):  # a value may do anything when it is looked at; then it is not shown
        if size_bytes <= SHOWN_PICKLE_LIMIT_BYTES:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
            plain = json.loads(text)
            if len(text.encode("utf-8")) <= SHOWN_LIMIT and flat(plain, SHOWN_DEPTH):
                return {"shown": plain}
    return {"type": type_name(value)}


def flat(value: Any, depth: int) -> bool:
    """Whether it is nested no deeper."""
    below: list[Any] = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return not below or (depth > 0 and all(flat(each, depth - 1) for each in below))


def type_name(value: Any) -> str:
    """Its class, as people write it."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    return name[:200].encode("ascii", "backslashreplace").decode("ascii")


def as_text(data: bytes) -> str:
    """A pickle as JSON can hold it."""
    return base64.b64encode(data).decode("ascii")


def carry(error: BaseException, answers: list[bytes] | None, *, final: bool) -> None:
    """Let the runner send the exception home with the traceback, where it can be pickled, and say if it is the end.

    ``answers``: what came of the calls of a group before it.
    """
    told = {"type": type_name(error)}
    if answers is not None:
        told.update(listed(answers))
    with suppress(Exception):  # it goes home as a text then
        data = cloudpickle.dumps(error)
        if len(data) <= RAISED_LIMIT_BYTES and not isinstance(error, AnswerTooLarge):  # whose class is not there
            told["raised"] = as_text(data)
    with suppress(Exception):  # the same
        vars(error).update(multijob_result=json.dumps(told), multijob_final=final)
