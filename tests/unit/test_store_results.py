"""The stream of results: order, both ways through it, waiting, and that nobody is told "that is all" too early."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.doors.results import gather_s
from jobs.errors import InvalidInput
from jobs.model import ResultRow, Submission
from jobs.store import results
from jobs.store.driver import Query
from jobs.submitting import merged
from tests.support.databases import Database
from tests.support.store_kit import Room, a_room, failed, ok


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type()
        yield room


def finish(room: Room, *jobs: int) -> None:
    room.claim(*jobs)
    room.report(*(("end", job, room.service.job(job).job.attempt, ok(job)) for job in jobs))


def ids(rows: list[ResultRow]) -> list[int]:
    return [row.job_id for row in rows]


def test_results_come_in_the_order_they_finished_from_the_cursor_on(room: Room) -> None:
    jobs = room.submit(6)
    finish(room, jobs[4])
    finish(room, jobs[1], jobs[0])
    first = room.service.results(0, limit=2)
    assert (ids(first.rows), first.pending) == ([jobs[4], jobs[1]], None)
    rest = room.service.results(first.cursor)
    assert ids(rest.rows) == [jobs[0]]
    assert room.service.results(rest.cursor).rows == []


def test_a_submissions_cursor_misses_none_of_its_jobs(room: Room) -> None:
    finish(room, *room.submit(3))
    done = room.service.submit(Submission(job_type="crawl", inputs=["{}"] * 2))
    finish(room, done.first_id, done.first_id + 1)
    assert ids(room.service.results(done.cursor).rows) == [done.first_id, done.first_id + 1]


@pytest.mark.parametrize("along", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_both_ways_give_the_same(room: Room, monkeypatch: pytest.MonkeyPatch, along: bool, limit: int) -> None:
    mine, others = room.submit(20, batch="mine"), room.submit(20, batch="others")
    mixed = [job for pair in zip(reversed(mine), others, strict=True) for job in pair]
    finish(room, *mixed[:30])
    way = results._along_stream if along else results._through_jobs
    monkeypatch.setattr(results, "_along_stream", way)
    monkeypatch.setattr(results, "_through_jobs", way)
    monkeypatch.setattr(results, "STRETCH", 7)
    expected = [job for job in mixed[:30] if job in mine]
    for wanted in ({"batch": "mine"}, {"ranges": [[mine[0], mine[-1]]]}, {"ranges": [[job, job] for job in mine]}):
        got: list[int] = []
        page = room.service.results(0, limit=limit, **wanted)  # type: ignore[arg-type]
        while page.rows:
            got += ids(page.rows)
            page = room.service.results(page.cursor, limit=limit, **wanted)  # type: ignore[arg-type]
        assert got == expected
        assert page.pending == 5


def test_no_statement_looks_at_much_more_of_the_stream_than_it_brings(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "ROWS_AT_ONCE", 5)
    looked_at: list[int] = []
    through = Query.through

    def noting(query: Query, conn: Any, take: Any, *given: Any) -> Any:
        looked_at.append(given[1] - given[0])
        return through(query, conn, take, *given)

    monkeypatch.setattr(Query, "through", noting)
    others, jobs = room.submit(40), room.submit(60)
    finish(room, *others, *jobs)
    first = room.service.results(0, ranges=[[others[0], jobs[-1]]], limit=80)
    assert ids(first.rows) == [*others, *jobs[:40]]
    assert set(looked_at) == {5}
    looked_at.clear()
    page = room.service.results(0, ranges=[[jobs[0], jobs[-1]]], limit=30)
    assert ids(page.rows) == jobs[:30]
    assert looked_at == [5, 20, 75, 20, 5, 5, 5, 5]  # longer where nothing wanted is there, and short again after it


def test_many_ranges_are_sorted_out_here(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RANGES_IN_SQL", 2)
    jobs = room.submit(12)
    finish(room, *jobs)
    wanted = [[job, job] for job in jobs[::3]]
    assert ids(room.service.results(0, ranges=wanted).rows) == jobs[::3]
    monkeypatch.setattr(results, "COUNT_LIMIT", 0)
    assert room.service.results(room.service.results(0).cursor, ranges=wanted).pending == 0


def test_pending_is_nought_only_with_the_last_row(room: Room) -> None:
    jobs = room.submit(4, batch="b")
    assert room.service.results(0, batch="b").pending == 4
    finish(room, *jobs)
    page = room.service.results(0, batch="b", limit=3)
    assert (len(page.rows), page.pending) == (3, None)
    page = room.service.results(page.cursor, batch="b", limit=3)
    assert (len(page.rows), page.pending) == (1, 0)
    assert room.service.results(0, ranges=[[1000, 2000]]).pending == 0


def test_a_failure_tells_its_reason_and_a_killed_job_its_own(room: Room) -> None:
    jobs = room.submit(2, limit_count=0)
    room.claim(jobs[0])
    room.report(("end", jobs[0], 1, failed("timeout")))
    room.service.kill([jobs[1]])
    rows = room.service.results(0).rows
    assert [(row.status, row.reason, row.result, row.error) for row in rows] == [
        (-1, "timeout", None, "Traceback: no"),
        (-1, "killed", None, None),
    ]


def test_a_job_that_ran_again_comes_again(room: Room) -> None:
    (job,) = room.submit()
    finish(room, job)
    cursor = room.service.results(0).cursor
    room.service.rerun([job])
    assert room.service.results(0).rows == []
    finish(room, job)
    (row,) = room.service.results(cursor).rows
    assert (row.attempt, row.result) == (2, str(job))


def test_waiting_ends_with_a_result_of_ours_and_not_with_anothers(room: Room) -> None:
    mine, other = room.submit(1, batch="mine")[0], room.submit(1, batch="other")[0]
    pages: list[list[int]] = []
    waiting = threading.Thread(
        target=lambda: pages.append(ids(room.service.wait_results(0, batch="mine", timeout_s=30).rows))
    )
    waiting.start()
    finish(room, other)
    assert pages == []
    finish(room, mine)
    waiting.join(30)
    assert pages == [[mine]]


def test_what_another_process_wrote_is_noticed_too(room: Room) -> None:
    (job,) = room.submit()
    elsewhere = Room.__new__(Room)
    elsewhere.__dict__.update(room.__dict__)
    elsewhere.open()
    finishing = threading.Thread(target=finish, args=(elsewhere, job))
    finishing.start()
    page = room.service.wait_results(0, ranges=[[job, job]], timeout_s=30)
    finishing.join()
    elsewhere.close()
    assert (ids(page.rows), page.pending) == ([job], 0)


def test_waiting_ends_at_once_when_nothing_is_unfinished_and_at_the_end_of_the_time(room: Room) -> None:
    assert room.service.wait_results(0, ranges=[[5, 9]], timeout_s=30).pending == 0
    room.submit(2, batch="b")
    page = room.service.wait_results(0, batch="b", timeout_s=0.01)
    assert (page.rows, page.pending) == ([], 2)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"cursor": -1}, "cursor"),
        ({"cursor": "1"}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"limit": 5001}, "limit"),
        ({"batch": "a,b"}, "batch"),
        ({"batch": "b", "ranges": [[1, 2]]}, "ids"),
        ({"ranges": []}, "ids"),
        ({"ranges": [[2, 1]]}, "ids"),
        ({"ranges": [[1]]}, "ids"),
        ({"ranges": [1]}, "ids"),
        ({"ranges": [[True, 2]]}, "ids"),
        ({"ranges": [[1, 2**63]]}, "ids"),
    ],
)
def test_wrong_questions_name_their_field(room: Room, wrong: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        room.service.results(**{"cursor": 0, **wrong})  # type: ignore[arg-type]
    assert caught.value.field == field


def test_ranges_are_merged() -> None:
    assert merged([(5, 6), (1, 2), (3, 3), (6, 9), (20, 30), (22, 23)]) == ((1, 3), (5, 9), (20, 30))


def test_who_waits_for_many_gets_them_in_pages() -> None:
    assert gather_s(1) == gather_s(16) == 0.0
    assert 0.0 < gather_s(100) < gather_s(300)
    assert gather_s(100_000) == gather_s(None) <= 0.05
