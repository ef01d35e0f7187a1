"""Sign a browser in and out. The credential goes in a body, the session comes in a cookie that scripts cannot read."""

from typing import Self

from flask import Blueprint, Response
from pydantic import model_validator

from web import auditing, gate
from web.accounts import Scope, TooManyTries, needs
from web.api.asking import Body, body_of
from web.problems import Problem
from web.rooms import rooms

blueprint = Blueprint("sessions", __name__)


class SignIn(Body):
    """A one-time code from a link, or a token."""

    code: str | None = None
    token: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.code is None) == (self.token is None):
            raise ValueError("give either code or token")
        return self


@blueprint.post("/session")
def sign_in() -> Response:
    """Open a session. Public, so slowed down for those who guess."""
    asked = body_of(SignIn)
    cookie = _opened(asked)
    if cookie is None:
        auditing.note("session.sign_in", {}, outcome="refused", who="unknown")
        raise Problem(401, "that code or token is unknown, used up, expired or revoked", code="sign_in_refused")
    auditing.note("session.sign_in", {"by": "code" if asked.code else "token"}, who="browser")
    response = Response(status=204)
    gate.set_cookie(response, cookie)
    return response


def _opened(asked: SignIn) -> str | None:
    accounts = rooms().accounts
    try:
        if asked.code is not None:
            return accounts.sign_in_by_code(asked.code, gate.address())
        return accounts.sign_in_by_token(asked.token or "", gate.address())
    except TooManyTries as error:
        raise Problem(429, "too many wrong tries from this address; wait a minute", retry_after_s=60) from error


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
