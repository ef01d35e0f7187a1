"""The client's part that inserts jobs: stored when it answers, and once only however often it is sent."""

from __future__ import annotations

import copy
import hashlib
import uuid
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from . import inputs
from .asking import Asking, given
from .errors import MultiJobError, Unreachable
from .jobset import JobSet
from .row import JsonObject
from .values import Input

if TYPE_CHECKING:
    from .client import Client
    from .progress import Wanted


class Inserting(Asking):
    """Insert one job, or as many as an iterable holds."""

    def insert(self, job_type: str, /, *args: Any, **kwargs: Any) -> int:
        """Insert one job that will run ``work(*args, **kwargs)``; answer its id. Stored once it answers."""
        jobs = self.submit_many(job_type, [Input(args, kwargs)])
        return jobs.ranges[0][0]

    def submit_many(
        self,
        job_type: str,
        items: Iterable[Any],
        *,
        batch: str | None = None,
        tag: str | None = None,
        priority: int | None = None,
        limit_count: int | None = None,
        chunk: int = 1000,
        key: str | None = None,
    ) -> JobSet:
        """Insert a job for each item; items may come from a generator and are never all in memory.

        A dict becomes keyword arguments, a tuple or list positional ones, ``multijob.call(…)`` both, anything else the
        only argument. Each chunk is stored whole or not at all, and once only however often it is sent.

        ``key``: any text that stands for this very submission. Calling again with the same key and the same items,
        within seven days and from anywhere, inserts nothing twice: what was stored is answered, what was not is
        inserted. Without one a random key is made; if this has to stop midway, the error's ``key`` is the key it used
        and ``submitted`` the jobs that are known to be stored.
        """
        options = {"job_type": job_type, **self._options, **options_of(batch, tag, priority, limit_count)}
        key = key or uuid.uuid4().hex
        runs, cursor = _Runs(), 0
        try:
            for number, body in enumerate(inputs.bodies(options, items, chunk)):
                stored = self._post_jobs(body, chunk_key(key, number))
                cursor = cursor if runs else stored["cursor"]
                runs.add(stored["first_id"], stored["count"])
        except MultiJobError as error:
            raise _told(error, key, runs.as_set(cursor, self._me)) from error
        return runs.as_set(cursor, self._me)

    def map(
        self,
        job_type: str,
        items: Iterable[Any],
        *,
        batch: str | None = None,
        tag: str | None = None,
        priority: int | None = None,
        limit_count: int | None = None,
        chunk: int = 1000,
        key: str | None = None,
        progress: Wanted = None,
        timeout_s: float | None = None,
    ) -> Iterator[Any]:
        """Insert a job for each item at once; then give what they answer, in the order of the items.

        Raises JobFailed when it comes to one that failed. The rest is as for ``submit_many``.
        """
        jobs = self.submit_many(
            job_type, items, batch=batch, tag=tag, priority=priority, limit_count=limit_count, chunk=chunk, key=key
        )
        return jobs.values(progress=progress, timeout_s=timeout_s)

    def using(
        self,
        *,
        batch: str | None = None,
        tag: str | None = None,
        priority: int | None = None,
        limit_count: int | None = None,
    ) -> Client:
        """The same client with these settings for every job it inserts. What is left out keeps its value."""
        other = copy.copy(self)
        options = {**self._options, **options_of(batch, tag, priority, limit_count)}
        other._options = options  # noqa: SLF001 - another of this class
        return cast("Client", other)

    def _post_jobs(self, body: bytes, key: str) -> JsonObject:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        answer: JsonObject = self._http.json("POST", "/api/v1/jobs", body=body, headers=headers)
        return answer


def chunk_key(key: str, number: int) -> str:
    """The idempotency key of one chunk; any text may be the key of the whole."""
    return f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:48]}.{number}"


def options_of(batch: str | None, tag: str | None, priority: int | None, limit_count: int | None) -> JsonObject:
    """The settings of jobs that were given."""
    return given(batch=batch, tag=tag, priority=priority, limit_count=limit_count)


def _told(error: MultiJobError, key: str, submitted: JobSet) -> MultiJobError:
    error.key, error.submitted = key, submitted
    if isinstance(error, Unreachable) and error.arrived:
        error.remedy = f"call submit_many again with the same items and key={key!r}: nothing is inserted twice"
    return error


class _Runs:
    """Ids as they are answered, chunk by chunk, kept as runs of neighbours."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._runs)

    def add(self, first: int, count: int) -> None:
        last = first + count - 1
        if self._runs and self._runs[-1][1] + 1 == first:
            self._runs[-1] = (self._runs[-1][0], last)
        else:
            self._runs.append((first, last))

    def as_set(self, cursor: int, client: Client) -> JobSet:
        return JobSet(tuple(sorted(self._runs)), cursor, client)
