"""Job types: what there is, new versions in, old versions out."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, request

from jobs.model import Published
from web import auditing
from web.accounts import Scope, needs
from web.api.answering import answer, of_version
from web.problems import Problem
from web.rooms import service

blueprint = Blueprint("job_types", __name__)

#: Of an uploaded zip (B9); what it may unpack to is the service's to judge.
UPLOAD_LIMIT_BYTES: Final = 64 * 1024 * 1024
_ZIP_TYPES: Final = frozenset({"application/zip", "application/x-zip-compressed", "application/octet-stream"})


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
