"""Machines as last seen. inventory.yml says which there are; a few of its values can be overridden here."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import Field

from inventory import fields
from jobs.errors import InvalidInput
from jobs.model import MachineOverride
from web import auditing
from web.accounts import Scope, needs
from web.api.answering import answer, of_machine
from web.api.asking import Body, body_of
from web.rooms import service

blueprint = Blueprint("machines", __name__)


class Changes(Body):
    """What to set on top of the inventory; what is left out stays."""

    name: str | None = None
    #: Texts, or one text with commas of either kind.
    tag: list[str] | str | None = None
    limit_process: Annotated[int, Field(ge=1)] | None = None
    paused: bool | None = None
    closed: bool | None = None


@blueprint.get("/machines")
@needs(Scope.READ)
def everyone() -> Response:
    """All machines, by id."""
    return answer({"machines": [of_machine(machine) for machine in service().machines()]})


@blueprint.patch("/machines/<machine_id>")
@needs(Scope.ADMIN)
def change(machine_id: str) -> Response:
    """Set values on top of the inventory; they hold until the file's own value for that key changes."""
    changes = body_of(Changes).model_dump(exclude_none=True)
    return answer({"machine_id": machine_id, "changed": override(machine_id, changes)})


def override(machine_id: str, changes: Mapping[str, Any]) -> list[str]:
    """Check and store overrides; the keys that were set. Raises InvalidInput, NotFound."""
    if not changes:
        raise InvalidInput("name", "or tag, limit_process, paused, closed: one of them must be given")
    rows = [_override(machine_id, key, value) for key, value in changes.items()]
    service().override(rows)
    auditing.note("machines.change", {"machine_id": machine_id, **changes}, rows=1)
    return [row.key for row in rows]


def _override(machine_id: str, key: str, value: Any) -> MachineOverride:
    if key == "tag" and isinstance(value, str):
        value = [tag for text in value.replace("\uff0c", ",").split(",") if (tag := text.strip())]
    try:
        parsed = fields.parse(key, value)
    except fields.FieldInvalid as error:
        raise InvalidInput(key, f"{error}; {error.remedy}") from error
    plain = sorted(parsed) if isinstance(parsed, frozenset) else parsed
    return MachineOverride(machine_id=machine_id, key=key, value=json.dumps(plain, ensure_ascii=False))
