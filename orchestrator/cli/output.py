"""How rows and values are shown: a table for eyes, tab-separated text for pipes, JSON for programs.

What is shown goes through ``text.clean`` or ``text.json_text``: nothing a node says is obeyed by the terminal.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, Literal, NamedTuple, TypeVar

import click

from orchestrator.cli.text import ago, clean, json_text, one_line

How = Literal["table", "plain", "json", "jsonl"]
Row = Mapping[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

STATUS_WORDS: Final[Mapping[int, str]] = {
    0: "waiting",
    1: "running",
    2: "returning",
    3: "done",
    -1: "failed",
    -2: "return_failed",
}
#: Colours of words that are states, of jobs and of machines; a word says all that a colour says.
STYLES: Final[Mapping[str, str]] = {
    "waiting": "yellow",
    "running": "cyan",
    "returning": "cyan",
    "done": "green",
    "failed": "red",
    "return_failed": "red",
    "ready": "green",
    "unreachable": "red",
    "untrusted": "red",
    "refused": "red",
    "unfit": "red",
    "paused": "yellow",
    "closed": "yellow",
    "draining": "yellow",
    "stopped": "yellow",
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
    #: Left out of a table that the terminal is too narrow for, the last one first.
    spare: bool = False
    #: What a table shows instead, where eyes are served by less.
    brief: Callable[[Row], str] | None = None

    def cell(self, row: Row) -> str:
        """What a table shows."""
        return one_line((self.brief or self.show)(row))


def aged(key: str) -> Callable[[Row], str]:
    """How long ago the time of that key is, now."""
    return lambda row: ago(row.get(key), time.time())


def format_options(command: F) -> F:
    """``--json`` and ``--jsonl``; ``how_of`` tells which was chosen."""
    options = (
        click.option("--json", is_flag=True, expose_value=False, callback=_choose, help="One JSON document."),
        click.option("--jsonl", is_flag=True, expose_value=False, callback=_choose, help="One JSON object a line."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def json_option(command: F) -> F:
    """``--json`` alone, for what is one document in any case."""
    return click.option("--json", is_flag=True, expose_value=False, callback=_choose, help="One JSON document.")(
        command
    )


def _choose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta["mj.how"] = param.name


def how_of(ctx: click.Context) -> How:
    """As asked for, else a table on a terminal and plain text elsewhere."""
    asked: How | None = ctx.meta.get("mj.how")
    return asked or ("table" if sys.stdout.isatty() else "plain")


def coloured() -> bool:
    """Whether colours are wanted on stdout."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(word: str, style: str = "") -> str:
    """A word in the colour of what it says, where colours are wanted."""
    colour = style or STYLES.get(word, "")
    return click.style(word, fg=colour) if colour and coloured() else word


def title(text: str) -> str:
    """The head of a part of the output."""
    return click.style(text, bold=True) if coloured() else text


def status_of(row: Row) -> str:
    """A job's status in words."""
    return STATUS_WORDS.get(row["status"], str(row["status"]))


def show_rows(rows: Iterable[Row], columns: Sequence[Column], how: How, *, empty: str = "") -> None:
    """All rows, in the way that was asked for."""
    if how == "jsonl":
        for row in rows:
            click.echo(json_text(row))
        return
    held = list(rows)
    if how == "json":
        click.echo(json_text(held, indent=2))
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

    console = Console(color_system="auto" if coloured() else None, highlight=False)
    shown = _fitting([(column, [column.cell(row) for row in rows]) for column in columns], console.width)
    expand = any(column.wide for column, _ in shown)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0), expand=expand)
    for column, _ in shown:
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(
            column.title, justify=justify, no_wrap=True, overflow="ellipsis", ratio=1 if column.wide else None
        )
    for cells in zip(*(cells for _, cells in shown), strict=True):
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in cells))
    console.print(table)


def _fitting(columns: list[tuple[Column, list[str]]], width: int) -> list[tuple[Column, list[str]]]:
    """The columns that say anything, without as many spare ones as it takes to fit."""
    from rich.cells import cell_len

    def needed() -> int:
        return sum(max(map(cell_len, [column.title, *cells])) + GAP for column, cells in columns if not column.wide)

    columns = [(column, cells) for column, cells in columns if not column.spare or any(cells)]
    wide = WIDE_AT_LEAST if any(column.wide for column, _ in columns) else 0
    spare = [column for column, _ in columns if column.spare]
    while spare and needed() + wide > width:
        left_out = spare.pop()
        columns = [(column, cells) for column, cells in columns if column is not left_out]
    return columns


def show_value(value: Mapping[str, Any], how: How) -> None:
    """One object: JSON, or a line for each member; what is empty is left out where people look."""
    if how in ("json", "jsonl"):
        click.echo(json_text(value, indent=2 if how == "json" else None))
        return
    shown = {name: one for name, one in value.items() if one not in (None, "", [], {})}
    width = max(map(len, shown), default=0)
    for name, one in shown.items():
        text = clean(one if isinstance(one, str) else json_text(one, indent=2))
        indented = text.replace("\n", "\n" + " " * (width + 2))
        click.echo(f"{title(name.ljust(width))}  {styled(indented)}")


def show_csv(rows: Iterable[Row], names: Sequence[str]) -> None:
    """Comma-separated, titles first; a text that a spreadsheet would take for a formula is given a quote in front."""
    import csv

    lines = csv.writer(sys.stdout, lineterminator="\n")
    for cells in chain([names], ([_cell(row.get(name)) for name in names] for row in rows)):
        lines.writerow(cells)
        sys.stdout.flush()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return json_text(value)
    text = clean(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text
