"""The table of moves: every pair of states, through the doors and past them, straight into the database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from jobs.status import MOVES, TERMINAL, Status
from tests.support.databases import Database
from tests.support.store_kit import Room, a_room, failed, ok

PAIRS = [(start, end) for start in Status for end in Status if start != end]


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type("crawl")
        room.job_type("shop", return_main=True)
        yield room


def a_job_in(room: Room, status: Status) -> int:
    """A job that walked to this status."""
    (job,) = room.submit(
        job_type="shop" if status in (Status.RETURNING, Status.RETURN_FAILED) else "crawl", limit_count=0
    )
    if status == Status.WAITING:
        return job
    room.claim(job)
    if status == Status.FAILED:
        room.report(("end", job, 1, failed()))
    elif status != Status.RUNNING:
        room.report(("end", job, 1, ok(return_data="[1]")))
    if status == Status.RETURN_FAILED:
        room.service.take_returns(1)
        room.returned(job, 1, "no")
    assert room.status(job) == status
    return job


def one_in_each(room: Room) -> dict[Status, int]:
    """A job in every status; RETURN_FAILED first, so that no other return_main is due meanwhile."""
    return {status: a_job_in(room, status) for status in sorted(Status)}


def test_the_database_itself_refuses_every_move_that_is_not_in_the_table(room: Room) -> None:
    job = a_job_in(room, Status.WAITING)
    for start, end in PAIRS:
        walk_to(room, job, start)
        if end in MOVES[start]:
            put(room, job, end)
            assert room.status(job) == end
        else:
            with pytest.raises(DBAPIError, match="illegal move"):
                put(room, job, end)
            assert room.status(job) == start


def walk_to(room: Room, job: int, status: Status) -> None:
    """Past every door, but by legal moves: back to the beginning, then through the states before this one."""
    back = {Status.RETURNING: [Status.DONE]}.get(Status(room.status(job)), [])
    ahead = {Status.RETURN_FAILED: [Status.RETURNING]}.get(status, [])
    for step in [*back, Status.WAITING, *ahead, status]:
        put(room, job, step)


def put(room: Room, job: int, status: Status) -> None:
    room.sql("UPDATE jobs SET status = ? WHERE id = ?", (int(status), job))


def test_an_attempt_number_never_falls(room: Room) -> None:
    job = a_job_in(room, Status.RUNNING)
    with pytest.raises(DBAPIError, match="illegal move"):
        room.sql("UPDATE jobs SET attempt = 0 WHERE id = ?", (job,))


def test_t2_claims_only_what_waits(room: Room) -> None:
    for status, job in one_in_each(room).items():
        claimed = room.claim(job)
        assert [one.job_id for one in claimed] == ([job] if status == Status.WAITING else [])


def test_t9_t10_kill_ends_the_waiting_and_asks_the_running(room: Room) -> None:
    jobs = one_in_each(room)
    result = room.service.kill(list(jobs.values()))
    assert (result.matched, result.changed) == (6, 2)
    assert result.skipped == {"returning": 1, "done": 1, "failed": 1, "return_failed": 1}
    assert room.status(jobs[Status.WAITING]) == Status.FAILED
    assert room.service.job(jobs[Status.WAITING]).job.reason == "killed"
    assert room.status(jobs[Status.RUNNING]) == Status.RUNNING
    assert room.service.job(jobs[Status.RUNNING]).job.kill_requested


def test_t15_rerun_takes_the_finished_only_and_attempt_numbers_go_on(room: Room) -> None:
    jobs = one_in_each(room)
    result = room.service.rerun(list(jobs.values()))
    assert (result.changed, result.skipped) == (3, {"waiting": 1, "running": 1, "returning": 1})
    for status in TERMINAL:
        job = room.service.job(jobs[status]).job
        assert (job.status, job.starts, job.attempt) == (Status.WAITING, 0, 1)
    (again,) = room.claim(jobs[Status.DONE])
    assert again.attempt == 2
    assert [one.attempt for one in room.service.attempts(jobs[Status.DONE])] == [1]


def test_t16_copy_makes_new_waiting_jobs_without_history(room: Room) -> None:
    jobs = list(one_in_each(room).values())
    copied = room.service.copy(jobs)
    assert len(copied.ids) == 6
    assert not set(copied.ids) & set(jobs)
    for new, old in zip(copied.ids, jobs, strict=True):
        assert room.status(new) == Status.WAITING
        assert room.service.attempts(new) == []
        assert room.service.job(new).input == room.service.job(old).input


def test_t17_delete_spares_what_runs_here_or_there(room: Room) -> None:
    jobs = one_in_each(room)
    taken = jobs[Status.RETURNING]
    assert [one.job_id for one in room.service.take_returns(1)] == [taken]
    due = a_job_in(room, Status.RETURNING)
    result = room.service.delete([*jobs.values(), due])
    assert (result.changed, result.skipped) == (5, {"running": 1, "returning": 1})
    assert {one.job_id for one in room.service.jobs().jobs} == {jobs[Status.RUNNING], taken}
    assert room.report(("end", jobs[Status.DONE], 1, ok())).stored == room.seq
