"""The client: insert jobs, follow them, read results, publish job folders. One object, safe to share between threads.

Thin on purpose: it decides what to ask, ``http`` asks, ``inputs`` and ``stream`` turn values into bytes and back.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union
from urllib.parse import quote

from . import folder, inputs, place, stream
from .errors import MultiJobError, WaitTimeout
from .http import BrokeOff, Http
from .local import LoadedJob
from .progress import Report, reporter
from .stream import End
from .values import Input, JobSet, Progress, Published, Result

if TYPE_CHECKING:
    from typing_extensions import Self

#: How long one question for results may stay open at the server.
WAIT_S = 20.0
#: Pause between questions that a busy server does not hold open.
PAUSE_S = 0.25
#: Results a question asks for at most.
PAGE_SIZE = 5000
#: Ids an action names at most in one request.
ACTION_SIZE = 1000
#: How often one page of results is asked for again after its answer broke off.
PAGE_TRIES = 5

#: Which jobs are meant: a set from ``submit_many``, one id, ids, or the name of a batch.
Jobs = Union[JobSet, int, Iterable[int], str]
JsonObject = dict[str, Any]


class Client:
    """Speaks to one Multi Job server.

    Where the server is: ``base_url``, else ``MJ_URL``, else what the local server wrote into its home. The token:
    ``token``, else ``MJ_TOKEN``, else the password in the URL, else ``.netrc``, else the local server's own.
    ``retry_s``: how long calls that are safe to repeat outlast a server that restarts.
    """

    def __init__(
        self,
        base_url: str | None = None,
        token: str | None = None,
        timeout_s: float = 30,
        *,
        retry_s: float = 30,
        home: str | Path | None = None,
    ) -> None:
        self._http = Http(place.find(base_url, token, home), timeout_s=timeout_s, retry_s=retry_s)
        self._options: JsonObject = {}

    @property
    def base_url(self) -> str:
        """The server's address, without credentials."""
        return self._http.place.url

    def using(
        self,
        *,
        batch: str | None = None,
        tag: str | None = None,
        priority: int | None = None,
        limit_count: int | None = None,
    ) -> Client:
        """The same client with these settings for every job it inserts. What is left out keeps its value."""
        other = object.__new__(Client)
        other._http = self._http
        other._options = {**self._options, **_options(batch, tag, priority, limit_count)}
        return other

    # ------------------------------------------------------------------------------------------------ inserting jobs

    def insert(self, job_type: str, *args: Any, **kwargs: Any) -> int:
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
    ) -> JobSet:
        """Insert a job for each item; items may come from a generator and are never all in memory.

        A dict becomes keyword arguments, a tuple or list positional ones, ``multijob.call(…)`` both, anything else the
        only argument. Each chunk is stored whole or not at all, and once only however often it is sent. If this has to
        stop midway, the error's ``submitted`` holds the jobs that are stored.
        """
        options = {"job_type": job_type, **self._options, **_options(batch, tag, priority, limit_count)}
        ids, cursor = _Ids(), 0
        try:
            for body in inputs.bodies(options, items, chunk):
                stored = self._post_jobs(body)
                cursor = cursor if ids else stored["cursor"]
                ids.add(stored["first_id"], stored["count"])
        except MultiJobError as error:
            error.submitted = ids.as_set(cursor)
            raise
        return ids.as_set(cursor)

    def _post_jobs(self, body: bytes) -> JsonObject:
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        answer: JsonObject = self._http.json("POST", "/api/v1/jobs", body=body, headers=headers)
        return answer

    # ---------------------------------------------------------------------------------------------- looking at jobs

    def job(self, job_id: int) -> JsonObject:
        """Everything about one job."""
        return self._object("GET", f"/api/v1/jobs/{int(job_id)}")

    def attempts(self, job_id: int) -> list[JsonObject]:
        """The tries of one job that have ended, oldest first."""
        return _rows(self._http.json("GET", f"/api/v1/jobs/{int(job_id)}/attempts"), "attempts")

    def log(self, job_id: int, *, attempt: int | None = None, stream: str | None = None) -> JsonObject:
        """What the job printed: the head and the tail that were kept, by stream."""
        return self._object("GET", f"/api/v1/jobs/{int(job_id)}/log", _given(attempt=attempt, stream=stream))

    def jobs(self, *, size: int = 100, after: int | None = None, **filters: Any) -> Iterator[JsonObject]:
        """Jobs, newest first (below the id ``after``), fetched in pages of ``size`` as they are asked for.

        ``filters``: status (words or numbers), job_type, batch, machine_id, tag, version, ids, cleared; see ``bulk``.
        """
        while True:
            page = self.jobs_page(size=size, after=after, **filters)
            yield from page["jobs"]
            after = page.get("next")
            if after is None:
                return

    def jobs_page(self, *, size: int = 50, after: int | None = None, **filters: Any) -> JsonObject:
        """One page of jobs: ``{"jobs": […], "next": …}``; ``next`` is the ``after`` of the next page, or None."""
        return self._object("GET", "/api/v1/jobs", _given(size=size, after=after, **filters))

    def summary(
        self, job_type: str | None = None, batch: str | None = None, *, by_batch: bool = False
    ) -> list[JsonObject]:
        """Counts by job type, or by its batches where one is named or ``by_batch`` asks for all."""
        asked = _given(job_type=job_type, batch=batch, by_batch="true" if by_batch else None)
        return _rows(self._http.json("GET", "/api/v1/summary", params=asked), "summary")

    # ------------------------------------------------------------------------------------------------------ results

    def results(self, jobs: Jobs, *, wait: bool = True, timeout_s: float | None = None) -> Iterator[Result]:
        """Results in the order the jobs finish, until all have finished (or, with ``wait=False``, those that have).

        Raises WaitTimeout when ``timeout_s`` is over before all have finished.
        """
        for part in self._finished(jobs, wait, timeout_s):
            if not isinstance(part, End):
                yield from part

    def wait(self, jobs: Jobs, *, progress: Report | bool | None = None, timeout_s: float | None = None) -> Progress:
        """Wait until all have finished; answer how they did.

        ``progress``: True for a line on the terminal, or a function that is given a Progress again and again.
        """
        total = len(jobs) if isinstance(jobs, JobSet) else None
        tell, latest = reporter(progress), Progress(0, 0, total, total)
        for part in self._finished(jobs, True, timeout_s):
            latest = _counted(latest, part)
            tell(latest)
        return latest

    def _finished(self, jobs: Jobs, wait: bool, timeout_s: float | None) -> Iterator[list[Result] | End]:
        """Parts of results, and after each page its End, as long as there is something to wait for."""
        which = _which(jobs)
        if which.get("ids") == []:
            return
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        end = End(jobs.cursor if isinstance(jobs, JobSet) else 0, None)
        while True:
            wait_s = _wait_s(wait and end.pending != 0, give_up_at)
            quiet, asked_at = True, time.monotonic()
            for part in self._page({**which, "cursor": end.cursor, "limit": PAGE_SIZE, "wait_s": wait_s}):
                yield part
                if isinstance(part, End):
                    end = part
                else:
                    quiet = False
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

    # ------------------------------------------------------------------------------------------------------ actions

    def kill(self, jobs: JobSet | int | Iterable[int]) -> JsonObject:
        """Stop waiting and running jobs; others are skipped. Answers counts."""
        return self.act("kill", jobs)

    def rerun(self, jobs: JobSet | int | Iterable[int]) -> JsonObject:
        """Run finished jobs again under their ids; waiting and running ones are skipped. Answers counts."""
        return self.act("rerun", jobs)

    def copy(self, jobs: JobSet | int | Iterable[int]) -> JsonObject:
        """Insert the same jobs anew, under new ids. Answers counts and the ids."""
        return self.act("copy", jobs)

    def delete(self, jobs: JobSet | int | Iterable[int]) -> JsonObject:
        """Delete jobs for good; running ones are skipped. Answers counts."""
        return self.act("delete", jobs)

    def act(self, action: str, jobs: JobSet | int | Iterable[int]) -> JsonObject:
        """kill, rerun, copy, delete or clear, by name."""
        total: JsonObject = {}
        for ids in _chunks(_ids(jobs), ACTION_SIZE):
            body = json.dumps({"action": action, "ids": ids}).encode("ascii")
            headers = {"Content-Type": "application/json"}
            # A copy that is asked for twice copies twice, so only the others may be repeated.
            answer = self._http.json(
                "POST", "/api/v1/jobs/actions", body=body, headers=headers, repeatable=action != "copy"
            )
            total = _added(total, answer)
        return total

    def bulk(self, action: str, *, dry_run: bool = False, expect: int | None = None, **filters: Any) -> JsonObject:
        """kill, rerun, copy, delete or clear every job that the filters mean; at least one must be given.

        ``filters``: status, job_type, batch, machine_id, tag, version, ids, cleared. Texts with commas mean one of
        them, a "!" in front none of them: ``client.bulk("rerun", status="failed", machine_id="!gpu-3")``. ``dry_run``
        only answers how many it would be; with ``expect`` nothing is done when it is another number by now.
        """
        question = {"action": action, "filter": _given(**filters), **_given(dry_run=dry_run or None, expect=expect)}
        return self._object("POST", "/api/v1/jobs/bulk", json_body=question, repeatable=dry_run or action != "copy")

    # ---------------------------------------------------------------------------------------------------- job types

    def register(self, job_type: str, path: str | Path | None = None) -> Published:
        """Publish a job folder from here (``path``), or the one in the server's own jobs folder.

        Unchanged content makes no new version.
        """
        where = f"/api/v1/job_types/{quote(job_type, safe='')}"
        if path is None:
            answer = self._http.json("POST", f"{where}/register")
        else:
            answer = self._upload(f"{where}/versions", Path(path).expanduser())
        return Published(answer["version"], answer["changed"])

    def _upload(self, where: str, path: Path) -> Any:
        with tempfile.TemporaryFile() as archive:
            folder.pack(path, archive)
            return self._http.json("POST", where, body=archive, headers={"Content-Type": "application/zip"})

    def job_types(self) -> list[JsonObject]:
        """The job types the server knows."""
        return _rows(self._http.json("GET", "/api/v1/job_types"), "job_types")

    def job_type(self, name: str) -> JsonObject:
        """One job type: its current version and settings."""
        return self._object("GET", f"/api/v1/job_types/{quote(name, safe='')}")

    def download(self, job_type: str, dest: str | Path, version: int | None = None) -> Path:
        """Write a job type's folder, return_main.py included, to ``dest``; needs the scope publish."""
        number = self.job_type(job_type)["version"] if version is None else version
        where = f"/api/v1/job_types/{quote(job_type, safe='')}/versions/{number}/zip"
        target = Path(dest)
        with tempfile.TemporaryFile() as archive:
            with self._http.stream("GET", where) as pieces:
                for piece in pieces:
                    archive.write(piece)
            archive.seek(0)
            folder.unpack(archive, target)
        return target

    def load(self, job_type: str | None = None, path: str | Path | None = None) -> LoadedJob:
        """A job folder ready to be tried in this process: a local one, or the server's newest of a job type."""
        if path is not None:
            return LoadedJob(Path(path).expanduser())
        if not job_type:
            raise ValueError("load() needs a job_type or a path")
        scratch = Path(tempfile.mkdtemp(prefix="multijob-"))
        loaded = LoadedJob(self.download(job_type, scratch / job_type))
        weakref.finalize(loaded, shutil.rmtree, scratch, ignore_errors=True)
        return loaded

    # -------------------------------------------------------------------------------------------------- surroundings

    def machines(self) -> list[JsonObject]:
        """The machines, as last seen."""
        return _rows(self._http.json("GET", "/api/v1/machines"), "machines")

    def change_machine(self, machine_id: str, **changes: Any) -> list[str]:
        """Set name, tag, limit_process, paused or closed on top of the inventory; answers what was set.

        It holds until the inventory's own value for that key changes. Needs the scope admin.
        """
        where = f"/api/v1/machines/{quote(machine_id, safe='')}"
        changed: list[str] = self._object("PATCH", where, json_body=changes)["changed"]
        return changed

    def server(self) -> JsonObject:
        """The server's version, id, uptime, and what is wrong with its inventory."""
        return self._object("GET", "/api/v1/server")

    def me(self) -> JsonObject:
        """Whose token this is, and what it may do."""
        return self._object("GET", "/api/v1/me")

    def close(self) -> None:
        """Close this thread's connections; the client stays usable."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, path: str, params: Mapping[str, Any] | None = None) -> JsonObject:
        """Any other path of the server that answers with an object; None in ``params`` is left out."""
        return self._object(method, path, _given(**(params or {})))

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


class _Ids:
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

    def as_set(self, cursor: int) -> JobSet:
        return JobSet(tuple(sorted(self._runs)), cursor)


def _options(batch: str | None, tag: str | None, priority: int | None, limit_count: int | None) -> JsonObject:
    return _given(batch=batch, tag=tag, priority=priority, limit_count=limit_count)


def _given(**values: Any) -> JsonObject:
    return {name: value for name, value in values.items() if value is not None}


def _which(jobs: Jobs) -> JsonObject:
    if isinstance(jobs, str):
        return {"batch": jobs}
    if isinstance(jobs, int):
        return {"ids": [[jobs, jobs]]}
    jobs = jobs if isinstance(jobs, JobSet) else JobSet.of(jobs)
    return {"ids": [list(pair) for pair in jobs.ranges]}


def _ids(jobs: JobSet | int | Iterable[int]) -> Iterator[int]:
    return iter([jobs] if isinstance(jobs, int) else jobs)


def _chunks(ids: Iterator[int], size: int) -> Iterator[list[int]]:
    chunk: list[int] = []
    for job_id in ids:
        chunk.append(job_id)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


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


def _added(total: JsonObject, answer: JsonObject) -> JsonObject:
    """Two answers of an action as one: numbers and lists add up, and so do the numbers inside."""
    summed = dict(total)
    for key, value in answer.items():
        before = summed.get(key)
        if isinstance(value, dict):
            summed[key] = _added(before or {}, value)
        elif isinstance(value, (int, list)) and not isinstance(value, bool):
            summed[key] = value if before is None else before + value
        else:
            summed[key] = value
    return summed


def _rows(answer: Any, key: str) -> list[JsonObject]:
    """A list that the server answers bare, or under its noun."""
    rows: list[JsonObject] = answer[key] if isinstance(answer, dict) else answer
    return rows
