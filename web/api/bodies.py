"""Read the large JSON body of a submission in one pass. Pure: bytes in, values and slices of the text out.

A body with ten thousand inputs is parsed once; each input is kept as the very text it came as, so nothing is encoded
again on its way to the store. That is three times cheaper than loading and dumping (bench/web.py shows it).
"""

import json
from json import JSONDecodeError
from typing import Any, Final, NamedTuple

from jobs import strict_json

_SPACE: Final = " \t\n\r"


class Refused(Exception):
    """The body is not what it should be. ``field`` says where; ``well_formed`` whether it was JSON at all."""

    def __init__(self, message: str, *, field: str | None = None, well_formed: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.well_formed = well_formed


class SubmissionBody(NamedTuple):
    """The members of the body apart from ``inputs``, parsed; and each input as its JSON text."""

    members: dict[str, Any]
    inputs: list[str]


def load(body: bytes) -> Any:
    """Any strict JSON value. Raises Refused."""
    try:
        return strict_json.decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _broken(error) from error


def load_submission(body: bytes) -> SubmissionBody:
    """The submission's members and inputs. Raises Refused, naming the first input that is not one."""
    try:
        return _object(body.decode("utf-8"))
    except (ValueError, RecursionError, StopIteration, IndexError) as error:
        raise _broken(error) from error


def _object(text: str) -> SubmissionBody:
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        raise Refused("the body is not a JSON object")
    members: dict[str, Any] = {}
    inputs: list[str] | None = None
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = _key(text, at)
        if key in members or (key == "inputs" and inputs is not None):
            raise Refused(f"{key} is given twice", field=key)
        if key == "inputs":
            inputs, at = _inputs(text, at)
        else:
            members[key], at = strict_json.scan(text, at)
        at = _next(text, at, "}")
    if _skip(text, at + 1) != len(text):
        raise JSONDecodeError("something follows the object", text, at + 1)
    if inputs is None:
        raise Refused("inputs is missing", field="inputs")
    return SubmissionBody(members, inputs)


def _key(text: str, at: int) -> tuple[str, int]:
    if text[at] != '"':
        raise JSONDecodeError("a name in double quotes is missing", text, at)
    key, at = strict_json.scan(text, at)
    at = _skip(text, at)
    if text[at] != ":":
        raise JSONDecodeError("a colon is missing", text, at)
    return key, _skip(text, at + 1)


def _inputs(text: str, at: int) -> tuple[list[str], int]:
    if text[at] != "[":
        raise Refused("inputs is not a list", field="inputs")
    inputs: list[str] = []
    add, scan = inputs.append, strict_json.scan
    at = _skip(text, at + 1)
    if text[at] == "]":
        return inputs, at + 1
    while True:
        value, end = scan(text, at)
        if (
            type(value) is dict
            and len(value) == 2
            and type(value.get("args")) is list
            and type(value.get("kwargs")) is dict
        ):
            add(text[at:end])
        else:
            add(_completed(value, f"inputs.{len(inputs)}"))
        if text[end] == "," and text[end + 1] == "{":  # the usual case, without a call
            at = end + 1
            continue
        at = _next(text, end, "]")
        if text[at] == "]":
            return inputs, at + 1


def _completed(value: Any, here: str) -> str:
    """An input that leaves something out, made whole; anything else that is not quite an input is refused."""
    if type(value) is not dict:
        raise Refused(f'{here} is not an object like {{"args": [], "kwargs": {{}}}}', field=here)
    args, kwargs = value.pop("args", []), value.pop("kwargs", {})
    if type(args) is not list:
        raise Refused(f"{here}.args is not a list", field=f"{here}.args")
    if type(kwargs) is not dict:
        raise Refused(f"{here}.kwargs is not an object", field=f"{here}.kwargs")
    for unknown in value:
        raise Refused(f"{here}.{unknown}: there is no such field here", field=f"{here}.{unknown}")
    return json.dumps({"args": args, "kwargs": kwargs}, separators=(",", ":"))


def _next(text: str, at: int, closing: str) -> int:
    """Past the comma to what follows it, or to the closing bracket."""
    at = _skip(text, at)
    if text[at] == closing:
        return at
    if text[at] != ",":
        raise JSONDecodeError("a comma is missing", text, at)
    at = _skip(text, at + 1)
    if text[at] == closing:
        raise JSONDecodeError("nothing follows the comma", text, at)
    return at


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in _SPACE and at < len(text):
        at += 1
    return at


def _broken(error: Exception) -> Refused:
    if isinstance(error, strict_json.NotJson):
        return Refused(str(error), well_formed=False)
    if isinstance(error, JSONDecodeError):
        return Refused(f"the body is not JSON: {error}", well_formed=False)
    if isinstance(error, RecursionError):
        return Refused("the body is nested too deeply", well_formed=False)
    if isinstance(error, UnicodeDecodeError):
        return Refused("the body is not UTF-8", well_formed=False)
    return Refused("the body is not JSON", well_formed=False)
