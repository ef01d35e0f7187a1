"""Jobs: submit, list, look into, act on."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Self

from flask import Blueprint, Response, request
from pydantic import model_validator

from jobs import filters
from jobs.errors import Conflict
from jobs.model import Action, ActionResult, Copied, JobFilter, Submission
from web import auditing
from web.accounts import Scope, needs
from web.api import bodies
from web.api.answering import answer, answer_text, of_action, of_job, text_of_attempt, text_of_detail
from web.api.asking import Body, Query, body_of, problem_of, query_of, raw_body
from web.problems import Problem
from web.rooms import service

blueprint = Blueprint("jobs", __name__)

ActionName = Literal["kill", "rerun", "copy", "delete", "clear"]


class SubmissionMembers(Body):
    """Everything of a submission but its inputs."""

    job_type: str
    batch: str = ""
    tag: str | None = None
    priority: int = 0
    limit_count: int | None = None


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
    size: int = 50
    after: int | None = None


class Acting(Body):
    """What to do to which jobs."""

    action: ActionName
    ids: list[int]


class Bulk(Body):
    """What to do to all jobs that a filter means, or to these."""

    action: ActionName
    filter: dict[str, Any] | None = None
    ids: list[int] | None = None
    #: How many were shown to whoever decided; refused when it is another number now.
    expect: int | None = None
    #: Only say what would happen.
    dry_run: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.filter is None) == (self.ids is None):
            raise ValueError("give either filter or ids")
        return self


class LogQuery(Query):
    """Which part of which log; the latest ended attempt when none is named."""

    attempt: int | None = None
    stream: Literal["stdout", "stderr"] = "stdout"


@blueprint.post("/jobs")
@needs(Scope.SUBMIT)
def submit() -> Response:
    """Store a submission; answered only when it is durable."""
    try:
        body = bodies.load_submission(raw_body())
    except bodies.Refused as refused:
        raise problem_of(refused) from refused
    members = SubmissionMembers.model_validate(body.members)
    submission = Submission(
        job_type=members.job_type,
        inputs=body.inputs,
        batch=members.batch,
        tag=members.tag,
        priority=members.priority,
        limit_count=members.limit_count,
    )
    submitted = service().submit(submission, key=request.headers.get("Idempotency-Key"))
    return answer({"first_id": submitted.first_id, "count": submitted.count, "cursor": submitted.cursor}, 201)


@blueprint.get("/jobs")
@needs(Scope.READ)
def listing() -> Response:
    """A page of jobs, newest first."""
    asked = query_of(Listing)
    chosen = filters.parse(asked.model_dump(exclude={"size", "after"}))
    page = service().jobs(chosen, size=asked.size, after=asked.after)
    return answer({"jobs": [of_job(job) for job in page.jobs], "next": page.after})


@blueprint.get("/jobs/<id:job_id>")
@needs(Scope.READ)
def detail(job_id: int) -> Response:
    """One job with its input, result, error, and why it waits."""
    return answer_text(text_of_detail(service().job(job_id)))


@blueprint.get("/jobs/<id:job_id>/attempts")
@needs(Scope.READ)
def attempts(job_id: int) -> Response:
    """The ended attempts of a job, oldest first."""
    found = service().attempts(job_id)
    return answer_text(f'{{"attempts":[{",".join(text_of_attempt(one) for one in found)}]}}')


@blueprint.get("/jobs/<id:job_id>/log")
@needs(Scope.READ)
def log(job_id: int) -> Response:
    """What an attempt printed: the first and the last part, and how much it was in all."""
    asked = query_of(LogQuery)
    number_asked = asked.attempt if asked.attempt is not None else _latest_attempt(job_id)
    found = service().attempt(job_id, number_asked)
    streams = bodies.load(found.log.encode()) if found.log is not None else {}
    kept: dict[str, Any] = streams.get(asked.stream) or {"head": "", "tail": "", "total": 0}
    return answer({"attempt": found.attempt, "stream": asked.stream, **kept})


def _latest_attempt(job_id: int) -> int:
    latest = service().job(job_id).latest
    if latest is None:
        raise Problem(404, f"no attempt of job {job_id} has ended yet")
    return latest.attempt


@blueprint.post("/jobs/actions")
@needs(Scope.SUBMIT)
def act() -> Response:
    """Kill, rerun, copy or delete jobs; those the action does not fit are skipped and counted."""
    asked = body_of(Acting)
    return answer(of_action(done(Action(asked.action), JobFilter(ids=asked.ids))))


@blueprint.post("/jobs/bulk")
@needs(Scope.SUBMIT)
def bulk() -> Response:
    """Do it to every job that the filter means now, or (``dry_run``) say to how many it would be done."""
    asked = body_of(Bulk)
    action = Action(asked.action)
    chosen = JobFilter(ids=asked.ids) if asked.filter is None else filters.parse(asked.filter)
    if asked.dry_run or asked.expect is not None:
        foreseen = service().foresee(action, chosen)
        if asked.expect not in (None, foreseen.matched):
            raise Conflict(f"{foreseen.matched} jobs match now, {asked.expect} were expected; look again")
        if asked.dry_run:
            return answer(of_action(foreseen))
    return answer(of_action(done(action, chosen, asked.filter)))


def done(action: Action, chosen: JobFilter, said: Mapping[str, Any] | None = None) -> ActionResult | Copied:
    """Act and write it down; ``said`` is the filter in its writer's words."""
    result = _ACTIONS[action](chosen)
    changed = len(result.ids) if isinstance(result, Copied) else result.changed
    ids = {} if chosen.ids is None else {"ids": list(chosen.ids[:100]), "given": len(chosen.ids)}
    auditing.note(f"jobs.{action}", ids | ({} if said is None else {"filter": dict(said)}), rows=changed)
    return result


def _kill(chosen: JobFilter) -> ActionResult:
    return service().kill(chosen)


def _rerun(chosen: JobFilter) -> ActionResult:
    return service().rerun(chosen)


def _copy(chosen: JobFilter) -> Copied:
    return service().copy(chosen)


def _delete(chosen: JobFilter) -> ActionResult:
    return service().delete(chosen)


def _clear(chosen: JobFilter) -> ActionResult:
    return service().clear(chosen)


_ACTIONS: Final[Mapping[Action, Callable[[JobFilter], ActionResult | Copied]]] = {
    Action.KILL: _kill,
    Action.RERUN: _rerun,
    Action.COPY: _copy,
    Action.DELETE: _delete,
    Action.CLEAR: _clear,
}
