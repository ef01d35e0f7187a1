"""The client's part that follows jobs: results as they finish, in the order they were submitted, or only how far."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from . import stream
from .asking import Asking, Jobs, ids_of
from .errors import NotFound, WaitTimeout
from .http import BrokeOff
from .job import Job
from .jobset import JobSet
from .progress import Wanted, reporting
from .row import JsonObject
from .stream import End
from .values import Progress, Result

#: How long one question for results may stay open at the server.
WAIT_S = 20.0
#: Pause between questions that a busy server does not hold open.
PAUSE_S = 0.25
#: Results a question asks for at most.
PAGE_SIZE = 5000
#: How often one page of results is asked for again after its answer broke off.
PAGE_TRIES = 5


class Results(Asking):
    """Read results by a cursor, as long as there is something to wait for."""

    def results(
        self, jobs: Jobs, *, wait: bool = True, progress: Wanted = None, timeout_s: float | None = None
    ) -> Iterator[Result]:
        """Results in the order the jobs finish, until all have finished (or, with ``wait=False``, those that have).

        Raises WaitTimeout when ``timeout_s`` is over before all have finished.
        """
        latest = _nothing_yet(jobs)
        with reporting(progress) as tell:
            for part in self._finished(jobs, wait, timeout_s):
                latest = _counted(latest, part)
                tell(latest)
                if not isinstance(part, End):
                    yield from part

    def as_completed(self, jobs: Jobs, *, progress: Wanted = None, timeout_s: float | None = None) -> Iterator[Job]:
        """The jobs themselves, each when it has finished."""
        for row in self.results(jobs, progress=progress, timeout_s=timeout_s):
            yield Job(self._me, row.id, row._asdict())

    def values(self, jobs: Jobs, *, progress: Wanted = None, timeout_s: float | None = None) -> Iterator[Any]:
        """What the jobs answered, in the order of their ids; JobFailed at the first that failed."""
        for row in self.in_order(jobs, progress=progress, timeout_s=timeout_s):
            yield row.value()

    def in_order(self, jobs: Jobs, *, progress: Wanted = None, timeout_s: float | None = None) -> Iterator[Result]:
        """Results in the order of the jobs' ids. Holds only those that came before their turn."""
        wanted = ids_of(self._ids_of_batch(jobs) if isinstance(jobs, str) else jobs)
        early: dict[int, Result] = {}
        arriving = self.results(wanted, progress=progress, timeout_s=timeout_s)
        for job_id in wanted:
            while job_id not in early:
                row = next(arriving, None)
                if row is None:
                    raise NotFound(f"job {job_id} was deleted before its result was read")
                early[row.id] = row
            yield early.pop(job_id)

    def wait(self, jobs: Jobs, *, progress: Wanted = None, timeout_s: float | None = None) -> Progress:
        """Wait until all have finished; answer how they did.

        ``progress``: True for a bar on the terminal or in the notebook, or a function that is given a Progress again
        and again.
        """
        latest = _nothing_yet(jobs)
        with reporting(progress) as tell:
            for part in self._finished(jobs, True, timeout_s):
                latest = _counted(latest, part)
                tell(latest)
        return latest

    def progress(self, jobs: Jobs, *, timeout_s: float | None = None) -> Progress:
        """Show a bar until all have finished; answer how they did."""
        return self.wait(jobs, progress=True, timeout_s=timeout_s)

    def _ids_of_batch(self, batch: str) -> list[int]:
        return [job.id for job in self._me.jobs(batch=batch, size=1000)]

    def _finished(self, jobs: Jobs, wait: bool, timeout_s: float | None) -> Iterator[list[Result] | End]:
        """Parts of results, and after each page its End, as long as there is something to wait for."""
        which = _which(jobs)
        if which.get("ids") == []:
            return
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        end = End(jobs.cursor if isinstance(jobs, JobSet) else 0, None)
        missing = None if isinstance(jobs, str) else len(ids_of(jobs))
        quiet = True
        while True:
            # With as many results as jobs there is most likely nothing to wait for; a rerun meanwhile is told by the
            # answer, which counts what is unfinished.
            all_here = missing is not None and missing <= 0 and not quiet
            wait_s = 0.0 if all_here else _wait_s(wait and end.pending != 0, give_up_at)
            quiet, asked_at = True, time.monotonic()
            for part in self._page({**which, "cursor": end.cursor, "limit": PAGE_SIZE, "wait_s": wait_s}):
                yield part
                if isinstance(part, End):
                    end = part
                else:
                    quiet = False
                    missing = None if missing is None else missing - len(part)
            if end.pending == 0 or (quiet and not wait):
                return
            if quiet and give_up_at is not None and time.monotonic() >= give_up_at:
                raise WaitTimeout(end.pending)
            if quiet and time.monotonic() - asked_at < min(wait_s, PAUSE_S):
                # So many wait that the server answers at once: ask again, but not as fast as it can answer.
                time.sleep(PAUSE_S)

    def _page(self, question: JsonObject) -> Iterator[list[Result] | End]:
        """One page, asked for again where its answer broke off; what was already handed out is not handed out twice."""
        body = json.dumps(question).encode("ascii")
        known: set[tuple[int, int]] = set()
        for tries_left in reversed(range(PAGE_TRIES)):
            handed: list[list[Result]] = []
            try:
                for part in self._page_parts(body, question["wait_s"]):
                    if isinstance(part, End):
                        yield part
                        return
                    handed.append([row for row in part if (row.id, row.attempt) not in known] if known else part)
                    yield handed[-1]
                raise BrokeOff("the answer broke off before its last line")
            except BrokeOff:
                if not tries_left:
                    raise
            known.update((row.id, row.attempt) for part in handed for row in part)

    def _page_parts(self, body: bytes, wait_s: float) -> Iterator[list[Result] | End]:
        headers = {"Content-Type": "application/json"}
        with self._http.stream("POST", "/api/v1/results", body=body, wait_s=wait_s, headers=headers) as pieces:
            yield from stream.batches(pieces)


def _which(jobs: Jobs) -> JsonObject:
    if isinstance(jobs, str):
        return {"batch": jobs}
    return {"ids": [list(pair) for pair in ids_of(jobs).ranges]}


def _nothing_yet(jobs: Jobs) -> Progress:
    total = len(jobs) if isinstance(jobs, JobSet) else None
    return Progress(0, 0, total, total)


def _wait_s(wait: bool, give_up_at: float | None) -> float:
    if not wait:
        return 0.0
    left_s = WAIT_S if give_up_at is None else give_up_at - time.monotonic()
    return round(min(max(left_s, 0.0), WAIT_S), 3)


def _counted(before: Progress, part: list[Result] | End) -> Progress:
    if isinstance(part, End):
        total = before.total if before.total is not None or part.pending is None else before.finished + part.pending
        return before._replace(pending=part.pending, total=total)
    done = sum(row.status == 3 for row in part)
    return before._replace(done=before.done + done, failed=before.failed + len(part) - done)
