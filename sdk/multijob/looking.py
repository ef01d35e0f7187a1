"""The client's part that looks at jobs: one, a list by filter, tries and logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from . import following
from .asking import Asking, given, query_of
from .job import Job
from .jobset import JobSet
from .row import JsonObject
from .values import Printed


class Looking(Asking):
    """Jobs as objects; the ``…_page`` and log calls answer plainly what the server says."""

    def job(self, job_id: int) -> Job:
        """One job. Nothing is asked until something of it is wanted."""
        return Job(self._me, job_id)

    def jobset(self, ids: Iterable[int]) -> JobSet:
        """These jobs together, as ``submit_many`` answers them."""
        return JobSet.of(ids, client=self._me)

    def jobs(self, *, size: int = 100, after: Any = None, sort: str | None = None, **filters: Any) -> Iterator[Job]:
        """Jobs, newest first (below the id ``after``), fetched in pages of ``size`` as they are asked for.

        ``filters``: status (words or numbers), job_type, batch, machine_id, tag, version, ids, cleared, q, since,
        until. Lists, or texts with commas, mean one of them; a "!" in front none of them.
        """
        asked = given(size=size, sort=sort, **query_of(**filters))
        return (Job(self._me, row["id"], row) for row in self._pages("/api/v1/jobs", "jobs", asked, after))

    def jobs_page(self, *, size: int = 50, after: Any = None, sort: str | None = None, **filters: Any) -> JsonObject:
        """One page of jobs: ``{"jobs": […], "next": …}``; ``next`` is the ``after`` of the next page, or None."""
        return self._object("GET", "/api/v1/jobs", given(size=size, after=after, sort=sort, **query_of(**filters)))

    def attempts(self, job_id: int) -> list[JsonObject]:
        """The tries of one job that have ended, oldest first."""
        return self._rows(f"/api/v1/jobs/{int(job_id)}/attempts", "attempts")

    def log(
        self,
        job_id: int,
        *,
        attempt: int | None = None,
        stream: str | None = None,
        offset: int | None = None,
        limit: int | None = None,
        wait_s: float | None = None,
    ) -> JsonObject:
        """What the job printed: the head and the tail that were kept, by stream; of a running attempt its end.

        ``offset`` (bytes, negative from the end) and ``limit``: that part of it, ``next_offset`` says where to go on.
        ``wait_s``: how long to wait for more than nothing from an attempt that runs.
        """
        asked = given(attempt=attempt, stream=stream, offset=offset, limit=limit, wait_s=wait_s)
        return self._object("GET", f"/api/v1/jobs/{int(job_id)}/log", asked)

    def follow(
        self, job_id: int, *, attempt: int | None = None, streams: Sequence[str] = following.STREAMS
    ) -> Iterator[Printed]:
        """What the job prints, as it comes, until it has ended; of one ``attempt``, or of all of them in turn."""
        return following.follow(self._me, int(job_id), attempt, streams)

    def log_text(self, job_id: int, *, attempt: int | None = None, stream: str = "stdout") -> str:
        """What the job printed as text; where some was not kept, a line says how much."""
        log = self.log(job_id, attempt=attempt, stream=stream)
        head, tail = str(log.get("head", "")), str(log.get("tail", ""))
        left_out = int(log.get("total", 0)) - len(head.encode()) - len(tail.encode())
        return f"{head}\n… {left_out} bytes left out …\n{tail}" if tail and left_out > 0 else head + tail
