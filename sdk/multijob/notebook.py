"""How values look in a notebook: small tables and bars of HTML. Pure; all is escaped, for it came from machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .values import Progress, Reached

#: Longer values are shortened in a cell.
CELL_LIMIT = 500
#: Rows of a table; below it stands how many more there are.
ROWS_LIMIT = 20


def members(title: str, values: Mapping[str, Any]) -> str:
    """One object: a line for each member that says something."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(str(name))}</th><td style='text-align:left'>{cell(value)}</td></tr>"
        for name, value in values.items()
        if value not in (None, "", [], {})
    )
    return f"<b>{escape(title)}</b><table>{rows}</table>"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], total: int) -> str:
    """Rows below each other, the first ROWS_LIMIT of them."""
    head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in columns)
    shown = [row for row, _ in zip(rows, range(ROWS_LIMIT))]
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{cell(value)}</td>" for value in row) + "</tr>" for row in shown
    )
    more = f"<p>… and {total - len(shown)} more</p>" if total > len(shown) else ""
    return f"<b>{escape(title)}</b><table><tr>{head}</tr>{body}</table>{more}"


def bar(progress: Progress) -> str:
    """Progress as a bar with its numbers."""
    failed = f", <span style='color:#ed4014'>{progress.failed} failed</span>" if progress.failed else ""
    if not progress.total:
        return f"<div>{progress.finished} finished{failed}</div>"
    return (
        f"<div><progress max='{progress.total}' value='{progress.finished}'></progress> "
        f"{progress.finished} of {progress.total}{failed}</div>"
    )


def reached(progress: Reached) -> str:
    """How far one job is, as a bar where it says of how much."""
    share = f"<progress max='{progress.total}' value='{progress.n}'></progress> " if progress.total else ""
    return f"<div>{share}{escape(str(progress))}</div>"


def cell(value: Any) -> str:
    """One value, escaped and shortened; texts keep their lines."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    shown = text if len(text) <= CELL_LIMIT else text[:CELL_LIMIT] + "…"
    return f"<pre style='margin:0'>{escape(shown)}</pre>" if "\n" in shown else escape(shown)
