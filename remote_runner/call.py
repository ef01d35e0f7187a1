"""Call a job's main.py and bring what it returns into shape. No processes, no sockets: also used at home.

The shape is the manual's object (``result``, optional ``count``, ``return_data`` or ``return_result``) or any other
JSON value, which is then the result. What is not strict JSON is refused with the path of the first offending value.
"""

import builtins
import importlib
import json
import math
import os
import sys
import types
from json import encoder
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union

from remote_runner.protocol import RESULT_LIMIT_BYTES

#: A job may replace the names every line stands on; what follows it here has them from a dict of its own.
__builtins__ = dict(builtins.__dict__)  # type: ignore[assignment]  # a dict is as good as the module

#: Nesting that every JSON reader down the road can still follow.
DEPTH_LIMIT = 200
#: Keys that make a dict the manual's object.
KEYS = frozenset(("result", "count", "return_data", "return_result"))

Number = Union[int, float]

Outcome = NamedTuple(
    "Outcome",
    [
        ("result_text", str),
        ("return_data_text", Optional[str]),  # None: there is none
        ("count", Number),
    ],
)

Hook = Optional[Callable[[Any], Any]]

#: What main.py asks us to ask it about a result.
Hooks = NamedTuple("Hooks", [("ask_count", Hook), ("ask_return_data", Hook)])

_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_PLAIN = (str, int, float, bool, type(None))


def _make_encode() -> Callable[[Any], str]:
    """An encoder made once, of parts that a job's code cannot replace afterwards."""
    circular: Dict[int, Any] = {}
    plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    make = encoder.c_make_encoder  # type: ignore[attr-defined]
    if make is None:
        return plain.encode
    parts = make(circular, plain.default, encoder.encode_basestring, None, ":", ",", False, False, False)
    join = "".join

    def encode(value: Any) -> str:
        try:
            return join(parts(value, 0))
        except BaseException:
            circular.clear()
            raise

    return encode


_encode = _make_encode()


class BadResult(Exception):
    """What work() returned is not what it promised; the text names the value."""


class TooLarge(Exception):
    """A result over the limit; the text gives its size."""


def load(folder: str, module: str = "main") -> types.ModuleType:
    """Import ``module`` from ``folder``, which becomes first on sys.path."""
    if not sys.path or sys.path[0] != folder:
        sys.path.insert(0, folder)
    loaded = with_work(importlib.import_module(module))
    refuse_stranger(folder, loaded)
    return loaded


def with_work(module: types.ModuleType) -> types.ModuleType:
    """The module, which has to have what is called."""
    if not callable(getattr(module, "work", None)):
        raise AttributeError("%s.py has no function work" % module.__name__)
    return module


def refuse_stranger(folder: str, module: types.ModuleType) -> None:
    """A module of the same name from elsewhere is not the job's."""
    path = getattr(module, "__file__", None)
    if path is None or not os.path.abspath(path).startswith(os.path.join(os.path.abspath(folder), "")):
        raise ImportError("%s was found outside the job's folder" % module.__name__)


def arguments(text: str) -> Tuple[List[Any], Dict[str, Any]]:
    """args and kwargs from a job's input."""
    value, _ = _scan(text, 0)
    return value.get("args") or [], value.get("kwargs") or {}


def hooks(module: types.ModuleType) -> Hooks:
    """The functions count and return_data of main.py, if it has them; classes it merely imported do not count."""
    count, back = module.__dict__.get("count"), module.__dict__.get("return_data")
    return Hooks(
        count if isinstance(count, types.FunctionType) else None,
        back if isinstance(back, types.FunctionType) else None,
    )


def shape(module: types.ModuleType, value: Any) -> Outcome:
    """Bring what work() of this module returned into shape, or raise BadResult or TooLarge."""
    return shape_with(hooks(module), value)


def shape_with(ask: Hooks, value: Any) -> Outcome:
    """The same, the module's hooks being known."""
    if isinstance(value, dict) and not KEYS.isdisjoint(value):
        return _manual_object(ask, value)
    return Outcome(to_text(value, "result"), _asked_return_data(ask, value), _asked_count(ask, value))


def _manual_object(ask: Hooks, value: Dict[Any, Any]) -> Outcome:
    if "result" not in value:
        raise BadResult("the returned object has no key 'result'")
    result = value["result"]
    count = check_count(value["count"]) if value.get("count") is not None else _asked_count(ask, result)
    back = value.get("return_data")
    if back is None:
        back = value.get("return_result")
    back_text = to_text(back, "return_data") if back is not None else _asked_return_data(ask, result)
    return Outcome(to_text(result, "result"), back_text, count)


def _asked_count(ask: Hooks, result: Any) -> Number:
    return 1 if ask.ask_count is None else check_count(ask.ask_count(result))


def _asked_return_data(ask: Hooks, result: Any) -> Optional[str]:
    back = None if ask.ask_return_data is None else ask.ask_return_data(result)
    return None if back is None else to_text(back, "return_data")


def check_count(value: Any) -> Number:
    """A count is a finite number from 0 up; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadResult("count is %s, not a number" % type(value).__name__)
    if not math.isfinite(value) or value < 0:
        raise BadResult("count is %r, not a finite number from 0 up" % value)
    return value


def to_text(value: Any, name: str) -> str:
    """Strict JSON text of a value. The quick way first; only a failure searches for its place."""
    try:
        text = _encode(value)
        size = len(text.encode("utf-8"))
    except (TypeError, ValueError, RecursionError, OverflowError):
        raise BadResult(offence(value, name)) from None
    if size > RESULT_LIMIT_BYTES:
        raise TooLarge("%s has %d bytes as JSON, the limit is %d" % (name, size, RESULT_LIMIT_BYTES))
    if not isinstance(value, _PLAIN) and not _keys_are_text(value):
        raise BadResult(offence(value, name))
    return text


def _keys_are_text(value: Any) -> bool:
    """Whether every key is a str and nothing is nested too deep; the encoder would let both pass."""
    level = [value]
    for _ in range(DEPTH_LIMIT):
        below: List[Any] = []
        for item in level:
            if isinstance(item, dict):
                if not all(isinstance(key, str) for key in item):
                    return False
                below.extend(item.values())
            elif isinstance(item, (list, tuple)):
                below.extend(item)
        if not below:
            return True
        level = below
    return False


def offence(value: Any, name: str) -> str:
    """Where the first value is that strict JSON cannot carry, in the order of writing, and what is wrong with it."""
    waiting: List[Tuple[Any, str, Tuple[int, ...]]] = [(value, name, ())]
    while waiting:
        item, path, above = waiting.pop()
        wrong = _wrong(item, above)
        if wrong:
            return "%s: %s" % (_printable(path), wrong)
        if isinstance(item, dict):
            below = [(child, _step(path, key), (*above, id(item))) for key, child in item.items()]
            waiting.extend(reversed(below))
        elif isinstance(item, (list, tuple)):
            waiting.extend((item[at], "%s[%d]" % (path, at), (*above, id(item))) for at in range(len(item) - 1, -1, -1))
    return "%s: cannot be written as JSON" % name


def _wrong(item: Any, above: Tuple[int, ...]) -> Optional[str]:
    if isinstance(item, str):
        return None if _is_unicode(item) else "text with half a surrogate pair"
    if item is None or isinstance(item, int):
        return None
    if isinstance(item, float):
        return None if math.isfinite(item) else "%r is not JSON" % item
    if not isinstance(item, (dict, list, tuple)):
        return "%s is not JSON" % type(item).__name__
    if id(item) in above:
        return "contains itself"
    if len(above) >= DEPTH_LIMIT:
        return "nested deeper than %d" % DEPTH_LIMIT
    return _wrong_key(item) if isinstance(item, dict) else None


def _wrong_key(item: Dict[Any, Any]) -> Optional[str]:
    for key in item:
        if not isinstance(key, str):
            return "key %s is %s, not text" % (_printable(repr(key))[:80], type(key).__name__)
        if not _is_unicode(key):
            return "a key with half a surrogate pair"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _step(path: str, key: Any) -> str:
    return "%s.%s" % (path, key) if isinstance(key, str) and key.isidentifier() else "%s[%r]" % (path, key)


def _printable(path: str) -> str:
    """A path that can be shown and stored whatever the keys hold."""
    text = path.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= 400 else text[:200] + "…" + text[-200:]
