"""Reports against the store: repeats, forgeries, order, what is lost and found again (G4 to G7, B13, T3 to T8)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.model import Reported
from jobs.status import Reason, Status
from tests.support.databases import Database
from tests.support.store_kit import Room, a_room, failed, ok


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type("crawl")
        room.job_type("shop", return_main=True)
        yield room


def test_a_success_stores_everything_at_once(room: Room) -> None:
    (job,) = room.submit()
    room.claim(job)
    room.clock.forward(2)
    assert room.report(("start", job, 1, {})).stop == []
    room.clock.forward(3)
    room.report(("end", job, 1, ok({"a": 1}, count=7, exit_code=0)))
    detail = room.service.job(job)
    assert (detail.job.status, detail.job.return_count, detail.job.spend_s) == (Status.DONE, 7.0, 0.5)
    assert detail.job.started_at == room.clock.now - 3
    (attempt,) = room.service.attempts(job)
    assert (attempt.result, attempt.reason, attempt.machine_id) == ('{"a": 1}', Reason.NONE, "m1")
    assert (attempt.started_at, attempt.ended_at) == (room.clock.now - 3, room.clock.now)
    assert detail.latest == attempt


def test_an_equal_repeat_is_acknowledged_and_a_different_one_refused(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    (job,) = room.submit()
    room.claim(job)
    room.report(("end", job, 1, ok(1)))
    cursor = room.service.results(0).cursor
    assert room.report(("end", job, 1, ok(1))).stored == 2
    assert "different end" not in caplog.text
    assert room.report(("end", job, 1, ok(2)), ("end", job, 1, failed())).stored == 4
    assert caplog.text.count("different end") == 2
    assert room.service.attempts(job)[0].result == "1"
    assert room.service.results(cursor).rows == []


def test_of_two_ends_in_one_report_the_first_wins(room: Room) -> None:
    (job,) = room.submit()
    room.claim(job)
    room.report(("end", job, 1, ok("first")), ("end", job, 1, ok("second")))
    assert [one.result for one in room.service.attempts(job)] == ['"first"']


def test_another_machines_attempt_cannot_be_touched(room: Room) -> None:
    (job,) = room.submit()
    room.claim(job, machine="m1")
    told: list[Reported] = []
    room.service.on_reported = lambda _machine, rows: told.extend(rows)
    room.report(("end", job, 1, ok()), ("back", job, 1, {}), machine="m2")
    assert room.report(("start", job, 1, {}), machine="m2").stop == [(job, 1)]
    assert (room.status(job), told) == (Status.RUNNING, [])
    assert room.service.job(job).job.started_at is None


@pytest.mark.parametrize("attempt", [0, 2, -1, 99])
def test_attempts_that_never_were_change_nothing(room: Room, attempt: int) -> None:
    (job,) = room.submit()
    room.claim(job)
    assert room.report(("end", job, attempt, ok()), ("end", 12345, 1, ok())).stored == 2
    assert room.report(("start", job, attempt, {})).stop == [(job, attempt)]
    assert room.status(job) == Status.RUNNING


def test_a_superseded_attempt_changes_nothing_and_is_told_to_stop(room: Room) -> None:
    (job,) = room.submit(limit_count=3)
    room.claim(job, machine="m1")
    room.service.lose("m1")
    room.service.due(room.clock.forward(600))
    room.claim(job, machine="m2")
    answer = room.report(("start", job, 1, {}), ("end", job, 1, ok("late")), machine="m1")
    assert answer.stop == []  # it ended in the same breath
    assert room.report(("start", job, 1, {}), machine="m1").stop == [(job, 1)]
    assert room.status(job) == Status.RUNNING
    room.report(("end", job, 2, ok("right")), machine="m2")
    assert [one.result for one in room.service.attempts(job)] == [None, '"right"']


@pytest.mark.parametrize("limit_count", [0, 1])
def test_t8_a_late_success_is_adopted_from_waiting_and_from_failed(room: Room, limit_count: int) -> None:
    (job,) = room.submit(limit_count=limit_count, job_type="shop")
    room.claim(job)
    assert room.service.lose("m1") == 1
    assert room.status(job) == (Status.WAITING if limit_count else Status.FAILED)
    assert room.report(("start", job, 1, {})).stop == []
    room.report(("end", job, 1, ok("found", return_data="[1]")))
    assert room.status(job) == Status.RETURNING
    assert [one.result for one in room.service.attempts(job)] == ['"found"']
    assert room.service.due(room.clock.forward(1000)) == 0
    assert room.claim(job) == []
    assert [one.return_data for one in room.service.take_returns(9)] == ["[1]"]
    (summary,) = room.service.summary("shop")
    assert summary.jobs == {Status.RETURNING: 1}


def test_a_late_failure_of_a_lost_attempt_changes_nothing(room: Room) -> None:
    (job,) = room.submit(limit_count=1)
    room.claim(job)
    room.service.lose("m1")
    room.report(("end", job, 1, failed("timeout")))
    assert room.service.job(job).job.reason == Reason.LOST
    assert [one.reason for one in room.service.attempts(job)] == [Reason.LOST]


def test_a_kill_that_comes_before_the_late_success_stands(room: Room) -> None:
    (job,) = room.submit(limit_count=1)
    room.claim(job)
    room.service.lose("m1")
    room.service.kill([job])
    assert room.report(("start", job, 1, {})).stop == [(job, 1)]
    room.report(("end", job, 1, ok()))
    assert (room.status(job), room.service.job(job).job.reason) == (Status.FAILED, Reason.KILLED)


def test_what_is_given_back_is_claimable_at_once_and_costs_nothing(room: Room) -> None:
    jobs = room.submit(3, limit_count=0)
    room.claim(*jobs)
    lanes: list[dict[int, int]] = []
    room.service.on_submitted = lambda changed: lanes.append(dict(changed))
    room.report(("back", jobs[0], 1, {"why": "paused"}))
    assert room.service.give_back("m1", [(jobs[1], 1), (jobs[1], 7), (99, 1)]) == 1
    assert room.service.dispatch_failed("m1", [(jobs[2], 1)], "no space") == 1
    assert lanes == [{1: 0}] * 3
    assert [one.attempt for one in room.claim(*jobs)] == [2, 2, 2]
    assert {room.service.job(job).job.starts for job in jobs} == {1}
    reasons = [room.service.attempts(job)[0].reason for job in jobs]
    assert reasons == [Reason.GIVEN_BACK, Reason.GIVEN_BACK, Reason.DISPATCH_FAILED]


def test_a_given_back_attempt_that_begins_after_all_must_stop(room: Room) -> None:
    (job,) = room.submit()
    room.claim(job)
    room.service.give_back("m1", [(job, 1)])
    assert room.report(("start", job, 1, {})).stop == [(job, 1)]


def test_g5_starts_are_bounded_whatever_the_cause(room: Room) -> None:
    (job,) = room.submit(limit_count=2)
    ends = 0
    while room.service.job(job).job.status == Status.WAITING:
        room.service.due(room.clock.forward(1000))
        (claimed,) = room.claim(job)
        if ends == 1:
            room.service.give_back("m1", [(job, claimed.attempt)])
            (claimed,) = room.claim(job)
        causes = [failed("died"), failed("timeout"), failed("error")]
        room.report(("end", job, claimed.attempt, causes[ends]))
        ends += 1
    assert ends == 3
    assert room.service.job(job).job.reason == Reason.ERROR


def test_back_off_keeps_a_job_out_of_its_lane_until_it_is_due(room: Room) -> None:
    (job,) = room.submit(limit_count=1)
    room.claim(job)
    room.report(("end", job, 1, failed()))
    due_at = room.service.next_due()
    assert due_at is not None
    assert 0.5 <= due_at - room.clock.now <= 1.5
    assert (room.service.lanes(), room.claim(job)) == ([], [])
    assert room.service.due(due_at - 0.01) == 0
    assert room.service.due(due_at) == 1
    assert len(room.claim(job)) == 1


def test_the_engine_is_told_after_the_commit(room: Room) -> None:
    jobs = room.submit(2)
    room.claim(*jobs)
    told: list[tuple[str, list[Reported]]] = []
    room.service.on_reported = lambda machine, rows: told.append((machine, list(rows)))
    room.report(("start", jobs[0], 1, {}), ("end", jobs[1], 1, ok()))
    begun, ended = Reported(jobs[0], 1, "start", 0.0), Reported(jobs[1], 1, "end", 0.5)
    assert told == [("m1", [begun, ended])]
    room.report(("start", jobs[0], 1, {}))
    assert len(told) == 2


def test_counters_are_what_counting_gives(room: Room) -> None:
    jobs = room.submit(10, limit_count=0, batch="x")
    room.claim(*jobs[:8])
    room.report(*(("end", job, 1, ok(count=2)) for job in jobs[:4]), *(("end", job, 1, failed()) for job in jobs[4:6]))
    room.service.rerun([jobs[0], jobs[4]])
    room.service.delete([jobs[1], jobs[9]])
    room.service.kill(jobs)
    (summary,) = room.service.summary("crawl", "x")
    counted = dict(room.sql("SELECT status, count(*) FROM jobs GROUP BY status"))
    assert {int(status): count for status, count in summary.jobs.items()} == counted
    assert (summary.return_count, summary.spend_s) == (4.0, 1.0)
    (whole,) = room.service.summary("crawl", by_batch=False)
    assert (whole.batch, whole.jobs) == (None, summary.jobs)


def test_unreachable_is_shown_and_taken_back(room: Room) -> None:
    jobs = room.submit(2)
    room.claim(jobs[0], machine="m1")
    room.claim(jobs[1], machine="m2")
    assert room.service.mark_unreachable("m1", True) == 1
    assert room.service.mark_unreachable("m1", True) == 0
    assert [one.unreachable for one in room.service.open_attempts()] == [True, False]
    room.report(("end", jobs[0], 1, ok()))
    assert not room.service.job(jobs[0]).job.unreachable


def test_open_attempts_can_be_sent_again_as_they_were_claimed(room: Room) -> None:
    jobs = room.submit(3)
    claimed = room.claim(*jobs)
    room.report(("end", jobs[0], 1, ok()))
    assert room.service.claimed([(one.job_id, one.attempt) for one in claimed]) == claimed[1:]
    assert room.service.claimed([(jobs[1], 2)]) == []
