"""A job's log and result as files. What they hold comes from nodes: it is sent as a download, never shown as a page."""

from typing import Literal

from flask import Blueprint, Response

from jobs import logs
from jobs.model import Attempt
from web.accounts import Scope, needs
from web.api.answering import JSON_TYPE
from web.api.asking import Query, query_of
from web.problems import Problem
from web.rooms import service

blueprint = Blueprint("downloads", __name__)


class LogFileQuery(Query):
    """Which log; of the latest ended attempt when none is named."""

    attempt: int | None = None
    stream: Literal["stdout", "stderr"] = "stdout"


class ResultFileQuery(Query):
    """Of which attempt; the latest ended one when none is named."""

    attempt: int | None = None


@blueprint.get("/jobs/<id:job_id>/log.txt")
@needs(Scope.READ)
def log_file(job_id: int) -> Response:
    """All that is stored of a log."""
    asked = query_of(LogFileQuery)
    found = ended_attempt(job_id, asked.attempt)
    text = logs.whole(logs.printed(found.log, asked.stream))
    return _file(text, "text/plain; charset=utf-8", f"job-{job_id}-{found.attempt}-{asked.stream}.txt")


@blueprint.get("/jobs/<id:job_id>/result.json")
@needs(Scope.READ)
def result_file(job_id: int) -> Response:
    """A result as the node sent it."""
    found = ended_attempt(job_id, query_of(ResultFileQuery).attempt)
    if found.result is None:
        raise Problem(404, f"attempt {found.attempt} of job {job_id} has no result")
    return _file(found.result, JSON_TYPE, f"job-{job_id}-{found.attempt}-result.json")


def ended_attempt(job_id: int, attempt: int | None) -> Attempt:
    """This attempt, or the latest that has ended. Raises NotFound, Problem."""
    if attempt is not None:
        return service().attempt(job_id, attempt)
    latest = service().job(job_id).latest
    if latest is None:
        raise Problem(404, f"no attempt of job {job_id} has ended yet")
    return latest


def _file(text: str, content_type: str, name: str) -> Response:
    response = Response(text, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
