"""The paths of the old Multi Job, for its SDK and its users' scripts. Thin: ``multi_job_shapes`` knows the fields.

Every answer is ``{"code", "message", "data", "status"}``, status being the code again; errors carry a fitting HTTP
status besides. Two old paths change things by GET: they take only callers who say who they are in a header (S5).
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, request
from pydantic import Field

from jobs import filters
from jobs.errors import InvalidInput, UnknownJobType
from jobs.model import Action, JobFilter, Submission
from jobs.status import Status
from web import auditing, problems
from web import multi_job_shapes as shapes
from web.accounts import Scope, needs
from web.api.answering import answer_text
from web.api.asking import Body, Query, body_of, query_of
from web.api.functions import check_may_submit
from web.api.job_types import UPLOAD_LIMIT_BYTES
from web.api.jobs import done
from web.api.machines import override
from web.problems import Problem
from web.rooms import rooms, service

blueprint = Blueprint("multi_job", __name__)

OK: Final = 200
UNKNOWN_TYPE: Final = 300
WRONG: Final = 301
HISTORY_LIMIT_H: Final = 100
#: HTTP statuses that say that the request was wrong.
_WRONG_STATUSES: Final = frozenset({400, 404, 409, 413, 415, 422})

View = Callable[[], Response]


def install(app: Flask) -> None:
    """Hang the old paths beside the new ones."""
    app.register_blueprint(blueprint)


# ----------------------------------------------------------------------------------------------------------- envelope


def _ok(data: object) -> Response:
    return _ok_text(json.dumps(data, separators=(",", ":")))


def _ok_text(data: str) -> Response:
    return answer_text(f'{{"code":{OK},"message":"ok","data":{data},"status":{OK}}}')


def _refused(problem: Problem) -> Response:
    code = WRONG if problem.status in _WRONG_STATUSES else problem.status
    return _refused_as(problem, code, {})


def _refused_as(problem: Problem, code: int, data: Mapping[str, object]) -> Response:
    return problems.respond({"code": code, "message": problem.message, "data": data, "status": code}, problem)


problems.install(blueprint, _refused)


def _changes_by_get(view: View) -> View:
    """A change that the old SDK asks for by GET: no cookie opens it, and no other site's page can ask for it."""

    @wraps(view)
    def guarded() -> Response:
        if request.method != "GET":
            raise Problem(405, "this path takes GET only")
        if rooms().options.auth and "HTTP_AUTHORIZATION" not in request.environ:
            raise Problem(401, "this path takes a token in the Authorization header only; a session is not enough")
        _check_same_site()
        return view()

    return guarded


def _check_same_site() -> None:
    """Programs send none of these headers; our own page may."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise Problem(403, "requests from other sites are refused", field="Sec-Fetch-Site", code="cross_site")
    for name in ("Origin", "Referer"):
        value = request.headers.get(name)
        if value is not None and urlsplit(value).netloc.lower() != request.host.lower():
            raise Problem(403, "requests from other sites are refused", field=name, code="cross_site")


# --------------------------------------------------------------------------------------------------------------- jobs


class Insert(Body):
    """One job."""

    job_type: str
    input_data: dict[str, Any] | None = None
    batch: str | None = None
    tag: str | None = None
    limit_count: int | None = None
    priority: int | None = None


@blueprint.post("/jobs/insert_job")
@needs(Scope.SUBMIT)
def insert_job() -> Response:
    """Store one job; answered only when it is durable."""
    asked = body_of(Insert)
    check_may_submit(asked.job_type)
    submission = Submission(
        job_type=asked.job_type,
        inputs=[json.dumps(asked.input_data or {}, separators=(",", ":"))],
        batch=asked.batch or "",
        tag=asked.tag or None,  # the SDK always sends one; an empty one says nothing
        priority=asked.priority or 0,
        limit_count=asked.limit_count,
    )
    try:
        stored = service().submit(submission, key=request.headers.get("Idempotency-Key"))
    except UnknownJobType as error:
        return _refused_as(Problem(404, str(error)), UNKNOWN_TYPE, {})
    except InvalidInput as error:
        field = error.field.replace("inputs[0]", "input_data")
        raise InvalidInput(field, error.message) from error
    return _ok({"job_id": stored.first_id})


class OneJob(Query):
    """A job by its id."""

    job_id: Annotated[int, Field(ge=0, le=filters.ID_LIMIT)]


@blueprint.get("/jobs/get_job_details")
@needs(Scope.READ)
def get_job_details() -> Response:
    """One job with its input and result."""
    detail = service().job(query_of(OneJob).job_id)
    return _ok_text(shapes.text_of_detail(detail, service().local_time))


class Listing(Query):
    """Which jobs to list; an empty text is no condition."""

    job_type: str | None = None
    batch: str | None = None
    machine_id: str | None = None
    status: str | None = None
    clear: str | None = None
    offset: int = 0
    limit: int = 10


@blueprint.get("/jobs/get_job_list")
@needs(Scope.READ)
def get_job_list() -> Response:
    """A part of the list of jobs, and how many fit in all."""
    asked = query_of(Listing)
    said = asked.model_dump(exclude={"offset", "limit"})
    rows, count = service().listed(_filter(said), asked.offset, asked.limit)
    return _ok_text(shapes.text_of_list(rows, count, service().local_time))


class WhichSummary(Query):
    """Which counters: batch "-1" is all batches together, none is each batch."""

    job_type: str | None = None
    batch: str | None = None


@blueprint.get("/jobs/get_job_summary")
@needs(Scope.READ)
def get_job_summary() -> Response:
    """Counts by job type, or by its batches."""
    asked = query_of(WhichSummary)
    together = asked.batch == "-1"
    batch = None if together else asked.batch or None
    found = service().summary(asked.job_type or None, batch, by_batch=not together)
    return _ok(shapes.of_summaries(found, service().local_time))


@blueprint.get("/jobs/get_all_job_type")
@needs(Scope.READ)
def get_all_job_type() -> Response:
    """The job types by name."""
    current, first = service().current_versions(), service().first_times()
    local_time = service().local_time
    return _ok({name: shapes.of_type(current[name], first[name], local_time) for name in sorted(current)})


@blueprint.get("/jobs/get_distinct_select")
@needs(Scope.READ)
def get_distinct_select() -> Response:
    """Values to filter by."""
    job_types, batches = service().names()
    shown = shapes.of_machines(service().machines(), service().now(), service().local_time)
    return _ok(
        {
            "job_type": sorted({*job_types, *service().current_versions()}),
            "batch": batches,
            "machine_id": [machine["machine_id"] for machine in shown],
            "status": sorted(int(status) for status in Status),
        }
    )


class WhichHistory(Query):
    """How many hours back."""

    limit_time: Annotated[int, Field(ge=1, le=HISTORY_LIMIT_H)] = 24


@blueprint.get("/jobs/get_history_job")
@needs(Scope.READ)
def get_history_job() -> Response:
    """What became of the jobs, by the hour of their latest move."""
    hours = query_of(WhichHistory).limit_time
    rows, last = service().history(hours)
    return _ok(shapes.of_history(rows, range(last - hours + 1, last + 1), service().local_time))


# ------------------------------------------------------------------------------------------------------------- actions


class Which(Body):
    """Which jobs an action is about; at least one of these."""

    job_id: Any = None
    job_type: str | None = None
    machine_id: str | None = None
    batch: str | None = None


class WhichIds(Body):
    """Jobs by their ids."""

    job_id: Any = None


@blueprint.post("/jobs/rerun_job")
@needs(Scope.SUBMIT)
def rerun_job() -> Response:
    """Finished jobs wait again under their ids."""
    return _act(Action.RERUN, body_of(Which))


@blueprint.post("/jobs/copy_job")
@needs(Scope.SUBMIT)
def copy_job() -> Response:
    """The same jobs anew, under new ids."""
    return _act(Action.COPY, body_of(Which))


@blueprint.post("/jobs/kill_job")
@needs(Scope.SUBMIT)
def kill_job() -> Response:
    """Stop waiting and running jobs."""
    return _act(Action.KILL, body_of(Which))


@blueprint.post("/jobs/delete_job")
@needs(Scope.SUBMIT)
def delete_job() -> Response:
    """Forget jobs; running ones stay."""
    return _act(Action.DELETE, body_of(Which))


@blueprint.post("/jobs/clear_job")
@needs(Scope.SUBMIT)
def clear_job() -> Response:
    """Empty results and keep the rest."""
    return _act(Action.CLEAR, body_of(WhichIds))


def _act(action: Action, asked: Which | WhichIds) -> Response:
    said = asked.model_dump()
    if not any(said.values()):
        raise InvalidInput("job_id", f"or another of {', '.join(said)} must be given")
    done(action, _filter(said))
    return _ok({"result": 1})


_GRAMMAR: Final = {"job_id": "ids", "clear": "cleared"}


def _filter(said: Mapping[str, Any]) -> JobFilter:
    """The filter behind the old names. An empty list of ids means no job, any other empty value no condition."""
    asked = {_GRAMMAR.get(name, name): value for name, value in said.items() if value not in (None, "", 0)}
    try:
        return filters.parse(asked)
    except InvalidInput as error:
        old = {new: name for name, new in _GRAMMAR.items()}
        raise InvalidInput(old.get(error.field, error.field), error.message) from error


# ---------------------------------------------------------------------------------------------------------- job files


class OneType(Query):
    """A job type by its name."""

    job_type: str


class TypeAndVersion(Query):
    """A job type, and the version the caller has."""

    job_type: str
    version: int = -1


@blueprint.get("/job_file/update_job_file_status")
@needs(Scope.PUBLISH)
@_changes_by_get
def update_job_file_status() -> Response:
    """Publish the folder of that name in the server's home."""
    job_type = query_of(OneType).job_type
    published = service().register(job_type)
    changed = int(published.changed)
    auditing.note("job_types.register", {"job_type": job_type, "version": published.version}, rows=changed)
    return _ok({"version": published.version})


@blueprint.post("/job_file/upload_file")
@needs(Scope.PUBLISH)
def upload_file() -> Response:
    """Unpack a zip into the server's folder of that job type; ``update_job_file_status`` then makes a version of it."""
    request.max_content_length = UPLOAD_LIMIT_BYTES
    job_type, upload = request.form.get("job_type", ""), request.files.get("file")
    if upload is None:
        raise InvalidInput("file", "is missing; send the zip as the file of a multipart form")
    with tempfile.TemporaryDirectory(prefix="multijob-upload-") as folder:
        path = Path(folder, "upload.zip")
        upload.save(path)
        service().upload(job_type, path)
    auditing.note("job_types.upload", {"job_type": job_type}, rows=1)
    return _ok({})


@blueprint.get("/job_file/get_job_file")
@needs(Scope.SUBMIT)
def get_job_file() -> Response:
    """What nodes get of the newest version, as a zip: for those who may run it."""
    job_type = query_of(OneType).job_type
    response = Response(service().node_zip(job_type), content_type="application/zip")
    response.headers.set("Content-Disposition", "attachment", filename=f"{job_type}.zip")
    return response


@blueprint.get("/job_file/check_job_file_status")
@needs(Scope.READ)
def check_job_file_status() -> Response:
    """Whether the server has a newer version than the caller."""
    asked = query_of(TypeAndVersion)
    current = service().current_versions().get(asked.job_type)
    if current is None:
        # The old SDK looks into ``data`` without looking at the code.
        return _refused_as(Problem(404, str(UnknownJobType(asked.job_type))), WRONG, {"status": -2})
    return _ok({"status": int(current.version > asked.version)})


@blueprint.get("/job_file/delete_job_file")
@needs(Scope.PUBLISH)
@_changes_by_get
def delete_job_file() -> Response:
    """Forget a job type: its waiting jobs end, running ones finish."""
    job_type = query_of(OneType).job_type
    ended = service().delete_type(job_type)
    auditing.note("job_types.delete", {"job_type": job_type}, rows=ended.changed)
    return _ok({})


@blueprint.get("/job_file/check_jobs_dir")
@needs(Scope.READ)
def check_jobs_dir() -> Response:
    """Folders on the server that are job types, or could be."""
    return _ok({"job_type": service().folders()})


# ----------------------------------------------------------------------------------------------------------- machines


class MachineUpdate(Body):
    """New parameters of a machine, or a lever: 1 new parameters, 2 pause, 3 close, 4 resume."""

    machine_id: str
    name: str | None = None
    tag: str | None = None
    limit_process: int | None = None
    update_status: int | None = None


_LEVERS: Final[Mapping[int, Mapping[str, bool]]] = {
    1: {},
    2: {"paused": True, "closed": False},
    3: {"closed": True},
    4: {"paused": False, "closed": False},
}


@blueprint.get("/machine/get_machine_info")
@needs(Scope.READ)
def get_machine_info() -> Response:
    """Machines heard of in the last 30 minutes."""
    return _ok(shapes.of_machines(service().machines(), service().now(), service().local_time))


@blueprint.post("/machine/update_machine_info")
@needs(Scope.ADMIN)
def update_machine_info() -> Response:
    """Set values on top of the inventory."""
    asked = body_of(MachineUpdate)
    lever = _LEVERS.get(asked.update_status or 1)
    if lever is None:
        raise InvalidInput("update_status", "must be 1 (new parameters), 2 (pause), 3 (close) or 4 (resume)")
    # A tag of "" takes all tags away, where new parameters are meant; a name cannot be empty.
    tag = asked.tag if asked.tag or asked.update_status == 1 else None
    wanted = {"name": asked.name or None, "tag": tag, "limit_process": asked.limit_process, **lever}
    override(asked.machine_id, {key: value for key, value in wanted.items() if value is not None})
    return _ok({"result": 1})
