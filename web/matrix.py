"""Who may do what: every method of every path with what it asks for, read from the marks that the gate obeys.

One truth for the guard, for the tests and for the table in docs/security.md. Values only.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from flask import Flask

from web import gate, page
from web.accounts import scope_of

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
PUBLIC: Final = "public"
_PARAMETER: Final = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


class Rule(NamedTuple):
    """One method of one path. ``asks``: a scope's name, or ``public``."""

    path: str
    method: str
    asks: str


def rules(app: Flask) -> list[Rule]:
    """All of them, by path. Raises RuntimeError where nobody decided."""
    gate.check_marks(app)
    found = []
    for rule in app.url_map.iter_rules():
        scope = scope_of(app.view_functions[rule.endpoint])
        for method in sorted((rule.methods or set()) & set(METHODS)):
            asks = PUBLIC if (method, rule.rule) in gate.PUBLIC else str(scope)
            found.append(Rule(_PARAMETER.sub(lambda name: "{" + name[1] + "}", rule.rule), method, asks))
    return sorted(found)


def table(rules_: Iterable[Rule]) -> str:
    """As Markdown: one line a path and scope. The page's files, which each build names anew, are one line together."""
    lines: dict[tuple[str, str], list[str]] = {}
    for rule in rules_:
        if rule.path not in page.PATHS:
            lines.setdefault((f"`{rule.path}`", rule.asks), []).append(rule.method)
    lines["`/` and the other files of the page", PUBLIC] = ["GET"]
    rows = [f"| {path} | {', '.join(methods)} | {asks} |" for (path, asks), methods in lines.items()]
    return "\n".join(["| path | methods | asks for |", "| --- | --- | --- |", *rows]) + "\n"
