"""Two whole servers on one database (G18): the second waits, takes over, and the first can write nothing more."""

import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from multijob import Client
from orchestrator.app import EXIT_SUPERSEDED
from tests.support import jobs, wait
from tests.support.databases import Database
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]

#: On two workers a good deal longer than a take-over.
JOBS = 60
SECONDS = 0.4


class Pair:
    """Two homes with the same secret, machines and database, as an operator sets them up."""

    def __init__(self, hosts: Hosts, folder: Path, database: Database, **settings: object) -> None:
        self.database = database
        self.ledger = folder / "ledger"
        inventory = hosts.inventory(limit_process=2)
        self.servers = [
            RunningServer(folder / f"home-{number}", inventory, db=database.url, **settings) for number in (1, 2)
        ]
        first, second = self.servers
        (first.home / "known_hosts").write_text((hosts.home / "known_hosts").read_text())
        (second.home / "known_hosts").write_text((hosts.home / "known_hosts").read_text())
        first.start()
        shutil.copy(first.home / "secret", second.home / "secret")
        second.begin()
        wait.until(lambda: "standby: " in second.log, what="the standby's word")
        assert str(first.home) in second.log
        assert not (second.home / "url").exists()

    def submit(self) -> None:
        """Work for a few seconds, under way."""
        first = self.servers[0]
        first.job("ledger", main=jobs.LEDGER)
        client = first.client()
        client.register("ledger")
        client.submit_many("ledger", [(str(self.ledger), number, SECONDS) for number in range(JOBS)], limit_count=1)
        wait.until(lambda: self.started() > 4, what="work", timeout_s=60)

    def started(self) -> int:
        return self.ledger.read_text().count("start") if self.ledger.exists() else 0

    def all_done_once(self, client: Client) -> None:
        """The ledger balances: every job done, none begun twice."""
        wait.until(lambda: self.statuses() == {3: JOBS}, what="the end of all jobs", timeout_s=90)
        lines = Counter(self.ledger.read_text().split("\n")[:-1])
        assert lines == {f"{what} {number}": 1 for what in ("start", "end") for number in range(JOBS)}
        assert client.job(JOBS)["status"] == 3

    def statuses(self) -> dict[int, int]:
        return dict(self.database.sql("SELECT status, count(*) FROM jobs GROUP BY status"))

    def epoch(self) -> int:
        return int(self.database.sql("SELECT epoch FROM leader")[0][0])

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


@pytest.fixture
def pair(hosts: Hosts, tmp_path: Path, database: Database, request: pytest.FixtureRequest) -> Iterator[Pair]:
    hosts.start()
    made = Pair(hosts, tmp_path, database, **getattr(request, "param", {}))
    yield made
    made.stop()


def test_the_second_takes_over_after_a_kill_and_finishes_the_work(pair: Pair) -> None:
    first, second = pair.servers
    pair.submit()
    began_s = time.monotonic()
    first.kill()
    second.wait_active(30)
    assert pair.statuses() != {3: JOBS}
    print(f"{pair.database.kind}: took over within {time.monotonic() - began_s:.1f} s")
    pair.all_done_once(second.client())
    assert pair.epoch() == 2
    first.begin()  # the other way round now
    wait.until(lambda: str(second.home) in first.log, what="the standby's word")


def freeze(pair: Pair, server: RunningServer) -> None:
    """Between two writes: SQLite's lock would stay with a process that stands still, and nobody could take over."""
    with ExitStack() as stack:
        if pair.database.kind == "sqlite":
            conn = stack.enter_context(
                closing(sqlite3.connect(pair.database.url.removeprefix("sqlite:///"), timeout=60))
            )
            conn.execute("BEGIN IMMEDIATE")
        os.kill(server.pid, signal.SIGSTOP)
        wait.until(lambda: set(states(server.pid)) == {"T"}, what="all its threads to stand still")


def states(pid: int) -> list[str]:
    """Of all threads: the letter after the name in parentheses."""
    return [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]


@pytest.mark.parametrize("pair", [{"lease_s": 2}], indirect=True)
def test_a_frozen_leader_that_comes_back_writes_nothing_and_ends(pair: Pair) -> None:
    first, second = pair.servers
    pair.submit()
    freeze(pair, first)
    try:
        second.wait_active(60)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert first.wait_end(60) == EXIT_SUPERSEDED
    assert "another server has taken the lead" in first.log
    pair.all_done_once(second.client())
    assert pair.epoch() == 2


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_leader_that_stops_in_order_is_followed_at_once(pair: Pair) -> None:
    first, second = pair.servers
    first.stop()
    second.wait_active(30)
    assert pair.epoch() == 2


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_standby_that_is_told_to_stop_stops(pair: Pair) -> None:
    first, second = pair.servers
    os.kill(second.pid, signal.SIGTERM)
    assert second.wait_end() == 0
    assert pair.epoch() == 1
    first.kill()
    first.start()  # its own dead lease keeps nobody waiting
    assert pair.epoch() == 2
