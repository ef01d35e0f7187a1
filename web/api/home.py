"""Everything the home page shows, in one request."""

from typing import Any

from flask import Blueprint, Response

from jobs.insight import HOUR_S
from jobs.model import HourRow
from jobs.status import Status
from jobs.views import Home
from web.accounts import Scope, needs
from web.api.answering import answer, number, of_machine
from web.api.asking import Query, query_of
from web.api.batches import of_batch
from web.api.failures import of_group
from web.rooms import rooms, service

blueprint = Blueprint("home", __name__)


class HomeQuery(Query):
    """How much of the past, in whole hours."""

    window_s: int = 86400


@blueprint.get("/home")
@needs(Scope.READ)
def everything() -> Response:
    """Counts, hours, failures, machines, batches, and what is wrong with the inventory."""
    found = service().insight.home(query_of(HomeQuery).window_s)
    problems = [dict(problem) for problem in rooms().options.inventory_problems()]
    return answer(_of_home(found) | {"inventory_problems": problems})


def _of_home(home: Home) -> dict[str, Any]:
    return {
        "now": home.now,
        "jobs": {status.name.lower(): home.totals.jobs.get(status, 0) for status in Status},
        "count": number(home.totals.return_count),
        "spend_s": home.totals.spend_s,
        "window": _of_window(home),
        "hours": [_of_hour(row) for row in home.hours],
        "took": [
            {"at": hour * HOUR_S, "p50_s": took.p50_s, "p95_s": took.p95_s} for hour, took in sorted(home.took.items())
        ],
        "types": [row._asdict() for row in home.types],
        "failures": [of_group(group) for group in home.failures],
        "machines": [of_machine(machine) for machine in home.machines],
        "machine_states": dict(home.machine_states),
        "batches": [of_batch(batch) for batch in home.batches],
        "running_batches": home.running_batches,
    }


def _of_window(home: Home) -> dict[str, Any]:
    """The jobs whose latest move was in the window."""
    jobs = dict.fromkeys((status.name.lower() for status in Status), 0)
    for row in home.hours:
        jobs[row.status.name.lower()] += row.jobs
    done = [row for row in home.hours if row.status == Status.DONE]
    return {
        "jobs": jobs,
        "count": number(sum(row.return_count for row in done)),
        "spend_s": sum(row.spend_s for row in done),
        "first_at": home.first_hour * HOUR_S,
    }


def _of_hour(row: HourRow) -> dict[str, Any]:
    return {
        "at": row.hour * HOUR_S,
        "job_type": row.job_type,
        "status": int(row.status),
        "jobs": row.jobs,
        "count": number(row.return_count),
        "spend_s": row.spend_s,
    }
