"""The door for looking at jobs: one, a page, the manual's list, counters, history, why a job waits."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from jobs import outcomes, submitting, waiting
from jobs.doors.machines import Machines
from jobs.errors import NotFound
from jobs.model import (
    Attempt,
    HourRow,
    Job,
    JobDetail,
    JobFilter,
    JobRow,
    JobVersion,
    MachineView,
    Note,
    Page,
    Place,
    Sort,
    Summary,
    WaitingBecause,
    WaitingLane,
)
from jobs.spends import NONE, Percentiles
from jobs.status import Status
from jobs.store import browse, counters, durations, queue


class Browse(Machines):
    """Looks; changes nothing."""

    def job(self, job_id: int) -> JobDetail:
        """One job with its texts. Raises NotFound."""
        with self._store.read() as conn:
            found = browse.job(conn, job_id)
            if found is None:
                raise NotFound(f"there is no job {job_id}")
            job, job_input, latest = found
            avoid = queue.avoided_by(conn, job_id)
        because = self._reasons()(browse.wish(job, avoid)) if job.status == Status.WAITING else None
        return JobDetail(job=job, input=job_input, latest=latest, waiting=because, avoid=avoid)

    def head(self, job_id: int) -> Job:
        """One job without its texts. Raises NotFound."""
        with self._store.read() as conn:
            found = browse.head(conn, job_id)
        if found is None:
            raise NotFound(f"there is no job {job_id}")
        return found

    def jobs(
        self,
        chosen: JobFilter | None = None,
        size: int = 50,
        after: int | Place | None = None,
        order: Sort = Sort.ID_DOWN,
    ) -> Page:
        """A page of jobs, newest first unless sorted; ``after`` is the last page's ``after`` or ``place``."""
        chosen = chosen or JobFilter()
        submitting.check_page(size, after.job_id if isinstance(after, Place) else after)
        submitting.check_ids(chosen.ids, submitting.PAGE_LIMIT)
        with self._store.read() as conn:
            if order.column != "id":
                place = after if isinstance(after, Place) else None
                return browse.sorted_page(conn, chosen, size, order, place)
            return browse.page(conn, chosen, size, after if isinstance(after, int) else None, down=order.down)

    def notes(self, jobs: Sequence[Job]) -> dict[int, Note]:
        """What a list says besides: why jobs wait, how the failed ones ended. At most four statements a page."""
        failed = [job.job_id for job in jobs if job.status in (Status.FAILED, Status.RETURN_FAILED)]
        waits = [job for job in jobs if job.status == Status.WAITING]
        if not failed and not waits:
            return {}
        with self._store.read() as conn:
            said = browse.excerpts(conn, failed) if failed else {}
            avoid = queue.avoided_by_each(conn, [job.job_id for job in waits]) if waits else {}
        found = {job_id: Note(outcomes.last_line(text), None) for job_id, text in said.items()}
        if waits:
            because = self._reasons()
            wishes = {job.job_id: browse.wish(job, avoid.get(job.job_id, frozenset())) for job in waits}
            found |= {job_id: Note("", because(wish)) for job_id, wish in wishes.items()}
        return found

    def _reasons(self) -> Callable[[waiting.Wish], WaitingBecause]:
        """Why wishes wait, as things are now; those that wish for the same are looked into once."""
        versions, machines, now = self._library.current_versions(), self.machines(), self._clock()

        @functools.cache
        def because(wish: waiting.Wish) -> WaitingBecause:
            return _because(wish, machines, now, versions.get(wish.job_type))

        return because

    def listed(self, chosen: JobFilter, offset: int = 0, limit: int = 10) -> tuple[list[JobRow], int]:
        """The manual's list, newest first: (jobs with input and error from that place on, how many fit in all)."""
        submitting.check_number("offset", offset, 0, submitting.ID_LIMIT)
        submitting.check_number("limit", limit, 0, submitting.PAGE_LIMIT)
        submitting.check_ids(chosen.ids, submitting.PAGE_LIMIT)
        total = self.total(chosen)
        if limit == 0 or offset >= total:
            return [], total
        with self._store.read() as conn:
            return browse.rows(conn, chosen, offset, limit), total

    def total(self, chosen: JobFilter) -> int:
        """How many jobs a filter means: from the counters where they know, else counted."""
        submitting.check_ids(chosen.ids)
        with self._store.read() as conn:
            if chosen.on_counters:
                return sum(counters.count(conn, chosen).values())
            return sum(browse.count(conn, chosen).values())

    def attempts(self, job_id: int) -> list[Attempt]:
        """The ended attempts of a job, oldest first. Raises NotFound."""
        with self._store.read() as conn:
            found = browse.attempts_of(conn, job_id)
            if not found and browse.job(conn, job_id) is None:
                raise NotFound(f"there is no job {job_id}")
            return found

    def attempt(self, job_id: int, attempt: int) -> Attempt:
        """One ended attempt, with its log. Raises InvalidInput, NotFound."""
        submitting.check_number("attempt", attempt, 0, submitting.INT_LIMIT)
        with self._store.read() as conn:
            found = browse.attempts_of(conn, job_id, attempt)
        if not found:
            raise NotFound(f"job {job_id} has no ended attempt {attempt}")
        return found[0]

    def summary(
        self, job_type: str | None = None, batch: str | None = None, by_batch: bool = True, *, percentiles: bool = True
    ) -> list[Summary]:
        """Counters of the job types (of one, when named), split by batch or over all batches."""
        with self._store.read() as conn:
            found = counters.summary(conn, job_type, batch, by_batch)
            if not percentiles:
                return found
            spent = durations.of_batches(conn, job_type, batch, by_batch or batch is not None)
        return [replace(one, percentiles=spent.get((one.job_type, one.batch), NONE)) for one in found]

    def history(self, hours: int) -> tuple[list[HourRow], int]:
        """Jobs by the hour of their latest move, over the last ``hours`` hours; and which hour it is now."""
        submitting.check_number("limit_time", hours, 1, 24 * 366)
        with self._store.read() as conn:
            this_hour = int(self._clock()) // counters.HOUR_S
            return counters.history(conn, this_hour - hours + 1), this_hour

    def hour_percentiles(self, first_hour: int) -> dict[int, Percentiles]:
        """How long the jobs took that finished in each hour, from this one (since the epoch) on."""
        with self._store.read() as conn:
            return durations.of_hours(conn, first_hour)

    def waiting_lanes(self) -> list[WaitingLane]:
        """What waits, and for what: a row for all jobs of one type that ask for the same."""
        with self._store.read() as conn:
            found = queue.waiting(conn)
        known, machines, now = self._library.current_versions(), self.machines(), self._clock()
        rows = []
        for lane, ready, backing_off in found:
            wish = waiting.Wish(lane.job_type, lane.tag, None, lane.avoid)
            because = _because(wish, machines, now, known.get(lane.job_type))
            rows.append(WaitingLane(lane.job_type, lane.tag, lane.avoid, ready, backing_off, because))
        return sorted(rows, key=lambda row: (row.job_type, row.tag, sorted(row.avoid)))

    def names(self) -> tuple[list[str], list[str]]:
        """What there is to filter by: (job types that have jobs, batches, the newest first)."""
        with self._store.read() as conn:
            return counters.names(conn)

    def now(self) -> float:
        """The time by the clock that all times in the store are made with."""
        return self._clock()

    def local_time(self, seconds: float | None) -> str:
        """As people read it, in the server's time zone: ``YYYY-MM-DD HH:MM:SS``; empty where there is none."""
        if not seconds:
            return ""
        return datetime.fromtimestamp(seconds, self._timezone).strftime("%Y-%m-%d %H:%M:%S")

    def waiting_because(self, job_id: int) -> WaitingBecause | None:
        """Why a job waits; None when it does not wait. Raises NotFound."""
        return self.job(job_id).waiting


def _because(
    wish: waiting.Wish, machines: Sequence[MachineView], now: float, version: JobVersion | None
) -> WaitingBecause:
    if version is None:
        return waiting.because(wish, machines, now, known=False)
    asked = version.settings
    return waiting.because(wish, machines, now, known=True, python=asked.python, environment=asked.environment)
