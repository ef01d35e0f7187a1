"""Named tokens: who may call, with which scopes, until when. For admins; a token's text is shown once."""

import time
from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import Field

from jobs.errors import NotFound
from jobs.model import TokenInfo
from web import auditing
from web.accounts import Scope, needs
from web.api.answering import answer
from web.api.asking import Body, body_of
from web.rooms import service

blueprint = Blueprint("tokens", __name__)


class Wish(Body):
    """A token to be made."""

    name: str
    scopes: list[str]
    #: Seconds; none: until it is revoked.
    lifetime_s: Annotated[float, Field(gt=0, le=10 * 366 * 86400, allow_inf_nan=False)] | None = None


@blueprint.get("/tokens")
@needs(Scope.ADMIN)
def everyone() -> Response:
    """All tokens without their texts."""
    return answer({"tokens": [_of_token(one) for one in service().tokens()]})


@blueprint.post("/tokens")
@needs(Scope.ADMIN)
def create() -> Response:
    """Make a token; its text is in this answer and nowhere else."""
    wish = body_of(Wish)
    expires_at = None if wish.lifetime_s is None else time.time() + wish.lifetime_s
    text = service().create_token(wish.name, wish.scopes, expires_at=expires_at)
    auditing.note("tokens.create", {"name": wish.name, "scopes": sorted(wish.scopes)}, rows=1)
    return answer({"name": wish.name, "token": text, "expires_at": expires_at}, 201)


@blueprint.delete("/tokens/<name>")
@needs(Scope.ADMIN)
def revoke(name: str) -> Response:
    """End a token; it is refused everywhere within seconds."""
    if not service().revoke_token(name):
        raise NotFound(f"there is no living token {name!r}")
    auditing.note("tokens.revoke", {"name": name}, rows=1)
    return Response(status=204)


def _of_token(token: TokenInfo) -> dict[str, Any]:
    return {
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
        "revoked_at": token.revoked_at,
    }
