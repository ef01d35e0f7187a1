"""Failures in groups that look alike: list, look into, mute. Rerunning one is a bulk action with ``q`` = its name."""

from typing import Any, Final

from flask import Blueprint, Response

from jobs import filters
from jobs.errors import InvalidInput
from jobs.insight import HOUR_S
from jobs.views import FailureGroup, FailuresAsked
from web import auditing
from web.accounts import Scope, needs
from web.api.answering import answer
from web.api.asking import Body, Query, body_of, query_of
from web.rooms import service

blueprint = Blueprint("failures", __name__)

#: Machines of a group that are named, those with the most failures; ``machine_count`` says how many there are.
MACHINES_NAMED: Final = 50


class FailuresQuery(Query):
    """Which groups: those in which an attempt failed between these times (by the hour)."""

    since: str | None = None
    until: str | None = None
    job_type: str | None = None
    #: Also groups in which no job is failed now: all were retried well, run again, or deleted.
    all: bool = False
    size: int = 200
    after: str | None = None


class Muting(Body):
    """Whether to keep quiet about a group until its job type has a newer version."""

    until_next_version: bool


@blueprint.get("/failures")
@needs(Scope.READ)
def listing() -> Response:
    """Groups of failures, the latest first."""
    asked = query_of(FailuresQuery)
    now = service().now()
    since = filters.moment("since", asked.since, now) if asked.since is not None else 0
    until = filters.moment("until", asked.until, now) if asked.until is not None else now
    found = service().insight.failures(
        FailuresAsked(
            first_hour=int(since) // HOUR_S,
            last_hour=int(until) // HOUR_S,
            job_type=asked.job_type,
            all=asked.all,
            size=asked.size,
            after=None if asked.after is None else _place(asked.after),
        )
    )
    following = f"{found[-1].last_at!r}_{found[-1].fingerprint}" if len(found) == asked.size else None
    return answer({"groups": [of_group(group) for group in found], "next": following})


@blueprint.get("/failures/<fingerprint>")
@needs(Scope.READ)
def detail(fingerprint: str) -> Response:
    """One group, with all its hours and machines, and the words of its latest failure."""
    group = service().insight.failure(fingerprint)
    return answer(_of_one(group))


@blueprint.post("/failures/<fingerprint>/mute")
@needs(Scope.SUBMIT)
def mute(fingerprint: str) -> Response:
    """Keep quiet about a group until its job type has a newer version, or no longer."""
    asked = body_of(Muting)
    group = service().insight.mute(fingerprint, asked.until_next_version)
    auditing.note("failures.mute", {"fingerprint": fingerprint, "muted": asked.until_next_version}, rows=1)
    return answer(_of_one(group))


def _place(after: str) -> tuple[float, str]:
    at, _, fingerprint = after.partition("_")
    try:
        return float(at), fingerprint
    except ValueError:
        raise InvalidInput("after", "must be the next of the page before") from None


def of_group(group: FailureGroup) -> dict[str, Any]:
    """One group as lists show it."""
    most = sorted(group.machines.items(), key=lambda item: (-item[1], item[0]))
    return {
        "fingerprint": group.fingerprint,
        "job_type": group.job_type,
        "reason": group.reason,
        "exception": group.exception,
        "message": group.message,
        "frame": group.frame,
        "count": group.jobs,
        "attempts": group.attempts,
        "recent": sum(group.hours.values()),
        "first_at": group.first_at,
        "last_at": group.last_at,
        "machines": dict(most[:MACHINES_NAMED]),
        "machine_count": len(most),
        "versions": sorted(group.versions),
        "hours": [{"at": hour * HOUR_S, "attempts": count} for hour, count in sorted(group.hours.items())],
        "sample": {"job_id": group.sample_job, "attempt": group.sample_attempt},
        "muted": group.muted,
    }


def _of_one(group: FailureGroup) -> dict[str, Any]:
    shown = of_group(group)
    sample = service().insight.sample(group)
    words = None if sample is None else sample.return_error or sample.error
    place = {} if sample is None else {"machine_id": sample.machine_id, "version": sample.version}
    return shown | {
        "machines": dict(group.machines),
        "version_attempts": {str(version): count for version, count in sorted(group.versions.items())},
        "sample": shown["sample"] | place | {"error": words},
    }
