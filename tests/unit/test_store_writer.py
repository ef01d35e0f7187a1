"""The single writer and the database's own life: groups, neighbours, restarts, refusals, migrations."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, insert, text
from sqlalchemy.pool import NullPool

from jobs.errors import StoreTooNew, StoreUnavailable
from jobs.store import Store, Tx, engines, migrate, schema
from tests.support.databases import Database
from tests.support.store_kit import Gate, Room, a_room, ok


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type()
        yield room


def put(key: str) -> Callable[[Tx], str]:
    def op(tx: Tx) -> str:
        tx.conn.execute(insert(schema.meta), {"key": key, "value": ""})
        return key

    return op


def keys(room: Room) -> list[str]:
    return sorted(row[0] for row in room.sql("SELECT * FROM meta"))


def test_operations_that_wait_together_share_one_commit(room: Room) -> None:
    seen: list[int] = []
    gate = Gate(room.store)
    futures = [room.store.submit_write(put(key)) for key in "abc"]
    room.store.submit_write(lambda tx: tx.after(lambda: seen.append(len(keys(room)))))
    gate.open()
    assert [future.result(10) for future in futures] == ["a", "b", "c"]
    room.store.write(lambda _tx: None)
    assert seen == [3]


def test_an_operation_that_raises_does_not_hurt_its_neighbours(room: Room) -> None:
    def breaks(tx: Tx) -> None:
        put("half")(tx)
        raise KeyError("mine alone")

    gate = Gate(room.store)
    before = room.store.submit_write(put("a"))
    broken = room.store.submit_write(breaks)
    after = room.store.submit_write(put("b"))
    gate.open()
    assert (before.result(10), after.result(10)) == ("a", "b")
    with pytest.raises(KeyError, match="mine alone"):
        broken.result(10)
    assert keys(room) == ["a", "b"]


def test_while_the_database_is_away_all_who_wait_are_told_at_once(room: Room) -> None:
    """Not one after the other, each with a wait of its own."""
    runs: list[int] = []

    def away(_tx: Tx) -> None:
        runs.append(1)
        raise StoreUnavailable("locked")

    gate = Gate(room.store)
    futures = [room.store.submit_write(away) for _ in range(5)]
    gate.open()
    assert [type(future.exception(10)) for future in futures] == [StoreUnavailable] * 5
    assert len(runs) == 1
    assert room.store.write(put("a")) == "a"


def test_numbers_of_a_transaction_that_failed_are_given_again(room: Room) -> None:
    def breaks(tx: Tx) -> None:
        tx.take_numbers("job", 100)
        raise KeyError

    with pytest.raises(KeyError):
        room.store.write(breaks)
    assert room.submit(3) == [1, 2, 3]


def test_a_hook_that_fails_is_logged_and_breaks_nothing(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    def fails(_lanes: object) -> None:
        raise ValueError("hook")

    room.service.on_submitted = fails
    assert room.submit(1) == [1]
    assert "a hook of the store failed" in caplog.text


def test_what_was_acknowledged_is_there_after_a_restart(room: Room) -> None:
    jobs = room.submit(5)
    room.claim(*jobs[:2])
    room.report(("end", jobs[0], 1, ok("kept")))
    room.close()
    room.open()
    assert [one.job_id for one in room.service.open_attempts()] == [jobs[1]]
    assert room.service.results(0).rows[0].result == '"kept"'
    assert room.submit(1) == [6]


def test_a_database_that_is_locked_is_told_as_such_and_works_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.close()
    monkeypatch.setattr(engines, "BUSY_S", 0.05)
    room.open()
    with create_engine(room.url, poolclass=NullPool).connect() as other, other.begin() as locked:
        other.execute(text("UPDATE sequences SET next = next + 0"))
        with pytest.raises(StoreUnavailable, match=r"(?i)lock"):
            room.submit(1)
        assert room.service.jobs().jobs == []
        locked.rollback()
    assert room.service.healthy()
    assert room.submit(1) == [1]


def test_a_commit_that_is_not_confirmed_is_told_as_such_and_never_repeated(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer got lost on its way: what was stored must not be stored twice."""
    gate = Gate(room.store)
    futures = [room.store.submit_write(put(key)) for key in "ab"]
    dialect = room.store._write_engine.dialect
    commit = dialect.do_commit

    commits: list[object] = []

    def lose_the_second_answer(connection: Any) -> None:
        commit(connection)
        commits.append(connection)
        if len(commits) == 2:
            assert dialect.dbapi is not None
            raise dialect.dbapi.OperationalError("the answer got lost")

    monkeypatch.setattr(dialect, "do_commit", lose_the_second_answer)
    gate.open()
    for future in futures:
        with pytest.raises(StoreUnavailable, match="stored or not"):
            future.result(10)
    assert keys(room) == ["a", "b"]
    assert room.store.write(put("c")) == "c"


@pytest.mark.parametrize("database", ["mariadb", "postgresql"], indirect=True)
def test_a_transaction_that_stands_still_is_ended_by_the_server_and_run_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.close()
    monkeypatch.setattr(engines, "IDLE_S", 1)
    room.open()
    runs: list[str] = []

    def op(tx: Tx) -> str:
        runs.append("again")
        put(f"run-{len(runs)}")(tx)
        if len(runs) == 1:
            time.sleep(2.5)
        return put("end")(tx)

    assert room.store.write(op) == "end"
    assert keys(room) == ["end", "run-2"]


def test_a_closed_store_refuses_and_its_thread_is_gone(room: Room) -> None:
    room.store.close()
    room.store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        room.store.write(lambda _tx: None)
    assert "store-writer" not in [thread.name for thread in threading.enumerate()]


def test_the_migrations_make_what_the_statements_expect(room: Room) -> None:
    with room.store.read() as conn:
        partial_only = {"jobs_worked"} if conn.dialect.name == "mysql" else set()
        opts = {"include_object": lambda _thing, name, *_: name not in partial_only}
        assert compare_metadata(MigrationContext.configure(conn, opts=opts), schema.metadata) == []
        assert migrate.revision(conn) == migrate.HEAD
    newest = max(path.name for path in (migrate.SCRIPTS / "versions").glob("[0-9]*.py"))
    assert newest.startswith(f"{migrate.HEAD}_")


def test_a_database_of_a_newer_release_is_left_alone(room: Room) -> None:
    room.close()
    room.sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreTooNew, match="9999"):
        Store.open(room.url)
    room.sql("UPDATE alembic_version SET version_num = ?", (migrate.HEAD,))
    room.open()
