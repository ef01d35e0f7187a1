"""Something the server knows, seen from here: fetched when it is first looked at, and again when asked to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import notebook

if TYPE_CHECKING:
    from typing_extensions import Self

    from .client import Client

JsonObject = dict[str, Any]


class Row(Mapping[str, Any]):
    """Its members as last seen, like a dict (``row["status"]``, ``dict(row)``); ``refresh`` looks again.

    As a mapping it never asks for more than it was made of, so that a thousand rows of a list stay one request.
    """

    def __init__(self, client: Client, seen: Mapping[str, Any] | None = None) -> None:
        self._client = client
        self._seen: JsonObject | None = None if seen is None else dict(seen)
        self._whole = False

    def refresh(self) -> Self:
        """Look again; answers itself."""
        self._seen = {**(self._seen or {}), **self._fetch()}
        self._whole = True
        return self

    def _fetch(self) -> JsonObject:
        raise NotImplementedError

    def _title(self) -> str:
        raise NotImplementedError

    def _member(self, name: str) -> Any:
        """A member, asked for where what was seen lacks it."""
        if not self._whole and name not in self._known():
            self.refresh()
        return self._known().get(name)

    def _known(self) -> JsonObject:
        if self._seen is None:
            self.refresh()
        return self._seen or {}

    def __getitem__(self, name: str) -> Any:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return str(self._known())

    def __repr__(self) -> str:
        return f"<{self._title()}>"

    def _repr_html_(self) -> str:
        return notebook.members(self._title(), self._known())
