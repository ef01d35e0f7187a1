"""Every error the web answers with, in one shape: ``{"error": {code, message, field, request_id}}``, no stack trace."""

import logging
from collections.abc import Callable, Mapping

from flask import Blueprint, Flask, Response, g, json
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from jobs.errors import Conflict, InvalidInput, NotFound, StoreUnavailable, TooMuch, UnknownJobType

logger = logging.getLogger(__name__)

#: HTTP status → the code of an error that names none of its own.
CODES = {
    400: "malformed",
    401: "not_signed_in",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "not_json",
    421: "wrong_host",
    422: "invalid",
    429: "too_many",
    503: "unavailable",
}


class Problem(Exception):
    """An answer that is not the one asked for. ``field`` names what was wrong in the request."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        field: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field
        self.code = code or CODES.get(status, "error")
        self.retry_after_s = retry_after_s


def install(app: Flask | Blueprint, answer_: Callable[[Problem], Response] | None = None) -> None:
    """Turn every exception that leaves a view into an answer; a blueprint may give its answers another shape."""
    shape = answer_ or answer
    app.register_error_handler(Problem, shape)
    app.register_error_handler(ValidationError, lambda error: shape(of_validation(error)))
    app.register_error_handler(InvalidInput, lambda error: shape(Problem(422, str(error), field=error.field)))
    app.register_error_handler(NotFound, lambda error: shape(Problem(404, str(error))))
    app.register_error_handler(UnknownJobType, lambda error: shape(of_unknown_type(error)))
    app.register_error_handler(Conflict, lambda error: shape(Problem(409, str(error))))
    app.register_error_handler(TooMuch, lambda error: shape(Problem(429, str(error), retry_after_s=10)))
    app.register_error_handler(StoreUnavailable, lambda error: shape(of_unavailable(error)))
    app.register_error_handler(HTTPException, lambda error: shape(of_http(error)))
    app.register_error_handler(Exception, lambda error: shape(of_surprise(error)))


def answer(problem: Problem) -> Response:
    """The problem as a response."""
    error = {
        "code": problem.code,
        "message": problem.message,
        "field": problem.field,
        "request_id": g.get("request_id"),
    }
    return respond({"error": error}, problem)


def respond(body: Mapping[str, object], problem: Problem) -> Response:
    """This body with the status and the headers of the problem."""
    response = Response(json.dumps(body), problem.status, mimetype="application/json")
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="multijob"'
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(problem.retry_after_s)
    return response


def of_validation(error: ValidationError) -> Problem:
    """The first mistake pydantic found, with the field it found it in."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    if first["type"] == "extra_forbidden":
        return Problem(422, f"{field}: there is no such field here", field=field)
    return Problem(422, f"{field or 'request'}: {first['msg']}", field=field)


def of_unknown_type(error: UnknownJobType) -> Problem:
    """Told apart from other things not found: people mistype job types."""
    return Problem(404, str(error), field="job_type", code="unknown_job_type")


def of_unavailable(error: StoreUnavailable) -> Problem:
    """Nothing was stored; the same request may simply be sent again (B20)."""
    logger.warning("the database is not available: %s", error)
    return Problem(503, "the database cannot take this now; nothing was stored, try again", retry_after_s=2)


def of_http(error: HTTPException) -> Problem:
    """What Flask itself refuses: unknown paths, methods, bodies over the limit."""
    status = error.code or 500
    return Problem(status, error.description or error.name)


def of_surprise(error: Exception) -> Problem:
    """A bug: the log has the story, the caller gets the id to look it up with."""
    logger.error("a request failed unexpectedly", exc_info=error, extra={"request_id": g.get("request_id")})
    return Problem(500, "something went wrong here; the server's log has it under this request id", code="internal")
