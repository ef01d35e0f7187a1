"""JSON as its standard has it (RFC 8259): NaN and Infinity, which Python's decoder takes besides, are refused. Pure."""

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn


class NotJson(ValueError):
    """A constant that only Python takes for JSON."""


def decode(text: str) -> Any:
    """The value of a text; nearly none has spaces around it, which is what Python's decoder looks for first.

    Raises ValueError (NotJson and json.JSONDecodeError are ones), RecursionError.
    """
    try:
        value, end = scan(text, 0)
    except StopIteration:
        end = -1
    return value if end == len(text) else _DECODER.decode(text)


def _refuse(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)
#: (text, index) → (value, index after it); the C scanner where there is one. Raises StopIteration besides.
scan: Final[Callable[[str, int], tuple[Any, int]]] = _DECODER.scan_once  # type: ignore[attr-defined]  # undocumented
