"""How rows and values are shown: a table for eyes, tab-separated text for pipes, JSON for programs.

Everything that came from a node is hostile: control characters are shown as escapes, never obeyed.
"""

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeVar

import click

How = Literal["table", "plain", "json", "jsonl"]
Row = Mapping[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

STATUS_STYLES: Final[Mapping[str, str]] = {
    "waiting": "yellow",
    "running": "cyan",
    "returning": "cyan",
    "done": "green",
    "failed": "red",
    "return_failed": "red",
}

#: Between two columns of a table; and what the column that takes the rest should be left with.
GAP: Final = 2
WIDE_AT_LEAST: Final = 12


class Column(NamedTuple):
    """One column: its title, and what a row shows in it."""

    title: str
    show: Callable[[Row], str]
    right: bool = False
    #: Takes the width that is left, and gives it up first.
    wide: bool = False
    #: Left out of a table that the terminal is too narrow for.
    spare: bool = False


def format_options(command: F) -> F:
    """``--json`` and ``--jsonl``; the command takes ``how``."""

    def choose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            ctx.meta["mj.how"] = param.name

    options = (
        click.option("--json", is_flag=True, expose_value=False, callback=choose, help="One JSON document."),
        click.option("--jsonl", is_flag=True, expose_value=False, callback=choose, help="One JSON object a line."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def how_of(ctx: click.Context) -> How:
    """As asked for, else a table on a terminal and plain text elsewhere."""
    asked: How | None = ctx.meta.get("mj.how")
    return asked or ("table" if sys.stdout.isatty() else "plain")


def show_rows(rows: Iterable[Row], columns: Sequence[Column], how: How, *, empty: str = "") -> None:
    """All rows, in the way that was asked for."""
    if how == "jsonl":
        for row in rows:
            click.echo(json_text(row))
        return
    held = list(rows)
    if how == "json":
        click.echo(json.dumps(held, ensure_ascii=False, indent=2))
    elif how == "plain":
        show_plain(held, columns)
    elif held:
        show_table(held, columns)
    else:
        click.echo(empty, err=True)


def show_plain(rows: Iterable[Row], columns: Sequence[Column]) -> None:
    """Tab-separated, one row a line, titles first."""
    click.echo("\t".join(column.title for column in columns))
    for row in rows:
        click.echo("\t".join(one_line(column.show(row)) for column in columns))


def show_table(rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """For eyes, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    shown = _fitting([(column, [one_line(column.show(row)) for row in rows]) for column in columns], console.width)
    expand = any(column.wide for column, _ in shown)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0), expand=expand)
    for column, _ in shown:
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(
            column.title, justify=justify, no_wrap=True, overflow="ellipsis", ratio=1 if column.wide else None
        )
    for cells in zip(*(cells for _, cells in shown), strict=True):
        table.add_row(*(Text(cell, style=STATUS_STYLES.get(cell, "")) for cell in cells))
    console.print(table)


def _fitting(columns: list[tuple[Column, list[str]]], width: int) -> list[tuple[Column, list[str]]]:
    """The columns without as many spare ones as it takes to fit."""
    from rich.cells import cell_len

    def needed() -> int:
        return sum(max(map(cell_len, [column.title, *cells])) + GAP for column, cells in columns if not column.wide)

    spare = [column for column, _ in columns if column.spare]
    while spare and needed() + WIDE_AT_LEAST > width:
        left_out = spare.pop()
        columns = [(column, cells) for column, cells in columns if column is not left_out]
    return columns


def show_value(value: Mapping[str, Any], how: How) -> None:
    """One object: JSON, or a line for each member."""
    if how in ("json", "jsonl"):
        click.echo(json.dumps(value, ensure_ascii=False, indent=2 if how == "json" else None))
        return
    width = max(len(name) for name in value)
    for name, shown in value.items():
        text = clean(shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False, indent=2))
        indented = text.replace("\n", "\n" + " " * (width + 2))
        click.echo(f"{click.style(name.ljust(width), bold=True) if how == 'table' else name.ljust(width)}  {indented}")


def json_text(value: Any) -> str:
    """A value on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def excerpt(value: Any, limit: int = 200) -> str:
    """A value shortened to be looked at."""
    text = value if isinstance(value, str) else json_text(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clean(text: str) -> str:
    """Text that a terminal may be given: control, direction and other invisible characters as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in "\n\t" or not _dangerous(c) else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """Clean, and on one line."""
    return clean(text).replace("\n", " ").replace("\t", " ")


def moment(seconds: float | None) -> str:
    """A time of the server, here."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if not seconds:
        return ""
    if seconds < 0.1:
        return f"{seconds * 1000:.2g}ms"
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def _dangerous(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
