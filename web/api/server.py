"""The server about itself: alive, who it is, what the counters say, who you are to it."""

import time

from flask import Blueprint, Response

from web import gate
from web.accounts import Scope, needs
from web.api.answering import answer, of_summary
from web.api.asking import Query, query_of
from web.rooms import rooms, service

blueprint = Blueprint("server", __name__)


class SummaryQuery(Query):
    """Which counters."""

    job_type: str | None = None
    batch: str | None = None
    by_batch: bool = False


def healthz() -> Response:
    """Alive; no data, so no credential."""
    return Response("ok\n", content_type="text/plain; charset=utf-8")


@blueprint.get("/server")
@needs(Scope.READ)
def facts() -> Response:
    """Version, identity, age, the time by its clock, and what is wrong with its inventory."""
    here = rooms()
    return answer(
        {
            "version": here.options.version,
            "server_id": service().meta("server_id"),
            "uptime_s": round(time.monotonic() - here.started, 3),
            "now": time.time(),
            "auth": here.options.auth,
            "inventory_problems": [dict(problem) for problem in here.options.inventory_problems()],
        }
    )


@blueprint.get("/summary")
@needs(Scope.READ)
def summary() -> Response:
    """Counters of job types, or of their batches when one is named or asked for."""
    asked = query_of(SummaryQuery)
    by_batch = asked.by_batch or asked.batch is not None
    found = service().summary(asked.job_type, asked.batch, by_batch)
    return answer({"summary": [of_summary(one) for one in found]})


@blueprint.get("/me")
@needs(Scope.READ)
def me() -> Response:
    """Who the caller is, and what its page must send along with changes."""
    caller = gate.caller()
    csrf = rooms().accounts.csrf_token(caller)
    return answer({"name": caller.name, "scopes": sorted(caller.scopes), "csrf": csrf})
