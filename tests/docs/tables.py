"""The tables of the reference pages that the code itself knows: commands and paths. As a program: writes them anew.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``. Run: ``python -m tests.docs.tables``.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from jobs.service import JobService
from jobs.store import Store
from orchestrator.cli import main as mj
from tests.docs.blocks import ROOT
from tests.docs.words import COMMANDS
from web.accounts import Accounts
from web.api.openapi import document
from web.app import create_app

PAGES: Final = ("cli", "api")
LANGUAGES: Final = ("en", "zh")
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->\n)", re.DOTALL)
_HEADS: Final = {
    ("cli", "en"): ("command", "does"),
    ("cli", "zh"): ("命令", "作用"),
    ("api", "en"): ("path", "method", "scope", "does"),
    ("api", "zh"): ("路径", "方法", "权限", "作用"),
}


def commands() -> Iterator[tuple[str, str]]:
    """(words after mj, what it does) of every command that does something."""
    yield from _below(mj, ())


def _below(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _below(command, (*words, name))
        else:
            yield " ".join((*words, name)), command.get_short_help_str(1000)


def paths() -> dict[str, Any]:
    """The paths of the OpenAPI document."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{folder}/paths.db")
        try:
            service = JobService(store, Path(folder), Path(folder))
            found: dict[str, Any] = document(create_app(service, Accounts(service, b"none")), "")["paths"]
        finally:
            store.close()
    return found


def renewed(text: str, page: str, language: str) -> str:
    """The page with its tables made anew."""
    return _TABLE.sub(lambda found: found[1] + _table(page, language, found[2]) + found[3], text)


def _table(page: str, language: str, which: str) -> str:
    rows = list(_command_rows(language) if page == "cli" else _path_rows(language, old=which == "old"))
    head = _HEADS[page, language]
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _command_rows(language: str) -> Iterator[tuple[str, ...]]:
    for words, english in commands():
        yield f"`mj {words}`", english if language == "en" else COMMANDS[words]


def _path_rows(language: str, *, old: bool) -> Iterator[tuple[str, ...]]:
    for path, methods in paths().items():
        if path.startswith("/api/v1/") == old:
            continue
        for method, said in methods.items():
            words = said["summary"] if language == "en" else said["x-summary-zh"]
            yield f"`{path}`", method.upper(), said["x-scope"] or "–", words


def write() -> None:
    """Into the pages."""
    for page in PAGES:
        for language in LANGUAGES:
            path = ROOT / "docs" / language / f"{page}.md"
            path.write_text(renewed(path.read_text("utf-8"), page, language), "utf-8")


if __name__ == "__main__":
    write()
