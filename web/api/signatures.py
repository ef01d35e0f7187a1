"""What work() of a job type takes: for the form that submits."""

import io
import json
import zipfile
from functools import lru_cache
from typing import Any

from flask import Blueprint, Response

from jobs import signature
from jobs.errors import UnknownJobType
from jobs.service import JobService
from web.accounts import Scope, needs
from web.api.answering import answer
from web.rooms import service

blueprint = Blueprint("signatures", __name__)


@blueprint.get("/job_types/<job_type>/signature")
@needs(Scope.SUBMIT)
def of_type(job_type: str) -> Response:
    """The parameters of work() in the newest version; null where they cannot be read."""
    current = service().current_versions().get(job_type)
    if current is None:
        raise UnknownJobType(job_type)
    found = _of_version(service(), job_type, current.version, current.digest)
    parameters = None if found.parameters is None else [_of_parameter(one) for one in found.parameters]
    return answer({"job_type": job_type, "version": current.version, "parameters": parameters, "doc": found.doc})


@lru_cache(maxsize=256)
def _of_version(from_: JobService, job_type: str, version: int, _digest: str) -> signature.Signature:
    """A version never changes, so it is read once."""
    with zipfile.ZipFile(io.BytesIO(from_.zip_of(job_type, version))) as files:
        if "main.py" not in files.namelist() or files.getinfo("main.py").file_size > signature.SOURCE_LIMIT_BYTES:
            return signature.UNKNOWN
        return signature.read(files.read("main.py"))


def _of_parameter(one: signature.Parameter) -> dict[str, Any]:
    facts = {
        "name": one.name,
        "kind": one.kind,
        "annotation": one.annotation,
        "required": one.default_text is None,
        "default_text": one.default_text,
    }
    return facts if one.default is None else facts | {"default": json.loads(one.default)}
