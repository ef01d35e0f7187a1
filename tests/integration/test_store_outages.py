"""B20: a database that is stopped, killed, restarting, full or read-only is told as such at once; then work goes on."""

import gc
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from jobs.errors import StoreUnavailable
from jobs.model import Pick
from jobs.status import Status
from jobs.store import engines
from tests.support import wait
from tests.support.databases import Database
from tests.support.store_kit import Room, a_room, ok

QUICKLY_S = 12


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type()
        yield room


#: For tests about servers; SQLite has none.
served = pytest.mark.parametrize("database", ["mariadb", "postgresql"], indirect=True)


def refused(room: Room) -> None:
    began_s = time.monotonic()
    with pytest.raises(StoreUnavailable):
        room.submit(1)
    with pytest.raises(StoreUnavailable):
        room.report(("end", 1, 1, ok()))
    assert not room.service.healthy()
    assert time.monotonic() - began_s < QUICKLY_S


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
@served
def test_a_server_that_is_gone_is_told_and_work_goes_on_when_it_is_back(room: Room, how: signal.Signals) -> None:
    server = room.database.server
    assert server is not None
    first, second = room.submit(2)
    room.claim(first, second)
    room.report(("end", first, 1, ok("kept")))
    server.stop(how)
    try:
        refused(room)
        with pytest.raises(StoreUnavailable):
            room.service.jobs()
    finally:
        server.start()
    assert room.submit(1) == [3]
    room.report(("end", second, 1, ok("later")))
    assert [(row.job_id, row.result) for row in room.service.results(0).rows] == [(1, '"kept"'), (2, '"later"')]


@served
def test_connections_that_were_cut_cost_nobody_an_error(room: Room) -> None:
    room.submit(1)
    assert room.database.server is not None
    room.database.server.stop(signal.SIGKILL)
    room.database.server.start()
    assert room.submit(1) == [2]
    assert len(room.service.jobs().jobs) == 2


@served
def test_many_who_wait_for_an_absent_server_are_refused_together(room: Room) -> None:
    server = room.database.server
    assert server is not None
    server.stop(signal.SIGKILL)
    try:
        began_s = time.monotonic()
        with ThreadPoolExecutor(40) as hands:
            answers = [hands.submit(room.submit, 1) for _ in range(40)]
            assert all(isinstance(answer.exception(), StoreUnavailable) for answer in answers)
        assert time.monotonic() - began_s < QUICKLY_S
    finally:
        server.start()
    assert room.submit(1) == [1]


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
def test_an_absent_server_costs_no_descriptor(room: Room) -> None:
    server = room.database.server
    assert server is not None
    server.stop()
    gc.disable()
    try:
        refused(room)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(5):
            refused(room)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
    finally:
        gc.enable()
        server.start()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_server_that_only_reads_is_told_as_such(room: Room) -> None:
    room.submit(1)
    reading_only(room, "SET default_transaction_read_only = on", "on")
    try:
        with pytest.raises(StoreUnavailable, match="read-only"):
            room.submit(1)
        assert [one.status for one in room.service.jobs().jobs] == [Status.WAITING]
    finally:
        reading_only(room, "RESET ALL", "off")
    assert room.submit(1) == [2]


def reading_only(room: Room, change: str, expected: str) -> None:
    assert room.database.server is not None
    room.database.server.execute(f"ALTER SYSTEM {change}", "SELECT pg_reload_conf()")
    show = text("SHOW default_transaction_read_only")
    wait.until(lambda: room.store.write(lambda tx: tx.conn.execute(show).scalar()) == expected, what=change)


# -------------------------------------------------------------------------------------------------------------- SQLite


@pytest.fixture
def sqlite_room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as room:
        room.job_type()
        yield room


def test_sqlite_full_is_told_as_such_and_loses_nothing(sqlite_room: Room) -> None:
    room = sqlite_room
    kept = room.submit(3)

    def limit(pages: int) -> None:
        room.store.write(lambda tx: tx.conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}").fetchall())

    limit(1)  # it takes what there is as the least
    with pytest.raises(StoreUnavailable, match="full"):
        fill(room, kept)
    assert len(room.service.jobs(size=1000).jobs) == min(len(kept), 1000)
    limit(2**30)
    assert room.submit(1) == [len(kept) + 1]


def fill(room: Room, kept: list[int]) -> None:
    for _ in range(200):
        kept += room.submit(1000)


def test_sqlite_that_only_reads_is_told_as_such(sqlite_room: Room) -> None:
    room = sqlite_room
    room.submit(1)
    connection = room.store.write(lambda tx: tx.conn.connection.driver_connection)
    assert connection is not None
    connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreUnavailable, match="readonly"):
        room.submit(1)
    connection.execute("PRAGMA query_only = 0")
    assert room.submit(1) == [2]


def test_sqlite_locked_by_another_process_is_told_and_free_again_when_that_one_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_S", 0.2)
    holding = (
        "import sqlite3, sys, time\n"
        f"conn = sqlite3.connect({str(tmp_path / 'multijob.db')!r}, isolation_level=None)\n"
        "conn.execute('BEGIN IMMEDIATE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with a_room(tmp_path) as room:
        room.job_type()
        with subprocess.Popen([sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            refused(room)
            other.kill()
        assert room.submit(1) == [1]


# ------------------------------------------------------------------------------------------------------ several writers


def test_writers_of_several_processes_neither_clash_nor_share_a_number(room: Room) -> None:
    """Two stores, as two web processes have them: what one waits for, the other finishes."""
    other = Room(room.home, room.database)
    first: list[list[int]] = []
    try:
        with ThreadPoolExecutor(8) as hands:
            sides = [room, other] * 12
            first = list(hands.map(lambda side: side.submit(3, batch="b"), sides))
        jobs = [job for some in first for job in some]
        assert sorted(jobs) == list(range(1, len(jobs) + 1))
        assert all(some == list(range(some[0], some[0] + 3)) for some in first)
        claims = [room.service.claim(picks(jobs, "m1")), other.service.claim(picks(jobs, "m2"))]
        claimed = [one.job_id for claim in claims for one in claim.result(30)]
        assert sorted(claimed) == sorted(jobs)  # each once (G4)
        (summary,) = room.service.summary("crawl")
        assert summary.jobs == {Status.RUNNING: len(jobs)}
    finally:
        other.close()


def picks(jobs: list[int], machine: str) -> list[Pick]:
    return [Pick(job, machine, 0) for job in jobs]
