"""Operations: actions on many jobs that go on by themselves; how far they are, and the way to stop them."""

from typing import Literal

from flask import Blueprint, Response

from jobs.model import OperationState
from web import auditing
from web.accounts import Scope, needs
from web.api.answering import answer, of_operation
from web.api.asking import Query, query_of
from web.rooms import service

blueprint = Blueprint("operations", __name__)


class Listing(Query):
    """Which operations to list."""

    state: Literal["running", "done", "stopped", "failed"] | None = None
    size: int = 50
    #: What the page before said under ``next``.
    after: int | None = None


@blueprint.get("/operations")
@needs(Scope.READ)
def listing() -> Response:
    """A page of operations, newest first."""
    asked = query_of(Listing)
    state = None if asked.state is None else OperationState(asked.state)
    found = service().operations.page(asked.size, asked.after, state)
    following = found[-1].operation_id if len(found) == asked.size else None
    return answer({"operations": [of_operation(one) for one in found], "next": following})


@blueprint.get("/operations/<id:operation_id>")
@needs(Scope.READ)
def one(operation_id: int) -> Response:
    """One operation, and how far it is."""
    return answer(of_operation(service().operations.one(operation_id)))


@blueprint.post("/operations/<id:operation_id>/stop")
@needs(Scope.SUBMIT)
def stop(operation_id: int) -> Response:
    """Do no more of it; what is done stays done. An operation that has ended stays as it is."""
    found = service().operations.stop(operation_id)
    auditing.note("operations.stop", {"operation": operation_id}, rows=found.changed, outcome=found.state.value)
    return answer(of_operation(found))
