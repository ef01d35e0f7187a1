"""jobs.retention on a real store: what is past its time goes with its history; counters and past hours stay right."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.model import AuditEntry, JobFilter, Submission
from jobs.retention import DAY_S, Retention, Rule
from jobs.status import Status
from jobs.store import retention as statements
from tests.support import store_kit
from tests.support.store_kit import Room, failed, ok


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with store_kit.a_room(tmp_path) as made:
        made.job_type("crawl")
        yield made


def finish(room: Room, count: int, body: dict[str, object] | None = None, batch: str = "b") -> list[int]:
    jobs = room.submit(count, batch=batch, limit_count=0)
    room.report(*[("end", one.job_id, one.attempt, body or ok()) for one in room.claim(*jobs)])
    return jobs


def there(room: Room) -> list[int]:
    return sorted(job.job_id for job in room.service.jobs(JobFilter(), size=1000).jobs)


def apply(room: Room, rule: Rule) -> int:
    return Retention(room.store, rule, room.clock).apply()


def history(room: Room) -> dict[Status, int]:
    rows, _ = room.service.history(24 * 20)
    found: dict[Status, int] = {}
    for row in rows:
        found[row.status] = found.get(row.status, 0) + row.jobs
    return found


def test_off_by_default(room: Room) -> None:
    finish(room, 3)
    room.clock.forward(10_000 * DAY_S)
    assert apply(room, Rule()) == 0
    assert len(there(room)) == 3


def test_by_age_only_finished_jobs_go_and_the_counters_and_hours_stay_right(room: Room) -> None:
    finish(room, 5)
    finish(room, 2, failed())
    waiting = room.submit(1, batch="b")
    [running] = room.submit(1, batch="b")
    room.claim(running)
    room.clock.forward(8 * DAY_S)
    young = finish(room, 3)
    before = history(room)
    assert apply(room, Rule(days=7)) == 7
    assert there(room) == sorted([*waiting, running, *young])
    assert history(room) == before
    [summary] = room.service.summary()
    assert dict(summary.jobs) == {Status.WAITING: 1, Status.RUNNING: 1, Status.DONE: 3}
    assert summary.spend_s == pytest.approx(1.5)
    assert room.sql("select count(*) from attempts") == [(3,)]
    assert apply(room, Rule(days=7)) == 0


def test_by_number_the_oldest_finished_go(room: Room) -> None:
    waiting = room.submit(1)
    jobs = finish(room, 10)
    assert apply(room, Rule(jobs=4)) == 6
    assert there(room) == sorted([*waiting, *jobs[6:]])


def test_in_pieces_and_it_can_be_told_to_stop_between_them(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "PIECE", 3)
    finish(room, 8)
    room.clock.forward(2 * DAY_S)
    asked = iter([False, True])
    assert Retention(room.store, Rule(days=1), room.clock, lambda: next(asked)).apply() == 3
    assert apply(room, Rule(days=1)) == 5


def test_a_job_that_was_rerun_meanwhile_stays(room: Room) -> None:
    jobs = finish(room, 2)
    room.service.rerun([jobs[0]])
    assert room.store.write(lambda tx: statements.remove(tx, jobs)) == 1
    assert there(room) == [jobs[0]]


def test_the_audit_log_stays(room: Room) -> None:
    finish(room, 1)
    now = room.clock()
    entry = AuditEntry(at=now, who="a", source="", action="delete", detail={}, rows=1, outcome="ok")
    room.service.audit(entry)
    room.clock.forward(1000 * DAY_S)
    apply(room, Rule(days=1))
    room.service.housekeeping()
    assert [one.action for _, one in room.service.audit_log()] == ["delete"]


def test_old_submission_keys_are_forgotten(room: Room) -> None:
    submission = Submission(job_type="crawl", inputs=["{}"])
    first = room.service.submit(submission, key="k")
    assert room.service.submit(submission, key="k") == first
    room.clock.forward(7 * DAY_S + 1)
    room.service.housekeeping()
    assert room.service.submit(submission, key="k") != first
