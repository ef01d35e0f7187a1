"""Job types: what there is, new versions in, old versions out."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Final

from flask import Blueprint, Response, request
from pydantic import Field

from jobs.errors import InvalidInput
from jobs.model import Published
from web import auditing
from web.accounts import Scope, needs
from web.api.answering import answer, of_foreseen, of_version
from web.api.asking import Body, Query, body_of, query_of
from web.problems import Problem
from web.rooms import service

blueprint = Blueprint("job_types", __name__)

VERSION_LIMIT: Final = 2**31 - 1
#: Of an uploaded zip (B9); what it may unpack to is the service's to judge.
UPLOAD_LIMIT_BYTES: Final = 64 * 1024 * 1024
_ZIP_TYPES: Final = frozenset({"application/zip", "application/x-zip-compressed", "application/octet-stream"})


class DiffQuery(Query):
    """Which version to compare with; the one before when none is named."""

    against: Annotated[int, Field(ge=0, le=VERSION_LIMIT)] | None = None


class Rollback(Body):
    """Which version's content to publish again."""

    version: Annotated[int, Field(ge=0, le=VERSION_LIMIT)]


@blueprint.get("/job_types")
@needs(Scope.READ)
def everyone() -> Response:
    """The newest version of every job type."""
    current = service().current_versions()
    return answer({"job_types": [of_version(current[name]) for name in sorted(current)]})


@blueprint.get("/job_types/<job_type>")
@needs(Scope.READ)
def one(job_type: str) -> Response:
    """All versions of a job type, newest first."""
    found = service().versions(job_type)
    return answer({"job_type": job_type, "version": found[0].version, "versions": [of_version(one) for one in found]})


@blueprint.delete("/job_types/<job_type>")
@needs(Scope.PUBLISH)
def forget(job_type: str) -> Response:
    """Forget a job type: its waiting jobs end as failed (type_deleted), running ones finish."""
    ended = service().delete_type(job_type)
    auditing.note("job_types.delete", {"job_type": job_type}, rows=ended.changed)
    return answer(of_foreseen(ended))


@blueprint.get("/job_types/<job_type>/versions")
@needs(Scope.READ)
def versions(job_type: str) -> Response:
    """All versions of a job type, newest first."""
    return answer({"versions": [of_version(version) for version in service().versions(job_type)]})


@blueprint.get("/job_types/<job_type>/versions/<id:version>")
@needs(Scope.READ)
def version(job_type: str, version: int) -> Response:
    """One version, also of a job type that was deleted."""
    return answer(of_version(service().version(job_type, version)))


@blueprint.get("/job_types/<job_type>/versions/<id:version>/diff")
@needs(Scope.PUBLISH)
def diff(job_type: str, version: int) -> Response:
    """What a version changed in another, or in the one before it: texts as unified diffs, binary files by size."""
    against = query_of(DiffQuery).against
    if against is None:
        if version == 0:
            raise InvalidInput("against", "must be given: version 0 has none before it")
        against = version - 1
    changes = service().changes(job_type, version, against)
    return answer({"version": version, "against": against, "files": [change._asdict() for change in changes]})


@blueprint.post("/job_types/<job_type>/rollback")
@needs(Scope.PUBLISH)
def rollback(job_type: str) -> Response:
    """Publish an old version's content again, as a new version; waiting jobs take it from then on."""
    return _published("rollback", job_type, service().rollback(job_type, body_of(Rollback).version))


@blueprint.post("/job_types/<job_type>/register")
@needs(Scope.PUBLISH)
def register(job_type: str) -> Response:
    """Publish the folder of that name in the server's home."""
    return _published("register", job_type, service().register(job_type))


@blueprint.post("/job_types/<job_type>/versions")
@needs(Scope.PUBLISH)
def publish(job_type: str) -> Response:
    """Publish an uploaded zip."""
    if request.mimetype not in _ZIP_TYPES:
        raise Problem(
            415, f"the body is {request.mimetype or 'unnamed'}, expected application/zip", field="Content-Type"
        )
    request.max_content_length = UPLOAD_LIMIT_BYTES
    with tempfile.TemporaryDirectory(prefix="multijob-upload-") as folder:
        path = Path(folder, "upload.zip")
        with path.open("wb") as file:
            shutil.copyfileobj(request.stream, file, 1 << 20)
        return _published("publish", job_type, service().publish_zip(job_type, path))


@blueprint.get("/job_types/<job_type>/versions/<id:version>/zip")
@needs(Scope.PUBLISH)
def download(job_type: str, version: int) -> Response:
    """A version as it was published, return_main.py included: for those who may publish it."""
    body = service().zip_of(job_type, version)
    response = Response(body, content_type="application/zip")
    response.headers.set("Content-Disposition", "attachment", filename=f"{job_type}-{version}.zip")
    return response


def _published(how: str, job_type: str, published: Published) -> Response:
    auditing.note(f"job_types.{how}", {"job_type": job_type, "version": published.version}, rows=int(published.changed))
    return answer({"version": published.version, "changed": published.changed})
