"""People with passwords: who there is and what they may do, for admins; one's own password, for everyone."""

from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import Field

from jobs.errors import InvalidInput
from jobs.model import SessionOrigin, UserInfo
from web import auditing, gate
from web.accounts import Scope, TooManyTries, needs
from web.api.answering import answer
from web.api.asking import Body, body_of
from web.problems import Problem
from web.rooms import rooms, service

blueprint = Blueprint("users", __name__)

Password = Annotated[str, Field(max_length=1024)]


class NewUser(Body):
    """A user to be added."""

    name: str
    password: Password
    scopes: list[str]


class Changes(Body):
    """What to set; what is left out stays. All sessions of the user end."""

    password: Password | None = None
    scopes: list[str] | None = None


class NewPassword(Body):
    """One's own new password; the old one proves that it is oneself who asks."""

    old: Password
    new: Password


@blueprint.get("/users")
@needs(Scope.ADMIN)
def everyone() -> Response:
    """All users by name, without their passwords."""
    return answer({"users": [_of_user(user) for user in service().people.users()]})


@blueprint.post("/users")
@needs(Scope.ADMIN)
def create() -> Response:
    """Add a user."""
    wish = body_of(NewUser)
    made = service().people.add(wish.name, wish.password, wish.scopes)
    auditing.note("users.create", {"name": made.name, "scopes": sorted(made.scopes)}, rows=1)
    return answer(_of_user(made), 201)


@blueprint.patch("/users/<name>")
@needs(Scope.ADMIN)
def change(name: str) -> Response:
    """Set a user's password or scopes."""
    wish = body_of(Changes)
    if wish.password is None and wish.scopes is None:
        raise InvalidInput("password", "or scopes: one of them must be given")
    changed = service().people.change(name, password=wish.password, scopes=wish.scopes)
    what = [key for key, value in wish if value is not None]
    auditing.note("users.change", {"name": name, "changed": what, "scopes": sorted(changed.scopes)}, rows=1)
    return answer(_of_user(changed))


@blueprint.delete("/users/<name>")
@needs(Scope.ADMIN)
def remove(name: str) -> Response:
    """Forget a user; all sessions of the user end."""
    service().people.remove(name)
    auditing.note("users.delete", {"name": name}, rows=1)
    return Response(status=204)


@blueprint.post("/me/password")
@needs(Scope.READ)
def change_own() -> Response:
    """Set one's own password; all one's sessions end, this one too."""
    wish, caller = body_of(NewPassword), gate.caller()
    if caller.origin is not SessionOrigin.USER:
        raise Problem(409, "only a user who signed in with a password has one to change")
    if not _knows(caller.name, wish.old):
        auditing.note("users.password", {"name": caller.name}, outcome="refused")
        raise Problem(403, "old: this is not your password", field="old")
    service().people.change(caller.name, password=wish.new)
    rooms().accounts.sign_out(caller)
    auditing.note("users.password", {"name": caller.name}, rows=1)
    return Response(status=204)


def _knows(name: str, password: str) -> bool:
    try:
        return rooms().accounts.password_right(name, password, gate.address())
    except TooManyTries as error:
        raise Problem(429, "too many wrong tries from this address; wait a minute", retry_after_s=60) from error


def _of_user(user: UserInfo) -> dict[str, Any]:
    return {
        "name": user.name,
        "scopes": sorted(user.scopes),
        "created_at": user.created_at,
        "changed_at": user.changed_at,
        "last_used_at": user.last_used_at,
    }
