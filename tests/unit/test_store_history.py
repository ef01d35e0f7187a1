"""Counters by the hour, times and tags of batches, and the migration that brings them to an older database."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine

from jobs.status import Status
from jobs.store import migrate
from tests.support.store_kit import Room, a_room, failed, ok


@pytest.fixture
def room(tmp_path):
    with a_room(tmp_path) as room:
        room.job_type()
        yield room


def hours(room: Room) -> dict[tuple[int, Status], tuple[int, float, float]]:
    rows, last = room.service.history(24)
    return {(row.hour - last, row.status): (row.jobs, row.return_count, row.spend_s) for row in rows}


def test_a_job_is_counted_under_the_hour_of_its_latest_move(room):
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


def test_actions_move_jobs_between_hours(room):
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


def test_a_return_moves_its_job(room):
    room.job_type("back", return_main=True)
    (job,) = room.submit(job_type="back")
    room.claim(job)
    room.report(("end", job, 1, ok(return_data="1", count=2)))
    assert hours(room) == {(0, Status.RETURNING): (1, 2, 0.5)}


def test_old_hours_are_not_shown(room):
    room.submit()
    room.clock.forward(25 * 3600)
    assert hours(room) == {}


def test_empty_rows_go_and_batches_in_use_keep_their_begin(room):
    (kept,) = room.submit(batch="kept")
    (gone,) = room.submit(batch="gone")
    room.claim(kept)
    room.service.delete([gone])
    room.service.housekeeping()
    assert room.sql("SELECT DISTINCT batch FROM counters") == [("kept",)]
    assert room.sql("SELECT count(*) FROM hours WHERE jobs = 0") == [(0,)]
    assert [one.begin_at for one in room.service.summary()] == [room.clock.now]


def test_tags_of_batches(room):
    room.submit(batch="a", tag="gpu")
    room.submit(batch="a", tag="cpu")
    room.submit(batch="b", tag="cpu")
    room.submit(batch="c")
    assert [one.tag for one in room.service.summary()] == ["gpu", "cpu", ""]
    assert [one.tag for one in room.service.summary(by_batch=False)] == ["cpu,gpu"]


def test_the_migration_counts_the_jobs_there_are(tmp_path: Path):
    with a_room(tmp_path) as room:
        room.job_type()
        jobs = room.submit(3, batch="b", tag="gpu", limit_count=0)
        room.clock.forward(3600)
        room.claim(jobs[0])
        room.report(("end", jobs[0], 1, ok(count=6)))
        before = hours(room), room.service.summary()
    _back_to_0001(room)
    room.open()
    try:
        assert (hours(room), room.service.summary()) == before
    finally:
        room.close()


def _back_to_0001(room: Room) -> None:
    for statement in (
        "DROP TABLE hours",
        "DROP TABLE overrides",
        *(f"ALTER TABLE counters DROP COLUMN {name}" for name in ("begin_at", "updated_at", "tag")),
        "UPDATE alembic_version SET version_num = '0001'",
    ):
        room.sql(statement)
    engine = create_engine(room.url)
    with engine.connect() as conn:
        assert migrate.revision(conn) == "0001"
    engine.dispose()
