"""What all parts of the client share: how the server is asked, and how callers' filters become the server's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Union, cast
from urllib.parse import quote

from .errors import Invalid
from .http import Http
from .job import Job
from .jobset import JobSet
from .row import JsonObject

if TYPE_CHECKING:
    from .client import Client

#: Which jobs are meant: a set from ``submit_many``, one id or Job, several, or the name of a batch.
Jobs = Union[JobSet, Job, int, Iterable[Union[int, Job]], str]


class Asking:
    """The base of the client's parts."""

    _http: Http
    _options: JsonObject

    @property
    def _me(self) -> Client:
        return cast("Client", self)

    def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        json_body: object = None,
        repeatable: bool = True,
    ) -> JsonObject:
        """Any other path of the server that answers with an object; None in ``params`` is left out."""
        return self._object(method, path, given(**(params or {})), json_body=json_body, repeatable=repeatable)

    def _object(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        json_body: object = None,
        repeatable: bool = True,
    ) -> JsonObject:
        body = None if json_body is None else json.dumps(json_body).encode("ascii")
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer: JsonObject = self._http.json(
            method, path, params=params, body=body, headers=headers, repeatable=repeatable
        )
        return answer

    def _rows(self, path: str, key: str, params: Mapping[str, Any] | None = None) -> list[JsonObject]:
        """A list that the server answers under its noun."""
        rows: list[JsonObject] = self._object("GET", path, params)[key]
        return rows

    def _pages(self, path: str, key: str, params: Mapping[str, Any], after: Any = None) -> Iterator[JsonObject]:
        """The rows of all pages from ``after`` on, fetched as they are asked for."""
        while True:
            page = self._object("GET", path, given(**{**params, "after": after}))
            yield from page[key]
            after = page.get("next")
            if after is None:
                return


def part(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def given(**values: Any) -> JsonObject:
    """What is not None."""
    return {name: value for name, value in values.items() if value is not None}


def filter_of(**filters: Any) -> JsonObject:
    """Filters as callers write them → the server's grammar; None is no condition.

    Several values may be a list instead of a text with commas; times may be datetimes. Ids stay a list: an empty one
    means no job.
    """
    read = {name: _condition(value) for name, value in filters.items() if value is not None}
    ids = filters.get("ids")
    return {**read, "ids": list(ids_of(ids))} if ids is not None and not isinstance(ids, str) else read


def query_of(**filters: Any) -> JsonObject:
    """The same for a URL, where a list is a text with commas."""
    return {name: _condition(value) for name, value in filter_of(**filters).items()}


def _condition(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(map(str, value))
    return value


def ids_of(jobs: Jobs) -> JobSet:
    """The ids meant; a batch has none here."""
    if isinstance(jobs, JobSet):
        return jobs
    if isinstance(jobs, int):
        return JobSet(((jobs, jobs),))
    if isinstance(jobs, Job):
        return JobSet(((jobs.id, jobs.id),))
    if isinstance(jobs, str):
        raise Invalid("ids are numbers", field="jobs", remedy="name the batch as batch=…")
    return JobSet.of(one if isinstance(one, int) else one.id for one in jobs)
