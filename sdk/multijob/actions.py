"""The client's part that changes many jobs at once: by ids or by filter, as an operation of the server's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Union

from .asking import Asking, Jobs, filter_of, given, ids_of
from .errors import Invalid, OperationFailed, WaitTimeout
from .jobset import JobSet
from .row import JsonObject, Row

if TYPE_CHECKING:
    from .client import Client

#: Ids that one request names at most.
IDS_SIZE = 50_000
#: Between two looks at an operation that runs: at first, and at most.
LOOK_S = 0.05
LOOK_LIMIT_S = 2.0
#: What is the same when it is done twice, so that it may be asked for again when an answer did not come.
REPEATABLE = frozenset({"kill", "delete", "clear", "priority"})

#: As ``Jobs``, or nothing where filters say which.
Which = Union[Jobs, None]


class Operation(Row):
    """A change of many jobs: what it matched, what it changed, what it skipped and why.

    Where more ids were named than one request takes, it is the last of several and counts for all of them.
    """

    def __init__(self, client: Client, seen: JsonObject, before: Operation | None = None) -> None:
        super().__init__(client, _added(seen, before))
        self._before = before

    def _fetch(self) -> JsonObject:
        if not self.id:
            return self._known()
        return _added(self._client.call("GET", f"/api/v1/operations/{self.id}"), self._before)

    def _title(self) -> str:
        return f"Operation {self.id or ''} {self.get('action', '')}: {self.changed} of {self.matched}, {self.state}"

    @property
    def id(self) -> str | int | None:
        """Its number; None where all was done at once, or only said."""
        found: str | int | None = self._known().get("operation_id")
        return found

    @property
    def state(self) -> str:
        """running, done, stopped or failed."""
        return str(self._known().get("state", "done"))

    @property
    def matched(self) -> int:
        """Jobs that it was about."""
        return int(self._known().get("matched", 0))

    @property
    def changed(self) -> int:
        """Jobs that it has changed until now (or would change)."""
        return int(self._known().get("changed", 0))

    @property
    def skipped(self) -> Mapping[str, int]:
        """Jobs that it left as they are, by the reason."""
        return dict(self._known().get("skipped", {}))

    @property
    def jobs(self) -> JobSet:
        """The new jobs of a copy; else empty."""
        return JobSet.of(self._known().get("ids") or (), client=self._client)

    def wait(self, *, timeout_s: float | None = None) -> Operation:
        """Wait for its end; answers itself. Raises OperationFailed, WaitTimeout."""
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = LOOK_S
        while self.state == "running":
            if give_up_at is not None and time.monotonic() >= give_up_at:
                raise WaitTimeout(max(0, self.matched - self.changed - sum(self.skipped.values())))
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, LOOK_LIMIT_S)
            self.refresh()
        if self.state == "failed":
            why = self._known().get("why") or "the server does not say why"
            remedy = "call again: what is done already is skipped"
            raise OperationFailed(f"{self!r}: {why}", remedy=remedy)
        return self

    def stop(self) -> Operation:
        """Let it end where it is; what it has done stays done."""
        self._client.call("POST", f"/api/v1/operations/{self.id}/stop")
        return self.refresh()


class Acting(Asking):
    """kill, rerun, copy, delete and clear. Which jobs: a set, ids, a batch's name; or filters; or both together.

    ``dry_run`` only says how many it would be; with ``expect`` nothing is done when it is another number by now.
    ``wait=False`` answers at once with an Operation that may still run.
    ``filters``: status, job_type, batch, machine_id, tag, version, ids, cleared, q, since, until. Lists, or texts with
    commas, mean one of them; a "!" in front none of them: ``client.rerun(status="failed", machine_id="!gpu-3")``.
    """

    def kill(self, jobs: Which = None, **options: Any) -> Operation:
        """Stop waiting and running jobs; others are skipped."""
        return self.bulk("kill", jobs, **options)

    def rerun(self, jobs: Which = None, *, elsewhere: bool = False, **options: Any) -> Operation:
        """Run finished jobs again under their ids; others are skipped. ``elsewhere``: not where they failed."""
        return self.bulk("rerun", jobs, elsewhere=elsewhere, **options)

    def copy(self, jobs: Which = None, **options: Any) -> Operation:
        """Insert the same jobs anew, under new ids: ``.jobs`` of the answer."""
        return self.bulk("copy", jobs, **options)

    def delete(self, jobs: Which = None, **options: Any) -> Operation:
        """Delete jobs for good; running ones are skipped."""
        return self.bulk("delete", jobs, **options)

    def clear(self, jobs: Which = None, **options: Any) -> Operation:
        """Empty the results of finished jobs and keep the rest."""
        return self.bulk("clear", jobs, **options)

    def act(self, action: str, jobs: Jobs) -> Operation:
        """One of the five by name."""
        return self.bulk(action, jobs)

    def bulk(
        self,
        action: str,
        jobs: Which = None,
        *,
        dry_run: bool = False,
        expect: int | None = None,
        elsewhere: bool = False,
        wait: bool = True,
        timeout_s: float | None = None,
        **filters: Any,
    ) -> Operation:
        """One of the five by name, with everything that can be said about it; see the class."""
        if expect is not None and jobs is not None and not isinstance(jobs, str) and len(ids_of(jobs)) > IDS_SIZE:
            raise Invalid(f"counts up to {IDS_SIZE} ids only", field="expect", remedy="leave it out: ids are exact")
        wanted = given(dry_run=dry_run or None, expect=expect, elsewhere=elsewhere or None)
        repeatable = dry_run or action in REPEATABLE
        whole: Operation | None = None
        for which in _questions(jobs, filter_of(**filters)):
            if whole is not None:
                whole.wait(timeout_s=timeout_s)
            question = {"action": action, **which, **wanted}
            answer = self._object("POST", "/api/v1/jobs/bulk", json_body=question, repeatable=repeatable)
            whole = Operation(self._me, answer, whole)
        if whole is None:
            return Operation(self._me, {"action": action, "matched": 0, "changed": 0, "skipped": {}})
        return whole.wait(timeout_s=timeout_s) if wait else whole

    def operations(self) -> list[Operation]:
        """Those that run, and the latest that have ended."""
        return [Operation(self._me, row) for row in self._rows("/api/v1/operations", "operations")]

    def operation(self, operation_id: str | int) -> Operation:
        """One of them."""
        return Operation(self._me, {"operation_id": operation_id}).refresh()


def _questions(jobs: Which, filters: JsonObject) -> Iterator[JsonObject]:
    """What to ask, in pieces that the server takes: {filter: …} or {ids: …}."""
    if jobs is None or isinstance(jobs, str):
        if isinstance(jobs, str):
            filters = {**filters, "batch": jobs}
        if not filters:
            remedy = "name ids, or a filter such as batch='monday' or status='failed'"
            raise Invalid("no job is named", field="filter", remedy=remedy)
        yield {"filter": filters}
        return
    for ids in _pieces(ids_of(jobs)):
        yield {"filter": {**filters, "ids": ids}} if filters else {"ids": ids}


def _pieces(jobs: JobSet) -> Iterator[list[int]]:
    piece: list[int] = []
    for job_id in jobs:
        piece.append(job_id)
        if len(piece) == IDS_SIZE:
            yield piece
            piece = []
    if piece:
        yield piece


def _added(answer: JsonObject, before: Operation | None) -> JsonObject:
    """The answer with the counts of the pieces before it."""
    if before is None:
        return answer
    skipped = dict(before.skipped)
    for why, count in answer.get("skipped", {}).items():
        skipped[why] = skipped.get(why, 0) + count
    total = {
        **answer,
        "matched": before.matched + answer.get("matched", 0),
        "changed": before.changed + answer.get("changed", 0),
        "skipped": skipped,
    }
    if "ids" in answer:
        total["ids"] = [*before["ids"], *answer["ids"]]
    return total
