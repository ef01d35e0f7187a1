"""A page of results is bounded in bytes as well as in rows, and reading on from its cursor misses nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.store import results
from tests.support.databases import Database
from tests.support.store_kit import Room, a_room, ok

LONG = "x" * 1000


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type()
        yield room


def finish(room: Room, *jobs: int) -> None:
    room.claim(*jobs)
    room.report(*(("end", job, 1, ok(LONG)) for job in jobs))


def read_on(room: Room, **asked: object) -> tuple[list[int], list[int]]:
    """(ids in the order they came, rows of each page)."""
    ids, sizes, cursor = [], [], 0
    while True:
        page = room.service.results(cursor, **asked)
        ids += [row.job_id for row in page.rows]
        sizes.append(len(page.rows))
        if page.pending is not None and not page.rows:
            return ids, sizes
        assert page.cursor > cursor, "a page that gets nowhere"
        cursor = page.cursor


@pytest.mark.parametrize("along", [True, False])
@pytest.mark.parametrize("at_once", [1, 3, 250])
def test_a_page_ends_at_its_bytes(room: Room, monkeypatch: pytest.MonkeyPatch, along: bool, at_once: int) -> None:
    mine, others = room.submit(10, batch="mine"), room.submit(10, batch="others")
    mixed = [job for pair in zip(reversed(mine), others, strict=True) for job in pair]
    finish(room, *mixed)
    way = results._along_stream if along else results._through_jobs
    monkeypatch.setattr(results, "_along_stream", way)
    monkeypatch.setattr(results, "_through_jobs", way)
    monkeypatch.setattr(results, "PAGE_BYTES", 3500)
    monkeypatch.setattr(results, "ROWS_AT_ONCE", at_once)
    ids, sizes = read_on(room, batch="mine")
    assert ids == list(reversed(mine))
    assert sizes == [4, 4, 2, 0]
    ranges = [[mine[0], mine[4]]]
    assert read_on(room, ranges=ranges)[0] == list(reversed(mine[:5]))


def test_one_row_longer_than_a_page_is_a_page(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = room.submit(3, batch="b")
    finish(room, *jobs)
    monkeypatch.setattr(results, "PAGE_BYTES", 10)
    assert read_on(room, batch="b") == (jobs, [1, 1, 1, 0])


def test_rows_that_are_passed_over_fill_no_page(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """More ranges than SQL sorts out: what lies between them is read, but takes no room."""
    jobs = room.submit(40)
    finish(room, *jobs)
    monkeypatch.setattr(results, "RANGES_IN_SQL", 2)
    monkeypatch.setattr(results, "PAGE_BYTES", 1500)
    monkeypatch.setattr(results, "_through_jobs", results._along_stream)
    wanted = [[jobs[at], jobs[at]] for at in range(0, 40, 10)]
    assert read_on(room, ranges=wanted) == ([jobs[at] for at in range(0, 40, 10)], [2, 2, 0])
