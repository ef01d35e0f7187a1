"""Groups of failures in the store: counted as attempts fail, left as jobs are no longer failed, never by a success."""

from collections import Counter

import pytest
from sqlalchemy import event

from jobs.model import JobFilter
from jobs.status import Status
from jobs.store import failures
from jobs.views import FailureGroup, FailuresAsked
from tests.support.store_kit import Room, a_room, failed, ok

ALL = FailuresAsked(first_hour=0, last_hour=10**9, all=True)


@pytest.fixture
def room(tmp_path):
    with a_room(tmp_path) as room:
        room.job_type()
        yield room


def error(words: str = "no", **more: object) -> dict[str, object]:
    return failed(
        error=f'Traceback (most recent call last):\n  File "/n/main.py", line 2, in work\nValueError: {words}', **more
    )


def fail(room: Room, *jobs: int, words: str = "no", attempt: int = 1, machine: str = "m1", version: int = 0) -> None:
    room.claim(*jobs, machine=machine, version=version)
    room.report(*(("end", job, attempt, error(words)) for job in jobs), machine=machine)


def groups(room: Room) -> list[FailureGroup]:
    return room.service.insight.failures(ALL)


def only(room: Room) -> FailureGroup:
    (group,) = groups(room)
    return group


def marked(room: Room) -> dict[int, str]:
    return dict(room.sql("SELECT id, fingerprint FROM jobs WHERE fingerprint IS NOT NULL"))


def test_failures_that_look_alike_are_one_group(room):
    jobs = room.submit(4, limit_count=0)
    fail(room, *jobs[:2])
    begun = room.clock.now
    room.clock.forward(7200)
    fail(room, jobs[2], machine="m2")
    fail(room, jobs[3], words="something else")
    other, group = sorted(groups(room), key=lambda one: one.jobs)
    assert (group.job_type, group.exception, group.message, group.frame) == (
        "crawl",
        "ValueError",
        "no",
        "main.py in work",
    )
    assert (group.jobs, group.attempts, group.first_at, group.last_at) == (3, 3, begun, room.clock.now)
    assert (group.machines, group.versions) == ({"m1": 2, "m2": 1}, {0: 3})
    assert list(group.hours.values()) == [2, 1]
    assert (group.sample_job, group.sample_attempt, group.muted) == (jobs[2], 1, False)
    assert (other.message, other.jobs) == ("something else", 1)
    assert marked(room) == dict.fromkeys(jobs[:3], group.fingerprint) | {jobs[3]: other.fingerprint}


def test_a_retry_counts_its_attempts_and_no_job(room):
    (job,) = room.submit(limit_count=1)
    fail(room, job)
    assert (only(room).jobs, only(room).attempts, marked(room)) == (0, 1, {})
    assert room.service.insight.failures(ALL._replace(all=False)) == []
    room.service.due(room.clock.forward(600))
    fail(room, job, attempt=2)
    assert (only(room).jobs, only(room).attempts) == (1, 2)
    assert only(room).sample_attempt == 2


def test_rerun_and_delete_take_jobs_out(room):
    jobs = room.submit(3, limit_count=0)
    fail(room, *jobs)
    fingerprint = only(room).fingerprint
    assert room.service.total(JobFilter(q=fingerprint)) == 3
    room.service.rerun(jobs[:1])
    assert (only(room).jobs, set(marked(room))) == (2, set(jobs[1:]))
    room.service.delete(jobs[1:2])
    assert (only(room).jobs, only(room).attempts) == (1, 3)
    room.service.rerun(JobFilter(q=fingerprint))
    assert (only(room).jobs, marked(room)) == (0, {})
    assert room.status(jobs[2]) == Status.WAITING


def test_a_lost_attempt_that_succeeded_leaves_its_group(room):
    (job,) = room.submit(limit_count=0)
    room.claim(job)
    room.service.lose("m1")
    assert (only(room).reason, only(room).jobs) == ("lost", 1)
    room.report(("end", job, 1, ok()))
    assert (room.status(job), only(room).jobs, marked(room)) == (Status.DONE, 0, {})


def test_what_people_end_is_in_no_group(room):
    waiting, running = room.submit(2)
    room.claim(running)
    room.service.kill([waiting, running])
    room.report(("end", running, 1, failed("killed")))
    room.service.rerun([waiting, running])
    assert groups(room) == []


def test_a_return_that_failed_is_a_group_of_the_server(room):
    room.job_type("back", return_main=True)
    (job,) = room.submit(job_type="back", limit_count=0)
    room.claim(job)
    room.report(("end", job, 1, ok(return_data="1")))
    room.service.take_returns(10)
    room.returned(job, 1, "ValueError: 5")
    group = only(room)
    assert (group.reason, group.jobs, group.machines, group.versions) == ("return_error", 1, {"": 1}, {0: 1})
    room.service.rerun([job])
    assert only(room).jobs == 0


def test_a_success_costs_no_statement(room):
    jobs = room.submit(4, limit_count=0)
    room.claim(*jobs)
    told: Counter[str] = Counter()

    def hear(_conn, _cursor, statement, *_rest):
        told.update(name for name in ("failures", "failure_", "fingerprint") if name in statement)

    event.listen(room.store._write_engine, "before_cursor_execute", hear)
    room.report(*(("end", job, 1, ok()) for job in jobs[:3]))
    assert not told
    room.report(("end", jobs[3], 1, error()))
    assert told["failures"]


def test_groups_are_bounded(room, monkeypatch):
    monkeypatch.setattr(failures, "GROUPS_LIMIT", 3)
    jobs = room.submit(6, limit_count=0)
    for job, word in zip(jobs, "abcdef", strict=True):
        fail(room, job, words=word)
    counted = Counter(group.message for group in groups(room))
    assert counted == {"a": 1, "b": 1, "c": 1, "many different messages": 1}
    rest = next(group for group in groups(room) if group.message.startswith("many"))
    assert (rest.jobs, rest.attempts) == (3, 3)
    assert sorted(job for job, name in marked(room).items() if name == rest.fingerprint) == jobs[3:]


def test_pages_in_order_of_their_latest(room):
    jobs = room.submit(4, limit_count=0)
    for job, word in zip(jobs, "abcd", strict=True):
        fail(room, job, words=word)
        room.clock.forward(3600)
    first = room.service.insight.failures(ALL._replace(size=3))
    place = (first[-1].last_at, first[-1].fingerprint)
    second = room.service.insight.failures(ALL._replace(size=3, after=place))
    assert "".join(group.message for group in first + second) == "dcba"
    hour = int(room.clock.now) // 3600
    assert [group.message for group in room.service.insight.failures(ALL._replace(first_hour=hour - 2))] == ["d", "c"]
    assert room.service.insight.failures(ALL._replace(job_type="other")) == []


def test_muted_until_the_next_version(room):
    (job,) = room.submit(limit_count=0)
    fail(room, job)
    fingerprint = only(room).fingerprint
    assert [one.fingerprint for one in room.service.insight.home(3600).failures] == [fingerprint]
    assert room.service.insight.mute(fingerprint, True).muted
    assert room.service.insight.home(3600).failures == []
    assert not room.service.insight.mute(fingerprint, False).muted
    room.service.insight.mute(fingerprint, True)
    room.job_type(files={"more.py": ""})
    assert not only(room).muted


def test_what_is_long_past_is_forgotten(room):
    jobs = room.submit(2, limit_count=0)
    fail(room, jobs[0], words="stays")
    fail(room, jobs[1], words="goes")
    room.service.rerun(jobs[1:])
    room.clock.forward(failures.KEPT_S + 7200)
    room.service.housekeeping()
    assert room.sql("SELECT message, jobs FROM failures") == [("stays", 1)]
    assert room.sql("SELECT count(*) FROM failure_hours") == [(0,)]
    assert room.sql("SELECT count(*) FROM failure_places") == [(1,)]


def test_hostile_words_are_kept_as_data(room):
    jobs = room.submit(3, limit_count=0)
    fail(room, jobs[0], words="'; DROP TABLE jobs; -- \x00\x1b[2J")
    fail(room, jobs[1], words="<script>alert(1)</script> \ud800")
    room.claim(jobs[2])
    room.report(("end", jobs[2], 1, failed(error="x" * 70_000)))
    told = {group.message for group in groups(room)}
    assert any("<script>" in message for message in told)
    assert all(message.isprintable() and len(message) <= 300 for message in told)
    assert sum(group.jobs for group in groups(room)) == 3
