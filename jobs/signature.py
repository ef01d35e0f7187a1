"""What ``work()`` takes, read from the text of main.py without running it. Pure: source in, parameters out."""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

#: Nobody writes a main.py of this size; it is not worth parsing.
SOURCE_LIMIT_BYTES: Final = 1024 * 1024
#: Of what is shown of a default or an annotation.
TEXT_LIMIT: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One parameter of work()."""

    name: str
    #: "plain", "by_order" (before a "/") or "by_name" (after a "*").
    kind: str
    annotation: str | None
    #: Its default as written; None: it must be given.
    default_text: str | None
    #: JSON text of the default, where it is a value that JSON knows.
    default: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """What a main.py says of its work(). ``parameters`` is None where that cannot be known without running it."""

    parameters: tuple[Parameter, ...] | None
    doc: str | None


UNKNOWN: Final = Signature(parameters=None, doc=None)


def read(source: bytes) -> Signature:
    """The signature of the last plain ``def work`` at the top of this file."""
    if len(source) > SOURCE_LIMIT_BYTES:
        return UNKNOWN
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return UNKNOWN
    found = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == "work"]
    if not found or found[-1].decorator_list:
        return UNKNOWN
    return Signature(parameters=tuple(_parameters(found[-1].args)), doc=ast.get_docstring(found[-1]))


def _parameters(args: ast.arguments) -> Iterator[Parameter]:
    ordered = [*args.posonlyargs, *args.args]
    absent = len(ordered) - len(args.defaults)
    for at, one in enumerate(ordered):
        kind = "by_order" if at < len(args.posonlyargs) else "plain"
        yield _parameter(one, kind, args.defaults[at - absent] if at >= absent else None)
    for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield _parameter(one, "by_name", default)


def _parameter(one: ast.arg, kind: str, default: ast.expr | None) -> Parameter:
    return Parameter(
        name=one.arg,
        kind=kind,
        annotation=None if one.annotation is None else ast.unparse(one.annotation)[:TEXT_LIMIT],
        default_text=None if default is None else ast.unparse(default)[:TEXT_LIMIT],
        default=None if default is None else _json(default),
    )


def _json(default: ast.expr) -> str | None:
    try:
        value: Any = ast.literal_eval(default)
        return json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError, MemoryError, SyntaxError):
        return None
