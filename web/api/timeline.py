"""What ran when and where: bars for a screen, or sums by machine and stretch of time where there are too many."""

from typing import Any, Final

from flask import Blueprint, Response

from jobs import filters
from jobs.views import Bar, Bucket
from web.accounts import Scope, needs
from web.api.answering import answer
from web.api.asking import Query, query_of
from web.rooms import service

blueprint = Blueprint("timeline", __name__)

WINDOW_S: Final = 3600.0


class TimelineQuery(Query):
    """Which window, the last hour when none is named; on one machine, or on all."""

    since: str | None = None
    until: str | None = None
    machine_id: str | None = None


@blueprint.get("/timeline")
@needs(Scope.READ)
def window() -> Response:
    """Attempts between two times."""
    asked = query_of(TimelineQuery)
    now = service().now()
    until = filters.moment("until", asked.until, now) if asked.until is not None else now
    since = filters.moment("since", asked.since, now) if asked.since is not None else until - WINDOW_S
    found = service().insight.timeline(since, until, asked.machine_id)
    return answer(
        {
            "since": found.since,
            "until": found.until,
            "ended": found.ended,
            "bars": [_of_bar(bar) for bar in found.bars],
            "bucketed": found.bucket_s is not None,
            "bucket_s": found.bucket_s,
            "buckets": [_of_bucket(bucket) for bucket in found.buckets],
        }
    )


def _of_bar(bar: Bar) -> dict[str, Any]:
    return bar._asdict() | {"status": int(bar.status)}


def _of_bucket(bucket: Bucket) -> dict[str, Any]:
    return bucket._asdict()
