"""The SDK's nouns against the real web on a real store, over real HTTP: what is asked is what the server answers."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.model import MachineView, Pick
from multijob import Client, Invalid, NotAllowed, NotFound
from multijob.results import WAIT_S, Results
from orchestrator.bulk import Bulk
from tests.support.store_kit import Room, a_room, failed, ok
from web.accounts import Accounts
from web.app import create_app
from web.serve import Listener


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    (tmp_path / "home").mkdir()
    with a_room(tmp_path / "home") as made:
        made.job_type("crawl")
        yield made


@pytest.fixture
def url(room: Room) -> Iterator[str]:
    listener = Listener(create_app(room.service, Accounts(room.service, b"s")), "127.0.0.1", 0, 4)
    bulk = Bulk(room.service.operations)
    bulk.start()
    listener.start()
    yield f"http://127.0.0.1:{listener.port}"
    listener.stop()
    bulk.stop()


@pytest.fixture
def client(room: Room, url: str) -> Client:
    return Client(url, room.service.create_token("sdk", ["admin"]))


def finish(room: Room, job_id: int, *, good: bool = True, machine: str = "m1") -> None:
    [claimed] = room.service.claim([Pick(job_id, machine, 0)]).result(10)
    said = ok(job_id) if good else failed(error=f'File "main.py", line 3, in work\nValueError: {job_id} is odd')
    room.report(("end", job_id, claimed.attempt, said), machine=machine)


def test_batches_know_how_far_they_are(room: Room, client: Client) -> None:
    jobs = client.submit_many("crawl", range(4), batch="b1", limit_count=0)
    client.insert("crawl", 9)
    finish(room, 1)
    finish(room, 2, good=False)
    batch = client.batch("b1")
    assert batch.counts == {"waiting": 2, "running": 0, "returning": 0, "done": 1, "failed": 1, "return_failed": 0}
    assert batch.progress == (1, 1, 2, 4)
    assert {one.name for one in client.batches()} == {"b1", client.job(5).batch}
    assert [one.name for one in client.batches(q="b1")] == ["b1"]
    assert [row.id for row in batch.results(wait=False)] == [1, 2]
    assert batch.rerun(status="failed", dry_run=True).matched == 1
    assert batch.kill().changed == 2
    assert batch.delete(expect=4).changed == 4
    assert len(jobs) == 4


def test_who_has_all_results_does_not_wait_for_a_count(
    room: Room, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many jobs that the server does not count the unfinished ones for each page, but only when it is silent."""
    monkeypatch.setattr("jobs.store.results.COUNT_LIMIT", 1)
    jobs = client.submit_many("crawl", range(3), limit_count=0)
    for job_id in jobs:
        finish(room, job_id)
    waits: list[float] = []
    page = Results._page

    def noted(self: Results, question: dict[str, Any]) -> Iterator[Any]:
        waits.append(question["wait_s"])
        return page(self, question)

    monkeypatch.setattr(Results, "_page", noted)
    assert [row.id for row in client.results(jobs)] == [1, 2, 3]
    assert waits == [WAIT_S, 0.0]
    waits.clear()
    rerun = client.rerun([2]).changed
    assert rerun == 1
    rows = client.results(jobs)
    seen = [next(rows).id, next(rows).id]
    later = threading.Timer(0.3, finish, (room, 2))
    later.start()
    assert [*seen, *(row.id for row in rows)] == [1, 3, 2]
    later.join()
    assert waits[-1] == 0.0


def test_failures_are_grouped_rerun_and_muted(room: Room, client: Client) -> None:
    client.submit_many("crawl", range(3), limit_count=0)
    for job_id in (1, 2):
        finish(room, job_id, good=False, machine=f"m{job_id}")
    [group] = client.failures(job_type="crawl")
    assert (group["count"], group["machines"]) == (2, {"m1": 1, "m2": 1})
    assert "ValueError" in repr(group)
    group.mute()
    assert group.refresh()["muted"]
    again = group.rerun(elsewhere=True)
    assert (again.matched, again.changed, again["elsewhere"]) == (2, 2, True)
    assert [job.status for job in client.jobs(ids=[1, 2])] == [0, 0]


def test_counts_by_the_hour_and_what_waits(room: Room, client: Client) -> None:
    client.submit_many("crawl", range(3))
    finish(room, 1)
    hours = client.history(2, "crawl")
    assert len(hours) == 2
    assert sum(row["jobs"] for hour in hours for row in hour["rows"]) == 3
    [summary] = client.summary("crawl")
    assert summary["jobs"]["3"] == 1
    assert [row["job_type"] for row in client.waiting()] == ["crawl"]


def test_operations_can_be_found_again(room: Room, client: Client) -> None:
    client.submit_many("crawl", range(5), batch="b")
    done = client.copy(batch="b")
    assert list(done.jobs) == [6, 7, 8, 9, 10]
    found = client.operation(done.id or 0)
    assert (found.state, found.changed, list(found.jobs)) == ("done", 5, [6, 7, 8, 9, 10])
    assert done.id in [one.id for one in client.operations()]
    with pytest.raises(NotFound):
        client.operation(999)


def test_machines_are_led_by_their_levers(room: Room, client: Client) -> None:
    room.service.put_machines([MachineView(machine_id="lab-1", name="the lab")]).result(10)
    machine = client.machine("lab-1")
    assert machine.name == "the lab"
    machine.pause()
    assert overrides(room) == {"paused": "true"}
    machine.drain().resume().set(limit_process=3, tag="gpu")
    assert overrides(room) == {"paused": "false", "closed": "false", "limit_process": "3", "tag": '["gpu"]'}
    with pytest.raises(Invalid) as caught:
        machine.set(limit_process=0)
    assert caught.value.field == "limit_process"


def overrides(room: Room) -> dict[str, str]:
    return {row.key: row.value for row in room.service.overrides()}


def test_versions_differ_and_come_back(room: Room, client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in (1, 2):
        (folder / "main.py").write_text(f"def work():\n    return {number}\n")
        assert client.register("mine", folder) == (number - 1, True)
    mine = client.job_type("mine")
    assert (mine.version, [one["version"] for one in mine.versions()]) == (1, [1, 0])
    assert "+    return 2" in str(mine.diff())
    assert "-    return 2" in str(mine.diff(0, against=1))
    assert mine.rollback(0).changed
    assert mine.load().main() == 1
    with pytest.raises(NotFound):
        mine.rollback(77)
    client.submit_many("mine", [(), ()])
    assert mine.forget() == 2
    with pytest.raises(NotFound):
        mine.refresh()


def test_lists_are_sorted_and_filtered_by_the_server(room: Room, client: Client) -> None:
    client.submit_many("crawl", range(5), batch="b")
    finish(room, 3)
    assert [job.id for job in client.jobs(sort="id", size=2)] == [1, 2, 3, 4, 5]
    assert [job.id for job in client.jobs(status=["done", "failed"])] == [3]
    assert [job.id for job in client.jobs(q="2")] == [2]
    assert [job.id for job in client.jobs(since=room.clock.now + 1)] == []


def test_a_token_that_may_not_is_told_what_to_do(room: Room, url: str) -> None:
    reader = Client(url, room.service.create_token("eyes", ["read"]))
    with pytest.raises(NotAllowed, match=r"scope submit.*; use a token with that scope; mj token new makes one"):
        reader.insert("crawl")
    with pytest.raises(NotAllowed, match="use a token that is still valid"):
        Client(url, "mj_wrong").server()
