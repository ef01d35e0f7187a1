"""Batches: which there are, how far each is, how fast it goes, who did it."""

from typing import Any

from flask import Blueprint, Response

from jobs.errors import InvalidInput
from jobs.status import Status
from jobs.views import BatchPlace, BatchView
from web.accounts import Scope, needs
from web.api.answering import answer, number
from web.api.asking import Query, query_of
from web.rooms import service

blueprint = Blueprint("batches", __name__)


class BatchesQuery(Query):
    """A page of batches; ``q`` is a part of the name."""

    size: int = 50
    after: str | None = None
    q: str = ""


@blueprint.get("/batches")
@needs(Scope.READ)
def listing() -> Response:
    """Batches, the newest first."""
    asked = query_of(BatchesQuery)
    after = None if asked.after is None else _place(asked.after)
    found, following = service().insight.batches(asked.size, after, asked.q)
    text = None if following is None else f"{following.begin_at!r}_{following.batch}"
    return answer({"batches": [of_batch(one) for one in found], "next": text})


@blueprint.get("/batches/<path:batch>")
@needs(Scope.READ)
def detail(batch: str) -> Response:
    """One batch and what each machine did of it: exact up to some size, reckoned up from a part beyond."""
    found, shares = service().insight.batch(batch)
    machines = {
        machine_id: {"jobs": share.jobs, "spend_s": share.spend_s} for machine_id, share in shares.machines.items()
    }
    looked = {"machines_exact": shares.exact, "machines_counted": shares.counted}
    return answer(of_batch(found) | {"machines": machines} | looked)


def _place(after: str) -> BatchPlace:
    at, _, batch = after.partition("_")
    try:
        return BatchPlace(float(at), batch)
    except ValueError:
        raise InvalidInput("after", "must be the next of the page before") from None


def of_batch(batch: BatchView) -> dict[str, Any]:
    """One batch as lists show it."""
    return {
        "batch": batch.batch,
        "jobs": {status.name.lower(): batch.jobs.get(status, 0) for status in Status},
        "count": number(batch.return_count),
        "spend_s": batch.spend_s,
        "begin_at": batch.begin_at,
        "updated_at": batch.updated_at,
        "rate_per_s": batch.rate_per_s,
        "eta_s": batch.eta_s,
        "p50_s": batch.p50_s,
        "p95_s": batch.p95_s,
    }
