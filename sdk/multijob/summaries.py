"""The client's part that counts: by type and batch, by the hour, what runs as batches, what fails alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .asking import Asking, given, part, query_of
from .row import JsonObject, Row
from .values import Progress, Result

if TYPE_CHECKING:
    from .actions import Operation
    from .client import Client
    from .progress import Wanted


#: Groups of failures that one request asks for.
GROUPS_SIZE = 200


class Batch(Row):
    """Made by ``client.batch(name)`` without asking; its members are as last seen until ``refresh``."""

    def __init__(self, client: Client, name: str, seen: JsonObject | None = None) -> None:
        super().__init__(client, seen)
        self.name = name

    def _fetch(self) -> JsonObject:
        return self._client.call("GET", f"/api/v1/batches/{part(self.name)}")

    def _title(self) -> str:
        return f"Batch {self.name}"

    @property
    def counts(self) -> dict[str, int]:
        """Its jobs by the word of their status."""
        return dict(self._member("jobs") or {})

    @property
    def progress(self) -> Progress:
        """How far it was when last seen."""
        counts = self.counts
        failed = counts.get("failed", 0) + counts.get("return_failed", 0)
        total = sum(counts.values())
        return Progress(counts.get("done", 0), failed, total - failed - counts.get("done", 0), total)

    def wait(self, *, progress: Wanted = None, timeout_s: float | None = None) -> Progress:
        """Wait until all of it has finished."""
        return self._client.wait(self.name, progress=progress, timeout_s=timeout_s)

    def results(
        self, *, wait: bool = True, progress: Wanted = None, timeout_s: float | None = None
    ) -> Iterator[Result]:
        """Its results in the order the jobs finish."""
        return self._client.results(self.name, wait=wait, progress=progress, timeout_s=timeout_s)

    def kill(self, **options: Any) -> Operation:
        """Stop those that wait or run; options as for ``Client.kill``."""
        return self._client.kill(batch=self.name, **options)

    def rerun(self, **options: Any) -> Operation:
        """Run those that have finished again: ``rerun(status="failed", elsewhere=True)``."""
        return self._client.rerun(batch=self.name, **options)

    def copy(self, **options: Any) -> Operation:
        """Insert the same jobs anew."""
        return self._client.copy(batch=self.name, **options)

    def delete(self, **options: Any) -> Operation:
        """Delete them for good; running ones stay."""
        return self._client.delete(batch=self.name, **options)


class FailureGroup(Row):
    """Failures that are alike: same type, exception, place in the code and message."""

    def _fetch(self) -> JsonObject:
        return self._client.call("GET", f"/api/v1/failures/{part(self.fingerprint)}")

    def _title(self) -> str:
        return f"{self['count']} × {self['exception']}: {self['message']}"

    @property
    def fingerprint(self) -> str:
        """What names it; ``q=`` of a filter takes it."""
        return str(self["fingerprint"])

    def rerun(self, *, elsewhere: bool = False, **options: Any) -> Operation:
        """Run its jobs again; ``elsewhere``: not on the machines where they failed."""
        return self._client.rerun(elsewhere=elsewhere, q=self.fingerprint, **options)

    def mute(self) -> JsonObject:
        """Do not show it until the job type has a new version."""
        where = f"/api/v1/failures/{part(self.fingerprint)}/mute"
        return self._client.call("POST", where, json_body={"until_next_version": True})


class Summaries(Asking):
    """Counts, kept by the server while jobs move: as quick with a million jobs as with ten."""

    def summary(
        self, job_type: str | None = None, batch: str | None = None, *, by_batch: bool = False
    ) -> list[JsonObject]:
        """Counts by job type, or by its batches where one is named or ``by_batch`` asks for all."""
        asked = given(job_type=job_type, batch=batch, by_batch="true" if by_batch else None)
        return self._rows("/api/v1/summary", "summary", asked)

    def history(self, hours: int = 24, job_type: str | None = None) -> list[JsonObject]:
        """What became of jobs, a row for each hour of their latest move, and how long those that finished took."""
        return self._rows("/api/v1/history", "hours", given(hours=hours, job_type=job_type))

    def waiting(self) -> list[JsonObject]:
        """What waits and what for: a row for all jobs of a type that ask for the same."""
        return self._rows("/api/v1/waiting", "waiting")

    def batches(self, *, size: int = 100, q: str | None = None) -> Iterator[Batch]:
        """Batches, the one that moved last first, fetched in pages as they are asked for."""
        asked = given(size=size, q=q)
        return (Batch(self._me, row["batch"], row) for row in self._pages("/api/v1/batches", "batches", asked))

    def batch(self, name: str) -> Batch:
        """One batch. Nothing is asked until something of it is wanted."""
        return Batch(self._me, name)

    def failures(self, *, job_type: str | None = None, since: Any = None, until: Any = None) -> list[FailureGroup]:
        """Failures grouped by what they have in common, the latest first; times count by the hour."""
        asked = query_of(job_type=job_type, since=since, until=until, size=GROUPS_SIZE)
        return [FailureGroup(self._me, row) for row in self._pages("/api/v1/failures", "groups", asked)]
