"""Results → files: JSON lines, and CSV whose cells no spreadsheet takes for formulas. Knows no server."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from .values import Result

#: A text that begins with one of these may be computed by a spreadsheet that opens it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def to_jsonl(results: Iterable[Result], target: str | Path | TextIO) -> int:
    """One JSON object a line; answers how many."""
    count = 0
    with _opened(target, "utf-8") as file:
        for row in results:
            file.write(json.dumps(row._asdict(), ensure_ascii=False) + "\n")
            count += 1
    return count


def to_csv(results: Iterable[Result], target: str | Path | TextIO) -> int:
    """A header and a line for each; answers how many. A result that is no plain value stands there as JSON."""
    count = 0
    # The mark in front tells spreadsheets that it is UTF-8.
    with _opened(target, "utf-8-sig") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(Result._fields)
        for row in results:
            writer.writerow([cell(value) for value in row])
            count += 1
    return count


def cell(value: Any) -> Any:
    """A value as a cell: numbers stay numbers, texts that look like formulas are quoted."""
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text


@contextmanager
def _opened(target: str | Path | TextIO, encoding: str) -> Iterator[TextIO]:
    """The file to write to; one that we open gets its name when it is complete."""
    if not isinstance(target, (str, Path)):
        yield target
        return
    whole = Path(target).expanduser()
    part = whole.with_name(f".{whole.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding=encoding, errors="backslashreplace", newline="") as file:
            yield file
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)
