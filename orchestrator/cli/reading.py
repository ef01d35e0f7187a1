"""What people type → inputs of jobs: key=value words, JSON, CSV, JSON lines, ranges of ids. Opens nothing."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import IO, Any

from click import BadParameter

from jobs import strict_json


def typed(text: str) -> Any:
    """JSON where it reads as JSON (numbers, true, null, lists, quoted text), else the text itself."""
    try:
        return strict_json.decode(text)
    except ValueError:
        return text


def keyword_arguments(words: Sequence[str], *, as_text: bool = False) -> dict[str, Any]:
    """``x=1 label=hi`` as keyword arguments."""
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise BadParameter(f"{word!r} is not NAME=VALUE", param_hint="arguments")
        if name in kwargs:
            raise BadParameter(f"{name} is given twice", param_hint="arguments")
        kwargs[name] = value if as_text else typed(value)
    return kwargs


def json_arguments(text: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """``'[1, "a"]'`` as positional arguments, ``'{"x": 1}'`` as keyword arguments."""
    if text is None:
        return (), {}
    try:
        value = strict_json.decode(text)
    except ValueError as error:
        raise BadParameter(f"not JSON: {error}", param_hint="--args") from error
    if isinstance(value, dict):
        return (), value
    if not isinstance(value, list):
        raise BadParameter('expected a JSON list such as [1, "a"], or an object', param_hint="--args")
    return tuple(value), {}


def arguments(text: str | None, words: Sequence[str], *, as_text: bool = False) -> Any:
    """One job's input from ``--args`` and NAME=VALUE words; the words win."""
    from multijob import call

    args, kwargs = json_arguments(text)
    return call(*args, **{**kwargs, **keyword_arguments(words, as_text=as_text)})


def csv_rows(file: IO[str], constants: dict[str, Any], *, as_text: bool = False) -> Iterator[dict[str, Any]]:
    """Each line as keyword arguments named by the first line."""
    lines = csv.reader(file)
    names = [name.strip() for name in next(lines, [])]
    for name in names:
        if not name.isidentifier() or names.count(name) > 1:
            raise BadParameter(f"the first line must name the arguments; {name!r} cannot be one", param_hint="--csv")
    for line in lines:
        if not line:
            continue
        if len(line) != len(names):
            message = f"line {lines.line_num} has {len(line)} fields, the first line {len(names)}"
            raise BadParameter(message, param_hint="--csv")
        yield {**constants, **dict(zip(names, line if as_text else map(typed, line), strict=True))}


def json_lines(file: Iterable[str], constants: dict[str, Any]) -> Iterator[Any]:
    """Each line as an input: an object is keyword arguments, a list positional ones, anything else the only one."""
    from multijob import call

    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            value = strict_json.decode(line)
        except ValueError as error:
            raise BadParameter(f"line {number} is not JSON: {error}", param_hint="--jsonl") from error
        if isinstance(value, dict):
            yield {**constants, **value}
        else:
            yield call(*(value if isinstance(value, list) else [value]), **constants)


def ids_of(words: Sequence[str]) -> list[int]:
    """``3 5-9 12,13`` as ids."""
    return list(chain.from_iterable(_range_of(part) for word in words for part in word.split(",") if part))


def ranges_text(ids: Sequence[int]) -> str:
    """Ids as ``ids_of`` reads them: ``3,5-9``; only the first few of many runs."""
    from multijob import JobSet

    runs = JobSet.of(ids).ranges
    return ",".join(f"{a}-{b}" if b > a else str(a) for a, b in runs[:10]) + (",…" if len(runs) > 10 else "")


def _range_of(text: str) -> range:
    first, dash, last = text.partition("-")
    if not (first.isdecimal() and (last.isdecimal() or not dash)) or (dash and int(last) < int(first)):
        raise BadParameter(f"{text!r} is not a job id or a range like 5-9", param_hint="IDS")
    return range(int(first), int(last or first) + 1)
