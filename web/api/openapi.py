"""The OpenAPI document of this app, made from what its views use: routes, scopes, models of what they take, answers.

A view's code names the models it reads a request with; so they are found there and nothing is declared twice. What it
answers with stands in ``web.api.shapes``; a test finds the view that is missing there. (A framework that owns the
routing would have meant rewriting every view for what these lines do.)
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from web import gate
from web.accounts import scope_of
from web.api import links, shapes
from web.api.asking import Body, Query
from web.api.words import CHINESE

_REF: Final = "#/components/schemas/{model}"
_ERRORS: Final = {
    "4XX": "The request was wrong, or not allowed; the error says what to change.",
    "503": "The database cannot take this now; nothing was stored, send it again.",
}
#: Bodies that are no JSON, and members that no model has.
_ZIP_BODY: Final[dict[str, Any]] = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
_FORM_BODY: Final[dict[str, Any]] = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"job_type": {"type": "string"}, "file": {"type": "string", "format": "binary"}},
            "required": ["job_type", "file"],
        }
    }
}
_BYTES_BODY: Final[dict[str, Any]] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_OTHER_BODIES: Final = {
    "job_types.publish": _ZIP_BODY,
    "functions.publish": _BYTES_BODY,
    "multi_job.upload_file": _FORM_BODY,
}
_INPUTS: Final[dict[str, Any]] = {
    "type": "array",
    "minItems": 1,
    "description": "One a job: the arguments of work().",
    "items": {
        "type": "object",
        "properties": {"args": {"type": "array"}, "kwargs": {"type": "object"}},
        "additionalProperties": False,
    },
}
_KEY_HEADER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repeat harmless for 7 days: the same key and body give the same ids.",
    "schema": {"type": "string", "maxLength": 128},
}
_TAKES_A_KEY: Final = frozenset({"jobs.submit", "multi_job.insert_job"})
_WAY: Final = re.compile(r"<(?:([a-z]+):)?([a-z_]+)>")

View = Callable[..., Any]


def document(app: Flask, version: str) -> dict[str, Any]:
    """The whole document."""
    views = list(_views(app))
    schemas = _Schemas([view for _, _, view in views])
    paths: dict[str, dict[str, Any]] = {}
    for rule, method, view in views:
        paths.setdefault(_WAY.sub(r"{\2}", rule.rule), {})[method] = _operation(rule, method, view, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Multi Job over SSH",
            "version": version or "0",
            "description": "Times are seconds since the epoch, members that end in _s are seconds. "
            "A request says who it is by a token: as bearer, or as the password of HTTP Basic.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas.all,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
                "session": {"type": "apiKey", "in": "cookie", "name": gate.COOKIE},
            },
        },
    }


def _views(app: Flask) -> Iterator[tuple[Rule, str, View]]:
    """(rule, method, view) of all routes but those of the page itself."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1/") or rule.endpoint == "healthz" or rule.endpoint.startswith("multi_job."):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method.lower(), app.view_functions[rule.endpoint]


def _operation(rule: Rule, method: str, view: View, schemas: "_Schemas") -> dict[str, Any]:
    endpoint = rule.endpoint
    scope = scope_of(view)
    summary, _, rest = inspect.cleandoc(view.__doc__ or "").partition("\n")
    described = {
        "operationId": endpoint.replace(".", "_"),
        "summary": summary,
        "x-summary-zh": CHINESE.get(endpoint, summary),
        "description": rest.strip(),
        "tags": [endpoint.partition(".")[0]],
        "parameters": [*_in_path(rule), *_in_query(view, schemas), *_headers(endpoint)],
        "responses": _answers(endpoint, schemas),
        "security": [{}] if scope is None else [{name: [scope.value]} for name in ("token", "password", "session")],
        "x-scope": None if scope is None else scope.value,
    }
    body = _body(endpoint, method, view, schemas)
    return described if body is None else described | {"requestBody": body}


def _in_path(rule: Rule) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 0} if converter == "id" else {"type": "string", "minLength": 1},
        }
        for converter, name in _WAY.findall(rule.rule)
    ]


def _in_query(view: View, schemas: "_Schemas") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for model in _models(view, Query):
        schema = schemas.inline(model)
        needed = schema.get("required", [])
        for name, one in schema.get("properties", {}).items():
            found.append({"name": name, "in": "query", "required": name in needed, "schema": one})
    return found


def _headers(endpoint: str) -> list[dict[str, Any]]:
    return [_KEY_HEADER] if endpoint in _TAKES_A_KEY else []


def _body(endpoint: str, method: str, view: View, schemas: "_Schemas") -> dict[str, Any] | None:
    if endpoint in _OTHER_BODIES:
        return {"required": True, "content": _OTHER_BODIES[endpoint]}
    models = _models(view, Body)
    if not models or method == "get":
        return None
    schema = schemas.inline(models[0])
    if endpoint == "jobs.submit":
        schema = schema | {
            "properties": schema["properties"] | {"inputs": _INPUTS},
            "required": [*schema["required"], "inputs"],
        }
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _answers(endpoint: str, schemas: "_Schemas") -> dict[str, Any]:
    given = answer_of(endpoint)
    content = {} if given.shape is None else {"content": {given.content_type: {"schema": schemas.of(given.shape)}}}
    error = shapes.Envelope if endpoint.startswith("multi_job.") else shapes.ErrorAnswer
    wrong = {"application/json": {"schema": schemas.of(error)}}
    errors = {status: {"description": text, "content": wrong} for status, text in _ERRORS.items()}
    led = {"links": found} if (found := links.described(endpoint)) else {}
    return {str(given.status): {"description": given.text} | content | led} | errors


def answer_of(endpoint: str) -> shapes.Answer:
    """What a view answers with."""
    return shapes.ANSWERS.get(endpoint, shapes.OLD if endpoint.startswith("multi_job.") else shapes.UNKNOWN)


def _models(view: View, kind: type[BaseModel]) -> list[type[BaseModel]]:
    """The models of this kind that a view's code names."""
    plain = inspect.unwrap(view)
    named = (plain.__globals__.get(name) for name in plain.__code__.co_names)
    return [one for one in named if isinstance(one, type) and issubclass(one, kind) and one is not kind]


class _Schemas:
    """All models of the answers under their names, and a way to refer to them."""

    def __init__(self, views: list[View]) -> None:
        told = [shapes.Envelope, shapes.ErrorAnswer]
        for given in shapes.ANSWERS.values():
            told += _within(given.shape)
        unique = list(dict.fromkeys(told))
        inputs = list(dict.fromkeys(model for view in views for kind in (Query, Body) for model in _models(view, kind)))
        wanted: list[tuple[Any, Literal["validation", "serialization"]]] = [(one, "serialization") for one in unique]
        _, found = models_json_schema(wanted, ref_template=_REF)
        self.all: dict[str, Any] = found["$defs"]
        self._inputs = {model: model.model_json_schema(mode="validation") for model in inputs}

    def inline(self, model: type[BaseModel]) -> dict[str, Any]:
        """The schema of an input, without references; what it names besides stands inside."""
        schema = self._inputs[model]
        defs = schema.get("$defs", {})
        shown: dict[str, Any] = _resolved({name: one for name, one in schema.items() if name != "$defs"}, defs)
        return shown

    def of(self, shape: Any) -> Any:
        """An answer's schema, models by reference."""
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            return {"$ref": _REF.format(model=shape.__name__)}
        if isinstance(shape, Mapping):
            return {name: self.of(one) for name, one in shape.items()}
        return [self.of(one) for one in shape] if isinstance(shape, list) else shape


def _within(shape: Any) -> list[type[BaseModel]]:
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        return [shape]
    parts = shape.values() if isinstance(shape, Mapping) else shape if isinstance(shape, list) else ()
    return [model for part in parts for model in _within(part)]


def _resolved(value: Any, defs: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if "$ref" in value:
            return _resolved(defs[str(value["$ref"]).rpartition("/")[2]], defs)
        return {name: _resolved(one, defs) for name, one in value.items()}
    return [_resolved(one, defs) for one in value] if isinstance(value, list) else value
