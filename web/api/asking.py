"""Read what a request asks for: JSON bodies and query strings into checked values. What is unknown is refused (B9)."""

from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict
from werkzeug.routing import BaseConverter

from web.api import bodies
from web.problems import Problem

_Model = TypeVar("_Model", bound=BaseModel)


class Body(BaseModel):
    """A JSON body: types as written, no field but the named ones."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Query(BaseModel):
    """A query string: numbers come as text, no parameter but the named ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IdConverter(BaseConverter):
    """Ids in paths: digits only, never more than the database can hold."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)


def body_of(model: type[_Model]) -> _Model:
    """The request's JSON body as that model."""
    return model.model_validate(json_body())


def json_body() -> Any:
    """The request's body, decoded."""
    try:
        return bodies.load(raw_body())
    except bodies.Refused as refused:
        raise problem_of(refused) from refused


def raw_body() -> bytes:
    """The request's body as it came; refused when it claims to be something else than JSON."""
    kind = request.mimetype
    if kind and kind != "application/json":
        raise Problem(415, f"the body is {kind}, expected application/json", field="Content-Type")
    return request.get_data(cache=False)


def problem_of(refused: bodies.Refused) -> Problem:
    """A refused body as an answer."""
    return Problem(422 if refused.well_formed else 400, refused.message, field=refused.field)


def query_of(model: type[_Model]) -> _Model:
    """The request's query string as that model; a parameter given twice is refused."""
    values: dict[str, str] = {}
    for name, given in request.args.lists():
        if len(given) > 1:
            raise Problem(422, f"{name} is given more than once", field=name)
        values[name] = given[0]
    return model.model_validate(values)
