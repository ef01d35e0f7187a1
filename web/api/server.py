"""The server about itself: alive, who it is, what the counters say, who you are to it."""

import time
from typing import Annotated, Any, Final

from flask import Blueprint, Response
from pydantic import Field

from jobs.spends import NONE, Percentiles
from web import gate
from web.accounts import Scope, needs
from web.api.answering import answer, number, of_summary
from web.api.asking import Query, query_of
from web.rooms import rooms, service

blueprint = Blueprint("server", __name__)

HOUR_S: Final = 3600


class SummaryQuery(Query):
    """Which counters."""

    job_type: str | None = None
    batch: str | None = None
    by_batch: bool = False
    #: Percentiles too; counters without them are told at a fraction of the cost.
    percentiles: bool = True


class HistoryQuery(Query):
    """How many hours back, of which job type."""

    hours: Annotated[int, Field(ge=1, le=24 * 31)] = 24
    job_type: str | None = None


def healthz() -> Response:
    """Alive; no data, so no credential."""
    return Response("ok\n", content_type="text/plain; charset=utf-8")


@blueprint.get("/server")
@needs(Scope.READ)
def facts() -> Response:
    """Version, identity, age, the time by its clock, what is wrong with its inventory, and what it keeps."""
    here = rooms()
    return answer(
        {
            "version": here.options.version,
            "server_id": service().meta("server_id"),
            "uptime_s": round(time.monotonic() - here.started, 3),
            "now": time.time(),
            "auth": here.options.auth,
            "inventory_problems": [dict(problem) for problem in here.options.inventory_problems()],
            "retention": here.options.retention._asdict(),
        }
    )


@blueprint.get("/summary")
@needs(Scope.READ)
def summary() -> Response:
    """Counters of job types, or of their batches when one is named or asked for."""
    asked = query_of(SummaryQuery)
    by_batch = asked.by_batch or asked.batch is not None
    found = service().summary(asked.job_type, asked.batch, by_batch, percentiles=asked.percentiles)
    return answer({"summary": [of_summary(one) for one in found]})


@blueprint.get("/history")
@needs(Scope.READ)
def history() -> Response:
    """Jobs by the hour of their latest move: by status and job type, and how long those that finished took."""
    asked = query_of(HistoryQuery)
    rows, last = service().history(asked.hours)
    first = last - asked.hours + 1
    spent = service().hour_percentiles(first)
    hours = {hour: _empty_hour(hour, spent.get(hour, NONE)) for hour in range(first, last + 1)}
    for row in rows:
        if row.hour in hours and asked.job_type in (None, row.job_type):
            hours[row.hour]["rows"].append(
                {
                    "job_type": row.job_type,
                    "status": int(row.status),
                    "jobs": row.jobs,
                    "count": number(row.return_count),
                    "spend_s": row.spend_s,
                }
            )
    return answer({"hours": list(hours.values())})


def _empty_hour(hour: int, spent: Percentiles) -> dict[str, Any]:
    return {"begin_at": hour * HOUR_S, **spent._asdict(), "rows": []}


@blueprint.get("/waiting")
@needs(Scope.READ)
def waiting() -> Response:
    """What waits and what for: a row for all jobs of a type that ask for the same."""
    rows = [
        {
            "job_type": row.job_type,
            "tag": row.tag,
            "avoid": sorted(row.avoid),
            "ready": row.ready,
            "backing_off": row.backing_off,
            "code": row.because.code.value,
            "text": row.because.text,
        }
        for row in service().waiting_lanes()
    ]
    return answer({"waiting": rows})


@blueprint.get("/me")
@needs(Scope.READ)
def me() -> Response:
    """Who the caller is, and what its page must send along with changes."""
    caller = gate.caller()
    csrf = rooms().accounts.csrf_token(caller)
    return answer({"name": caller.name, "scopes": sorted(caller.scopes), "csrf": csrf})
