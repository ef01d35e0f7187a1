"""Functions: the built-in job types that run what callers pickled. What comes here is stored, never opened."""

from typing import Annotated, Final

from flask import Blueprint, Response, request
from pydantic import Field

from jobs.functions import SHARED_LIMIT_BYTES, takes_code
from web import auditing, gate
from web.accounts import Scope, needs
from web.api.answering import answer
from web.api.asking import Query, query_of
from web.problems import Problem
from web.rooms import service

blueprint = Blueprint("functions", __name__)

PACKAGES_LIMIT: Final = 4000
_BYTES: Final = "application/octet-stream"


class Pickler(Query):
    """Which Python pickled."""

    #: Its major and minor version, such as 3.11.
    python: Annotated[str, Field(pattern=r"^3\.[0-9]{1,2}$")]
    #: The packages its functions import: requirements, one a line.
    packages: Annotated[str, Field(max_length=PACKAGES_LIMIT)] = ""


@blueprint.post("/functions")
@needs(Scope.PUBLISH)
def publish() -> Response:
    """Have the job type that runs functions of a Python; with a body, one whose jobs share that pickled function."""
    asked = query_of(Pickler)
    if request.mimetype != _BYTES:
        raise Problem(415, f"the body is {request.mimetype or 'unnamed'}, expected {_BYTES}", field="Content-Type")
    request.max_content_length = SHARED_LIMIT_BYTES
    shared = request.get_data(cache=False)
    name, published = service().functions.publish(
        int(asked.python.partition(".")[2]), shared, asked.packages.splitlines()
    )
    if published.changed:
        auditing.note("job_types.publish", {"job_type": name, "version": published.version}, rows=1)
    return answer({"job_type": name, "version": published.version, "changed": published.changed})


def check_may_submit(job_type: str) -> None:
    """Inputs of the built-in job types are code: whoever submits them must be allowed to publish code (S4)."""
    if takes_code(job_type) and not gate.caller().may(Scope.PUBLISH):
        raise Problem(
            403, f"functions are code: {job_type} needs a token with the scope publish; yours is {gate.caller().name!r}"
        )
