"""The OpenAPI document, and a page that shows it: a few files of our own, nothing from elsewhere."""

import json
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, current_app

from web.accounts import Scope, needs
from web.api import openapi
from web.api.answering import answer_text
from web.rooms import rooms

blueprint = Blueprint("reference", __name__)

_FOLDER: Final = Path(__file__).parent.parent / "reference"
_PAGE: Final = (_FOLDER / "docs.html").read_bytes()
_STYLE: Final = (_FOLDER / "docs.css").read_bytes()
_SCRIPT: Final = (_FOLDER / "docs.js").read_bytes()
_KEPT: Final = "multijob.openapi"


@blueprint.get("/openapi.json")
@needs(Scope.READ)
def document() -> Response:
    """This API as an OpenAPI 3.1 document."""
    if _KEPT not in current_app.extensions:
        made = openapi.document(current_app, rooms().options.version)
        current_app.extensions[_KEPT] = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
    return answer_text(current_app.extensions[_KEPT])


@blueprint.get("/docs")
@needs(Scope.READ)
def page() -> Response:
    """The reference of this API as a page, in English and Chinese."""
    return Response(_PAGE, content_type="text/html; charset=utf-8")


@blueprint.get("/docs/docs.css")
@needs(Scope.READ)
def style() -> Response:
    """The look of the reference page."""
    return Response(_STYLE, content_type="text/css; charset=utf-8")


@blueprint.get("/docs/docs.js")
@needs(Scope.READ)
def script() -> Response:
    """What fills the reference page."""
    return Response(_SCRIPT, content_type="text/javascript; charset=utf-8")
