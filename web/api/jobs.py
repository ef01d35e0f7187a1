"""Jobs: submit, list, look into, act on."""

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self

from flask import Blueprint, Response, request
from pydantic import Field, model_validator

from jobs import filters, live, logs
from jobs.doors.actions import Acted
from jobs.errors import Conflict, InvalidInput
from jobs.model import Action, Job, JobFilter, Note, Page, Place, Sort, Submission
from jobs.operations import Author
from jobs.status import Status
from jobs.submitting import PRIORITY_LIMIT
from remote_runner.protocol import LOG_FRAME_BYTES
from web import auditing, gate
from web.accounts import Scope, needs
from web.api import bodies
from web.api.answering import (
    answer,
    answer_text,
    of_acted,
    of_foreseen,
    of_job,
    of_operation,
    text_of_attempt,
    text_of_detail,
)
from web.api.asking import Body, Query, body_of, problem_of, query_of, raw_body
from web.api.downloads import ended_attempt
from web.api.functions import check_may_submit
from web.rooms import rooms, service

blueprint = Blueprint("jobs", __name__)

#: The largest number of bytes any log has.
OFFSET_LIMIT: Final = 2**53
#: A request that waits for a log looks up this often whether the attempt still runs.
_SLICE_S: Final = 0.5

ActionName = Literal["kill", "rerun", "copy", "delete", "clear", "priority"]


class SubmissionMembers(Body):
    """Everything of a submission but its inputs."""

    job_type: str
    batch: str = ""
    tag: str | None = None
    priority: int = 0
    limit_count: int | None = None
    #: Only there: not on any other machine that is known now.
    machine_id: str | None = None


class Listing(Query):
    """Which jobs to list, in the grammar of ``jobs.filters``."""

    status: str | None = None
    job_type: str | None = None
    batch: str | None = None
    machine_id: str | None = None
    tag: str | None = None
    version: str | None = None
    ids: str | None = None
    cleared: str | None = None
    q: str | None = None
    since: str | None = None
    until: str | None = None
    sort: str | None = None
    size: int = 50
    #: What the page before said under ``next``.
    after: str | None = None


class Doing(Body):
    """What to do."""

    action: ActionName
    #: For rerun: not on the machines that failed them.
    elsewhere: bool = False
    #: For priority: the one that waiting jobs get.
    priority: Annotated[int, Field(ge=-PRIORITY_LIMIT, le=PRIORITY_LIMIT)] | None = None

    @model_validator(mode="after")
    def _fits_the_action(self) -> Self:
        if self.elsewhere and self.action != "rerun":
            raise ValueError("elsewhere is for rerun only")
        if (self.priority is not None) != (self.action == "priority"):
            raise ValueError("priority is the number that goes with the action priority, and with no other")
        return self


class Acting(Doing):
    """What to do to which jobs."""

    ids: list[int]


class Bulk(Doing):
    """What to do to all jobs that a filter means, or to these."""

    filter: dict[str, Any] | None = None
    ids: list[int] | None = None
    #: How many were shown to whoever decided; refused when it is another number now.
    expect: int | None = None
    #: Only say what would happen.
    dry_run: bool = False
    #: How long the answer may wait for the end; the operation goes on without it.
    wait_s: Annotated[float, Field(ge=0, le=25, allow_inf_nan=False)] = 0.1

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.filter is None) == (self.ids is None):
            raise ValueError("give either filter or ids")
        return self


class LogQuery(Query):
    """Which part of which log; of the running attempt or else the latest ended one when none is named."""

    attempt: int | None = None
    stream: Literal["stdout", "stderr"] = "stdout"
    #: Bytes from the beginning, or (negative) from the end; when it is left out, both ends of the log, or the last of
    #: what a running attempt has printed.
    offset: Annotated[int, Field(ge=-OFFSET_LIMIT, le=OFFSET_LIMIT)] | None = None
    limit: Annotated[int, Field(ge=logs.LEAST_BYTES, le=logs.MOST_BYTES)] = 256 * 1024
    #: How long to wait for more than nothing from a running attempt.
    wait_s: Annotated[float, Field(ge=0, le=25, allow_inf_nan=False)] = 0


@blueprint.post("/jobs")
@needs(Scope.SUBMIT)
def submit() -> Response:
    """Store a submission; answered only when it is durable."""
    try:
        body = bodies.load_submission(raw_body())
    except bodies.Refused as refused:
        raise problem_of(refused) from refused
    members = SubmissionMembers.model_validate(body.members)
    check_may_submit(members.job_type)
    submission = Submission(
        job_type=members.job_type,
        inputs=body.inputs,
        batch=members.batch,
        tag=members.tag,
        priority=members.priority,
        limit_count=members.limit_count,
        machine_id=members.machine_id,
    )
    submitted = service().submit(submission, key=request.headers.get("Idempotency-Key"))
    return answer({"first_id": submitted.first_id, "count": submitted.count, "cursor": submitted.cursor}, 201)


@blueprint.get("/jobs")
@needs(Scope.READ)
def listing() -> Response:
    """A page of jobs, newest first."""
    asked = query_of(Listing)
    chosen = filters.parse(asked.model_dump(exclude={"sort", "size", "after"}), now=service().now())
    order = filters.sort(asked.sort)
    page = service().jobs(chosen, size=asked.size, after=_place(asked.after, order), order=order)
    return answer({"jobs": _rows(page.jobs), "next": _next(page)})


def _rows(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    notes, progress = service().notes(jobs), service().live.progress
    silent = Note("", None)
    return [of_job(job, *notes.get(job.job_id, silent), progress(job)) for job in jobs]


def _next(page: Page) -> int | str | None:
    """Where to go on: an id, or where the order is another, the last value and its id."""
    return page.after if page.place is None else f"{page.place.value!r}~{page.place.job_id}"


def _place(after: str | None, order: Sort) -> int | Place | None:
    if after is None:
        return None
    value, _, job_id = after.rpartition("~")
    try:
        if order.column == "id":
            return int(after)
        return Place(float(value), int(job_id))
    except ValueError:
        raise InvalidInput("after", "must be what the page before gave as next, under the same sort") from None


@blueprint.get("/jobs/<id:job_id>")
@needs(Scope.READ)
def detail(job_id: int) -> Response:
    """One job with its input, result, error, why it waits, and how far it says it is."""
    found = service().job(job_id)
    return answer_text(text_of_detail(found, service().live.progress(found.job)))


@blueprint.get("/jobs/<id:job_id>/attempts")
@needs(Scope.READ)
def attempts(job_id: int) -> Response:
    """The ended attempts of a job, oldest first."""
    found = service().attempts(job_id)
    return answer_text(f'{{"attempts":[{",".join(text_of_attempt(one) for one in found)}]}}')


@blueprint.get("/jobs/<id:job_id>/log")
@needs(Scope.READ)
def log(job_id: int) -> Response:
    """What an attempt printed, also while it runs: the part asked for, where to go on, and how much it is in all."""
    asked = query_of(LogQuery)
    job = service().head(job_id)
    if job.status == Status.RUNNING and asked.attempt in (None, job.attempt):
        return answer(_running_log(job, asked))
    found = ended_attempt(job_id, asked.attempt)
    return answer({"attempt": found.attempt, "stream": asked.stream, **_ended_log(found.log, asked)})


def _ended_log(log: str | None, asked: LogQuery) -> dict[str, Any]:
    printed = logs.printed(log, asked.stream)
    if asked.offset is None:
        return {**printed._asdict(), "running": False, "live": False, "next_offset": printed.total}
    part = logs.part(printed, asked.offset, asked.limit)
    left_out = part.offset - asked.offset if asked.offset >= 0 else 0
    more = {"running": False, "live": False, "next_offset": part.end, "left_out": max(0, left_out)}
    return {**part._asdict(), **more}


def _running_log(job: Job, asked: LogQuery) -> dict[str, Any]:
    offset = -min(asked.limit, LOG_FRAME_BYTES) if asked.offset is None else asked.offset
    seen = _seen(live.Asked(job.machine_id, job.job_id, job.attempt, asked.stream, offset, asked.limit), asked.wait_s)
    about = {"attempt": job.attempt, "stream": asked.stream, "running": True, "live": seen.live}
    next_offset = seen.offset + len(seen.text.encode())
    if asked.offset is None:
        return {**about, "head": "", "tail": seen.text, "total": seen.total, "next_offset": max(0, next_offset)}
    left_out = max(0, seen.offset - offset) if offset >= 0 else 0
    return {
        **about,
        "offset": seen.offset,
        "end": next_offset,
        "next_offset": next_offset,
        "total": seen.total,
        "text": seen.text,
        "missing": [offset, seen.offset] if left_out else None,
        "left_out": left_out,
    }


def _seen(asked: live.Asked, wait_s: float) -> live.Seen:
    """Waits only where a thread is free for that, and no longer than the attempt may run."""
    here = rooms()
    if wait_s == 0 or not here.waiting.acquire(blocking=False):
        return service().live.look(asked)
    try:
        ends_s = time.monotonic() + wait_s
        while True:
            left_s = ends_s - time.monotonic()
            seen = service().live.look(asked, max(0.0, min(left_s, _SLICE_S)))
            if seen.text or left_s <= _SLICE_S or here.options.stopping.is_set() or not _still_runs(asked):
                return seen
    finally:
        here.waiting.release()


def _still_runs(asked: live.Asked) -> bool:
    job = service().head(asked.job_id)
    return job.status == Status.RUNNING and job.attempt == asked.attempt


@blueprint.post("/jobs/actions")
@needs(Scope.SUBMIT)
def act() -> Response:
    """Kill, rerun, copy, delete or clear jobs; those the action does not fit are skipped and counted."""
    asked = body_of(Acting)
    chosen = JobFilter(ids=asked.ids)
    return answer(of_acted(done(Action(asked.action), chosen, elsewhere=asked.elsewhere, priority=asked.priority)))


@blueprint.post("/jobs/bulk")
@needs(Scope.SUBMIT)
def bulk() -> Response:
    """Do it to every job that the filter means now, as an operation; or (``dry_run``) say to how many."""
    answer_by = time.monotonic()
    asked = body_of(Bulk)
    answer_by += asked.wait_s
    action = Action(asked.action)
    chosen = JobFilter(ids=asked.ids) if asked.filter is None else filters.parse(asked.filter, now=service().now())
    if asked.dry_run:
        foreseen = service().foresee(action, chosen)
        _check_expected(asked.expect, foreseen.matched)
        return answer(of_foreseen(foreseen))
    total = None if asked.expect is None and not chosen.on_counters else service().total(chosen)
    _check_expected(asked.expect, total)
    operations = service().operations
    begun = operations.begin(
        action, chosen, elsewhere=asked.elsewhere, priority=asked.priority, total=total, author=author()
    )
    found = operations.answer_within(begun, answer_by - time.monotonic())
    _note(action, chosen, Acted.of(found))
    return answer(of_operation(found))


def _check_expected(expected: int | None, matched: int | None) -> None:
    if expected not in (None, matched):
        raise Conflict(f"{matched} jobs match now, {expected} were expected; look again")


def done(action: Action, chosen: JobFilter, *, elsewhere: bool = False, priority: int | None = None) -> Acted:
    """Act, wait for the end, and write it down."""
    acted = service().act(action, chosen, elsewhere=elsewhere, priority=priority, author=author())
    _note(action, chosen, acted)
    return acted


def author() -> Author:
    """Who asks, from where."""
    return Author(who=gate.caller().name, source=gate.address())


def _note(action: Action, chosen: JobFilter, acted: Acted) -> None:
    """Into the audit: what was said, and how far it came while the caller waited; the operation has the rest."""
    detail: dict[str, Any] = {}
    if chosen.ids is not None:
        detail |= {"ids": list(chosen.ids[:100]), "given": len(chosen.ids)}
    if said := filters.words(chosen):
        detail["filter"] = said
    outcome = "ok"
    if acted.operation is not None:
        detail |= {"operation": acted.operation.operation_id}
        outcome = acted.operation.state.value if acted.operation.ended_at is None else "ok"
    auditing.note(f"jobs.{action}", detail, rows=acted.result.changed, outcome=outcome)
