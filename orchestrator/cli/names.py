"""Names for the shell to complete: job types, machines, batches of the server that is meant; words that never change.

Completing happens between two key presses: the server is asked by the standard library alone, for a moment only, and
whatever goes wrong, there is nothing to complete and nothing is said.
"""

import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: How long the server may take; what does not come by then is not completed.
PATIENCE_S: Final = 0.12
ANSWER_LIMIT_BYTES: Final = 1 << 20
STATUSES: Final = ("waiting", "running", "returning", "done", "failed", "return_failed")

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def statuses(_ctx: click.Context, _param: click.Parameter, typed: str) -> "list[CompletionItem]":
    """Status words, also the next one of several."""
    before, comma, last = typed.rpartition(",")
    return _items(before + comma + word for word in STATUSES if word.startswith(last))


def _from(path: str, rows: str, key: str) -> Completer:
    def complete(ctx: click.Context, _param: click.Parameter, typed: str) -> "list[CompletionItem]":
        try:
            found = [str(row[key]) for row in _fetched(ctx, path)[rows]]
        except Exception:  # noqa: BLE001 - whatever it is, a shell must not show it while someone types
            return []
        return _items(name for name in found if name.startswith(typed) and name.isprintable())

    return complete


job_types: Final = _from("/api/v1/job_types", "job_types", "job_type")
machines: Final = _from("/api/v1/machines", "machines", "machine_id")
batches: Final = _from("/api/v1/batches?size=200", "batches", "batch")
tokens: Final = _from("/api/v1/tokens", "tokens", "name")


def _items(names: Iterable[str]) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in names]


def _fetched(ctx: click.Context, path: str) -> Any:
    import json
    from http.client import HTTPConnection, HTTPSConnection
    from urllib.parse import urlsplit

    given = ctx.find_root().params
    token = _token_in(given.get("token_file"))
    place = _place_module().find(given.get("url"), token, given.get("home"))
    parts = urlsplit(place.url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        headers = {"Authorization": f"Bearer {place.token}"} if place.token else {}
        connection.request("GET", parts.path + path, headers=headers)
        return json.loads(connection.getresponse().read(ANSWER_LIMIT_BYTES))
    finally:
        connection.close()


def _token_in(path: str | None) -> str | None:
    from orchestrator.cli.shell import where

    return where(None, path, None).token


def _place_module() -> Any:
    """``multijob.place`` without the rest of its package, whose HTTP library takes longer to load than is left."""
    if "multijob" not in sys.modules:
        from importlib.util import find_spec

        spec = find_spec("multijob")
        package = ModuleType("multijob")
        package.__path__ = list(spec.submodule_search_locations or ()) if spec else []
        sys.modules["multijob"] = package
    from importlib import import_module

    return import_module("multijob.place")
