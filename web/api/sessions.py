"""Sign a browser in and out. The credential goes in a body, the session comes in a cookie that scripts cannot read."""

from typing import Annotated, Final, Self

from flask import Blueprint, Response
from pydantic import Field, model_validator

from jobs.names import is_plain
from web import auditing, gate
from web.accounts import Scope, TooManyTries, needs
from web.api.asking import Body, body_of
from web.problems import Problem
from web.rooms import rooms

blueprint = Blueprint("sessions", __name__)

REFUSED: Final = "sign_in_refused"
Secret = Annotated[str, Field(max_length=1024)]


class SignIn(Body):
    """A one-time code from a link, or a token, or a user's name and password."""

    code: Secret | None = None
    token: Secret | None = None
    user: Secret | None = None
    password: Secret | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = {name for name, value in self if value is not None}
        if given not in ({"code"}, {"token"}, {"user", "password"}):
            raise ValueError("give either code, or token, or user and password")
        return self


@blueprint.post("/session")
def sign_in() -> Response:
    """Open a session. Public, so slowed down for those who guess."""
    asked = body_of(SignIn)
    how = "code" if asked.code else "token" if asked.token else "password"
    cookie = _opened(asked)
    if cookie is None:
        auditing.note("session.sign_in", {"by": how}, outcome="refused", who=_named(asked))
        raise Problem(401, "what you signed in with is unknown, wrong, used up, expired or revoked", code=REFUSED)
    opened = rooms().accounts.of_session(cookie)
    auditing.note("session.sign_in", {"by": how}, who=_named(asked) if opened is None else opened.name)
    response = Response(status=204)
    gate.set_cookie(response, cookie)
    return response


def _opened(asked: SignIn) -> str | None:
    accounts, address = rooms().accounts, gate.address()
    try:
        if asked.code is not None:
            return accounts.sign_in_by_code(asked.code, address)
        if asked.token is not None:
            return accounts.sign_in_by_token(asked.token, address)
        return accounts.sign_in_by_password(asked.user or "", asked.password or "", address)
    except TooManyTries as error:
        auditing.note("session.sign_in", {}, outcome="too many tries", who=_named(asked))
        raise Problem(429, "too many wrong tries from this address; wait a minute", retry_after_s=60) from error


def _named(asked: SignIn) -> str:
    """Who it claims to be: only a name that could be one, not a password that slipped into the wrong field."""
    return asked.user if asked.user is not None and is_plain(asked.user) else "unknown"


@blueprint.delete("/session")
@needs(Scope.READ)
def sign_out() -> Response:
    """End the session for good."""
    caller = gate.caller()
    rooms().accounts.sign_out(caller)
    auditing.note("session.sign_out", {})
    response = Response(status=204)
    response.delete_cookie(gate.COOKIE, path="/", httponly=True, samesite="Strict")
    return response
