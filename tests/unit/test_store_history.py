"""Counters by the hour, times and tags of batches, and the migration that brings them to an older database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.status import Status
from jobs.store import address, engines, migrate
from tests.conftest import require
from tests.support import databases
from tests.support.databases import Database
from tests.support.store_kit import Room, a_room, failed, ok


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type()
        yield room


def hours(room: Room) -> dict[tuple[int, Status], tuple[int, float, float]]:
    rows, last = room.service.history(24)
    return {(row.hour - last, row.status): (row.jobs, row.return_count, row.spend_s) for row in rows}


def test_a_job_is_counted_under_the_hour_of_its_latest_move(room: Room) -> None:
    first, second = room.submit(2, limit_count=0)
    assert hours(room) == {(0, Status.WAITING): (2, 0, 0)}
    room.clock.forward(3600)
    room.claim(first, second)
    assert hours(room) == {(0, Status.RUNNING): (2, 0, 0)}
    room.clock.forward(3600)
    room.report(("start", second, 1, {}))
    assert hours(room) == {(-1, Status.RUNNING): (1, 0, 0), (0, Status.RUNNING): (1, 0, 0)}
    room.report(("end", first, 1, ok(count=3)), ("end", second, 1, failed()))
    assert hours(room) == {(0, Status.DONE): (1, 3, 0.5), (0, Status.FAILED): (1, 0, 0.25)}


def test_actions_move_jobs_between_hours(room: Room) -> None:
    first, second = room.submit(2)
    room.claim(first)
    room.clock.forward(3600)
    room.service.kill([first, second])
    assert hours(room) == {(0, Status.RUNNING): (1, 0, 0), (0, Status.FAILED): (1, 0, 0)}
    room.clock.forward(3600)
    room.service.clear([second])
    room.service.rerun([second])
    assert hours(room) == {(-1, Status.RUNNING): (1, 0, 0), (0, Status.WAITING): (1, 0, 0)}
    room.service.delete([second])
    assert hours(room) == {(-1, Status.RUNNING): (1, 0, 0)}


def test_a_return_moves_its_job(room: Room) -> None:
    room.job_type("back", return_main=True)
    (job,) = room.submit(job_type="back")
    room.claim(job)
    room.report(("end", job, 1, ok(return_data="1", count=2)))
    assert hours(room) == {(0, Status.RETURNING): (1, 2, 0.5)}


def test_old_hours_are_not_shown(room: Room) -> None:
    room.submit()
    room.clock.forward(25 * 3600)
    assert hours(room) == {}


def test_empty_rows_go_and_batches_in_use_keep_their_begin(room: Room) -> None:
    (kept,) = room.submit(batch="kept")
    (gone,) = room.submit(batch="gone")
    room.claim(kept)
    room.service.delete([gone])
    room.service.housekeeping()
    assert room.sql("SELECT DISTINCT batch FROM counters") == [("kept",)]
    assert room.sql("SELECT count(*) FROM hours WHERE jobs = 0") == [(0,)]
    assert [one.begin_at for one in room.service.summary()] == [room.clock.now]


def test_tags_of_batches(room: Room) -> None:
    room.submit(batch="a", tag="gpu")
    room.submit(batch="a", tag="cpu")
    room.submit(batch="b", tag="cpu")
    room.submit(batch="c")
    assert [one.tag for one in room.service.summary()] == ["gpu", "cpu", ""]
    assert [one.tag for one in room.service.summary(by_batch=False)] == ["cpu,gpu"]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_migrations_count_the_jobs_there_are(kind: str, tmp_path: Path, database_servers: None) -> None:
    require(databases.missing(kind))
    with databases.a_database(kind, tmp_path, empty=True) as database:
        _at_first(database)
        with a_room(tmp_path, database) as room:
            room.clock.now = 3600.0 * 20 + 30
            (summary,) = room.service.summary()
            assert (summary.batch, summary.tag, summary.begin_at, summary.updated_at) == ("b", "gpu", 3600.0, 72010.0)
            assert summary.jobs == {Status.WAITING: 2, Status.DONE: 1}
            assert hours(room) == {(-19, Status.WAITING): (2, 0, 0), (0, Status.DONE): (1, 6, 0.5)}
            assert [(row.tag, row.ready, row.backing_off) for row in room.service.waiting_lanes()] == [("gpu", 1, 1)]
            room.service.due(room.clock())
            assert [(row.tag, row.ready, row.backing_off) for row in room.service.waiting_lanes()] == [("gpu", 2, 0)]
            room.job_type("crawl")
            assert [one.job_id for one in room.claim(1, 2)] == [1, 2]
            assert room.submit(1) == [4]


def _at_first(database: Database) -> None:
    """A database as the first release left it, with three jobs of which one is done and one backs off."""
    engine = engines.for_writing(address.parse(database.url))
    with engine.connect() as conn, conn.begin():
        migrate._run(conn, "0001")
        assert migrate.revision(conn) == "0001"
    engine.dispose()
    names = "id, lane_id, job_type, tag, batch, `rank`, limit_count, input, created_at, updated_at, status, queued_lane"
    names += ", done_seq, attempt, starts, return_count, spend_s"
    same = "1, 'crawl', 'gpu', 'b', 0, 0, '{}'"
    for row in (
        f"1, {same}, 3600, 3600, 0, 1, NULL, 0, 0, 0, 0",
        f"2, {same}, 3601, 3601, 0, 1, NULL, 0, 0, 0, 0",
        f"3, {same}, 3602, 72010, 3, NULL, 1, 1, 1, 6, 0.5",
    ):
        database.sql(f"INSERT INTO jobs ({_quoted(database, names)}) VALUES ({row})")  # noqa: S608  (ours)
    database.sql("UPDATE jobs SET queued_lane = NULL, due_at = 7200 WHERE id = 2")
    database.sql("INSERT INTO lanes (id, job_type, tag) VALUES (1, 'crawl', 'gpu')")
    for name, upto in (("job", 4), ("lane", 2), ("done", 2)):
        database.sql("UPDATE sequences SET next = ? WHERE name = ?", (upto, name))
    for status, jobs in ((0, 2), (3, 1)):
        values = ("crawl", "b", status, jobs, 6.0 if status else 0.0, 0.5 if status else 0.0)
        names = "job_type, batch, status, jobs, return_count, spend_s"
        database.sql(f"INSERT INTO counters ({names}) VALUES (?, ?, ?, ?, ?, ?)", values)  # noqa: S608  (ours)


def _quoted(database: Database, names: str) -> str:
    return names if database.kind == "mariadb" else names.replace("`", '"')
