"""The lease: who gets it, when, and what a superseded holder can still do (nothing). On every kind of database."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from jobs.errors import StoreUnavailable, Superseded
from jobs.store import Store, leader
from jobs.store.leader import Lease
from orchestrator.config import Settings
from orchestrator.leader import Leadership, Watch, compare_secret, open_store
from tests.support import wait
from tests.support.databases import Database
from tests.support.store_kit import Room, a_room

LEASE_S = 0.6


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type()
        yield room


@pytest.fixture
def other(room: Room) -> Iterator[Store]:
    """Another process's store on the same database."""
    store = Store.open(room.url)
    yield store
    store.close()


def look(store: Store) -> Lease:
    with store.read() as conn:
        return leader.look(conn)


def take(store: Store, seen: Lease, owner: str = "a", *, within_s: float = 60.0) -> int | None:
    before_s = time.monotonic() + within_s
    return store.write(partial(leader.take, seen=seen, owner=owner, lease_s=1.0, now=5.0, before_s=before_s))


def test_a_lease_is_taken_from_what_was_seen_and_from_nothing_else(room: Room, other: Store) -> None:
    free = look(room.store)
    assert free == Lease(0, 0, "", 0.0, 0.0)
    assert take(room.store, free) == 1
    assert take(other, free, "b") is None  # somebody was quicker
    held = look(other)
    assert held == Lease(1, 0, "a", 5.0, 1.0)
    room.store.write(partial(leader.renew, epoch=1))
    assert take(other, held, "b") is None  # it lives
    assert take(other, look(other), "b", within_s=-1) is None  # whoever kept us waiting lives
    assert take(other, look(other), "b") == 2
    room.store.write(partial(leader.renew, epoch=1))
    room.store.write(partial(leader.release, epoch=1))
    assert look(other)[:3] == (2, 0, "b")


def test_of_many_who_try_at_once_one_gets_it(room: Room, other: Store) -> None:
    seen = look(room.store)
    tries = [store.submit_write(partial(_take, seen=seen)) for store in (room.store, other) * 5]
    assert sorted(str(one.result(30)) for one in tries) == ["1", *["None"] * 9]


def _take(tx: leader.Tx, seen: Lease) -> int | None:
    return leader.take(tx, seen, "x", 1.0, now=0.0, before_s=float("inf"))


def test_a_superseded_holder_writes_nothing_and_everyone_else_does(room: Room, other: Store) -> None:
    assert take(room.store, look(room.store)) == 1
    room.store.fence(partial(leader.fence, epoch=1))
    (job,) = room.submit(1)
    assert take(other, look(other), "b") == 2
    for verb in (partial(room.submit, 1), partial(room.claim, job), room.service.housekeeping):
        with pytest.raises(Superseded):
            verb()
    assert not room.service.healthy()
    assert room.service.job(job).job.status == 0
    beside = Room(room.home, room.database)  # a web process, which needs no lease
    assert beside.submit(1) == [job + 1]
    beside.close()


def test_nobody_takes_over_in_the_middle_of_a_write(room: Room, other: Store) -> None:
    assert take(room.store, look(room.store)) == 1
    room.store.fence(partial(leader.fence, epoch=1))
    entered, go = threading.Event(), threading.Event()

    def slow(_tx: object) -> None:
        entered.set()
        assert go.wait(10)

    written = room.store.submit_write(slow)
    assert entered.wait(10)
    taken = other.submit_write(partial(_take, seen=look(other)))
    time.sleep(0.3)  # nothing to wait for: it must not happen
    assert not taken.done()
    go.set()
    written.result(10)
    assert taken.result(30) == 2


def lead(room: Room, store: Store, name: str, ended: threading.Event | None = None) -> Leadership:
    home = room.home / name
    home.mkdir(exist_ok=True)
    return Leadership(store, home, LEASE_S, (ended or threading.Event()).set)


def test_a_standby_waits_while_renewals_come_and_takes_over_when_they_end(room: Room, other: Store) -> None:
    ended = threading.Event()
    first, second = lead(room, room.store, "one", ended), lead(room, other, "two")
    assert first.take(threading.Event())
    first.start()
    took = threading.Event()
    waiting = threading.Thread(target=lambda: second.take(threading.Event()) and took.set())
    waiting.start()
    renewals = look(other).renewals
    wait.until(lambda: look(other).renewals > renewals + 5, what="renewals for more than a lease")
    assert not took.is_set()
    first._over.set()  # as if the process were gone, or stood still
    assert took.wait(20)
    waiting.join()
    first._renew_once()
    assert ended.wait(20)
    assert first.lost
    first.stop()
    assert look(other).epoch == 2
    second.stop()
    assert look(other).owner == ""


def test_a_home_follows_its_own_dead_process_at_once_and_a_standby_can_be_told_to_stop(
    room: Room, other: Store
) -> None:
    dead = Leadership(room.store, room.home, 3600, lambda: None)
    assert dead.take(threading.Event())
    stopped = threading.Event()
    stranger = lead(room, other, "two")
    threading.Timer(0.3, stopped.set).start()
    assert not stranger.take(stopped)
    assert Leadership(other, room.home, 3600, lambda: None).take(threading.Event())
    assert look(other).epoch == 2


def test_silence_is_counted_by_the_watchers_clock_alone() -> None:
    watch = Watch()
    lease = Lease(3, 7, "a", since=1e12, lease_s=5)
    assert [watch.silent_s(lease, now) for now in (100.0, 104.0)] == [0.0, 4.0]
    assert watch.silent_s(lease._replace(renewals=8), 105.0) == 0.0
    assert watch.silent_s(lease._replace(renewals=8), 111.0) == 6.0
    watch.forget()  # the database did not answer in between
    assert watch.silent_s(lease._replace(renewals=8), 112.0) == 0.0


def test_the_database_of_a_home_is_for_its_account_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    for _ in range(2):
        store = open_store(Settings(home=home))
        try:
            modes = {path.name: path.stat().st_mode & 0o777 for path in home.glob("multijob.db*")}
            assert set(modes.values()) == {0o600}, modes
        finally:
            store.close()
        (home / "multijob.db").chmod(0o644)  # as it was before


def test_another_secret_than_before_is_told(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    compare_secret(room.service, b"a" * 32)
    compare_secret(room.service, b"a" * 32)
    assert "HOME/secret" not in caplog.text
    compare_secret(room.service, b"b" * 32, ours=False)
    compare_secret(room.service, b"b" * 32)
    assert caplog.text.count("HOME/secret") == 2
    compare_secret(room.service, b"b" * 32)
    assert caplog.text.count("HOME/secret") == 2


def test_an_outage_is_not_silence(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a standby cannot see proves nothing: after an outage it begins to count anew."""
    assert take(room.store, look(room.store), "alive") == 1
    standby = lead(room, room.store, "two")
    give_up = threading.Event()
    looks = iter([None, StoreUnavailable("away"), None, StoreUnavailable("away"), None])
    seen: list[float] = []

    def see() -> Lease:
        seen.append(time.monotonic())
        if isinstance(next(looks, None), StoreUnavailable):
            time.sleep(LEASE_S * 1.5)
            raise StoreUnavailable("away")
        if len(seen) == 5:
            give_up.set()
        return Lease(1, 0, "alive", 0.0, LEASE_S)

    monkeypatch.setattr(standby, "_look", see)
    assert not standby.take(give_up)
    assert look(room.store).epoch == 1
