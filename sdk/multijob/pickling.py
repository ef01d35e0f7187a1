"""Functions, arguments and what comes of them as texts in JSON: pickled by cloudpickle, then base64.

What comes back is unpickled here and nowhere else: only what this process submitted, run by machines it trusts to.
"""

from __future__ import annotations

import base64
import importlib
import io
import pickle
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, Union

from .errors import Invalid, NotInstalled

#: What one job may carry pickled: base64 makes it a third longer, and the server takes requests of 16 MiB.
PAYLOAD_LIMIT_BYTES = 11 * 1024 * 1024
#: What the server takes of a function that all jobs of a map share.
SHARED_LIMIT_BYTES = 64 * 1024 * 1024

#: Modules that travel as code, because the machines have not got them: by themselves or by name.
ByValue = Sequence[Union[ModuleType, str]]

#: cloudpickle keeps which modules go by value in one place for the whole process.
_registering = threading.Lock()


def python() -> str:
    """The version of Python whose bytecode is sent, such as 3.11."""
    return "{}.{}".format(*sys.version_info[:2])


def dumps(value: Any, what: str, by_value: ByValue = ()) -> bytes:
    """The pickle of a value; ``what`` names it in errors. Raises Invalid, NotInstalled."""
    with suppress(_NeedsMore):
        return _plainly(value)
    cloudpickle = _cloudpickle()
    try:
        with _sent_along(cloudpickle, by_value):
            data: bytes = cloudpickle.dumps(value)
    except Exception as error:
        remedy = "make it inside the function instead: connections, locks and open files cannot travel"
        raise Invalid(f"cannot be pickled: {error}", field=what, remedy=remedy) from error
    return data


class _NeedsMore(Exception):
    """It is not only numbers, texts and lists of them."""


class _Plain(pickle.Pickler):
    """What pickles the same by itself as by cloudpickle, at a fraction of the cost."""

    def reducer_override(self, value: object) -> Any:  # noqa: ARG002 - whatever it is
        raise _NeedsMore


def _plainly(value: Any) -> bytes:
    into = io.BytesIO()
    try:
        _Plain(into, pickle.HIGHEST_PROTOCOL).dump(value)
    except RecursionError:
        raise _NeedsMore from None  # cloudpickle says what is wrong with it
    return into.getvalue()


def text_of(data: bytes, what: str, limit_bytes: int = PAYLOAD_LIMIT_BYTES) -> str:
    """A pickle as a text. Raises Invalid where it is too long to be sent."""
    check_size(data, what, limit_bytes)
    return base64.b64encode(data).decode("ascii")


def check_size(data: bytes, what: str, limit_bytes: int) -> None:
    """Refuse what the server would refuse. Raises Invalid with both sizes."""
    if len(data) > limit_bytes:
        message = f"has {len(data):,} bytes pickled; the limit is {limit_bytes:,}"
        raise Invalid(message, field=what, remedy="let the function read large data where it runs")


def loads(told: str | bytes) -> Any:
    """What a text, or a pickle itself, that came back stands for. Runs code of whoever made it."""
    data = told if isinstance(told, bytes) else base64.b64decode(told)
    return pickle.loads(data)  # noqa: S301 - the submitter asked for Python objects


@contextmanager
def _sent_along(cloudpickle: Any, by_value: ByValue) -> Iterator[None]:
    """These modules by value, for as long as something is being pickled."""
    if not by_value:
        yield
        return
    with _registering:
        modules = [_module(each) for each in by_value]
        known = cloudpickle.list_registry_pickle_by_value()
        fresh = [module for module in modules if module.__name__ not in known]
        for module in fresh:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in fresh:
                cloudpickle.unregister_pickle_by_value(module)


def _module(named: ModuleType | str) -> ModuleType:
    return importlib.import_module(named) if isinstance(named, str) else named


def _cloudpickle() -> Any:
    try:
        import cloudpickle
    except ImportError:
        raise NotInstalled(
            "functions are sent by cloudpickle, which is not installed here",
            remedy='install it: pip install "multijob[functions]"',
        ) from None
    return cloudpickle
