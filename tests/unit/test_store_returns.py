"""return_main's queue: tries, interruptions, restarts, one outcome only (T12 to T14, G11)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.status import Reason, Status
from tests.support.databases import Database
from tests.support.store_kit import Room, a_room, ok


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type("shop", return_main=True)
        room.job_type("plain")
        yield room


def a_return(room: Room, limit_count: int = 0) -> int:
    (job,) = room.submit(job_type="shop", limit_count=limit_count)
    room.claim(job)
    room.report(("end", job, 1, ok(return_data='{"x": 1.50}', count=2)))
    return job


def test_only_data_that_is_not_null_for_a_version_that_takes_it_returns(room: Room) -> None:
    shop, nothing, plain = *room.submit(2, job_type="shop"), *room.submit(job_type="plain")
    room.claim(shop, nothing, plain)
    room.report(
        ("end", shop, 1, ok(return_data="[]")),
        ("end", nothing, 1, ok(return_data="null")),
        ("end", plain, 1, ok(return_data="[1]")),
    )
    assert [room.status(job) for job in (shop, nothing, plain)] == [2, 3, 3]


def test_a_call_is_taken_once_and_answered_once(room: Room) -> None:
    job = a_return(room)
    (call,) = room.service.take_returns(9)
    assert (call.job_id, call.attempt, call.version, call.return_data) == (job, 1, 0, '{"x": 1.50}')
    assert room.service.take_returns(9) == []
    assert room.returned(job, 1)
    assert not room.returned(job, 1)
    assert not room.returned(job, 1, "late")
    assert room.status(job) == Status.DONE
    assert [row.job_id for row in room.service.results(0).rows] == [job]
    (summary,) = room.service.summary("shop")
    assert (summary.jobs, summary.return_count) == ({Status.DONE: 1}, 2.0)


def test_an_answer_to_a_call_nobody_took_is_refused(room: Room) -> None:
    job = a_return(room)
    assert not room.returned(job, 1)
    assert room.status(job) == Status.RETURNING


def test_t13_t14_tries_are_limit_count_and_one(room: Room) -> None:
    job = a_return(room, limit_count=2)
    for tries in (1, 2, 3):
        (call,) = room.service.take_returns(9)
        assert call.return_tries == tries
        assert room.returned(job, 1, f"failure {tries}")
        assert room.service.take_returns(9) == []
        room.clock.forward(1000)
    detail = room.service.job(job)
    assert (detail.job.status, detail.job.reason) == (Status.RETURN_FAILED, Reason.RETURN_ERROR)
    assert detail.job.starts == 1
    assert detail.latest is not None
    assert (detail.latest.return_error, detail.latest.result) == ("failure 3", "1")
    assert room.service.results(0).rows[0].error == "failure 3"


def test_a_return_that_waits_to_be_tried_again_is_not_put_into_a_lane(room: Room) -> None:
    job = a_return(room, limit_count=1)
    room.service.take_returns(1)
    room.returned(job, 1, "no")
    assert room.service.due(room.clock.forward(1000)) == 0
    assert room.claim(job) == []


def test_interruptions_cost_no_try_three_times(room: Room) -> None:
    job = a_return(room)
    for _ in range(3):
        assert [call.return_tries for call in room.service.take_returns(9)] == [1]
        room.close()
        room.open()
        assert room.service.recover_returns() == 1
        assert room.status(job) == Status.RETURNING
    room.service.take_returns(9)
    assert room.service.recover_returns() == 1
    assert room.status(job) == Status.RETURN_FAILED


def test_rerun_gives_return_main_fresh_tries(room: Room) -> None:
    job = a_return(room)
    room.service.take_returns(9)
    room.returned(job, 1, "no")
    room.service.rerun([job])
    room.claim(job)
    room.report(("end", job, 2, ok(return_data="[2]")))
    (call,) = room.service.take_returns(9)
    assert (call.attempt, call.return_data, call.return_tries) == (2, "[2]", 1)
    room.returned(job, 2)
    assert [one.return_error for one in room.service.attempts(job)] == ["no", None]
