"""The drop-in against the real web on a real store, over real HTTP: the manual's calls and their answers."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.model import MachineView, Pick
from MultiJob import MultiJob
from multijob import Client, Conflict, Invalid
from orchestrator.bulk import Bulk
from tests.support.databases import a_database
from tests.support.store_kit import Room, failed, ok
from web.accounts import Accounts
from web.app import create_app
from web.serve import Listener

JOB_FIELDS = {
    "id", "job_type", "priority", "input_data", "machine_id", "limit_count", "tag", "version", "status",
    "return_count", "result", "error", "clear", "spend_time", "batch", "create_time", "update_time",
}  # fmt: skip


class Server(Room):
    """A room with a listener before it; ``finish`` plays the machines."""

    def serve(self) -> None:
        self.token = self.service.create_token("sdk", ["admin"])
        self.listener = Listener(create_app(self.service, Accounts(self.service, b"s")), "127.0.0.1", 0, 4)
        self.listener.start()
        self.bulk = Bulk(self.service.operations)
        self.bulk.start()
        self.base_url = f"http://mj:{self.token}@127.0.0.1:{self.listener.port}"

    def finish(self, job_id: int, result: Any = None, *, good: bool = True) -> None:
        (claimed,) = self.service.claim([Pick(job_id, "m1", 0)]).result(10)
        self.report(("end", job_id, claimed.attempt, ok(result) if good else failed("bad_result")))


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Server]:
    home = tmp_path / "home"
    home.mkdir()
    with a_database("sqlite", home) as database:
        server = Server(home, database)
        server.job_type("test_job")
        server.serve()
        yield server
        server.listener.stop()
        server.bulk.stop()
        server.close()


@pytest.fixture
def client(api: Server) -> MultiJob:
    return MultiJob(base_ur=api.base_url)


def test_insert_and_look(api: Server, client: MultiJob) -> None:
    job_id = client.insert_job("test_job", 1, 2, data=3)
    api.finish(job_id, {"a": 1})
    detail = client.get_job_detail(job_id)
    assert (detail["code"], detail["status"]) == (200, 200)
    job = detail["data"]
    assert (job["id"], job["status"], job["result"]) == (1, 3, {"a": 1})
    assert job["input_data"] == {"args": [1, 2], "kwargs": {"data": 3}}
    assert set(job) == JOB_FIELDS


def test_a_failed_job_carries_its_traceback_in_result(api: Server, client: MultiJob) -> None:
    api.finish(client.insert_job("test_job"), good=False)
    assert client.get_job_detail(1)["data"]["result"] == "Traceback: no"


def test_settings_stick(api: Server, client: MultiJob) -> None:
    assert [client.set_batch("b"), client.set_tag("t"), client.set_priority(66), client.set_limit_count(2)] == [1] * 4
    client.insert_job(job_type="test_job", x=1)
    client.insert_job(job_type="test_job", x=2)
    for job in api.service.jobs().jobs:
        assert (job.batch, job.tag, job.priority, job.limit_count) == ("b", "t", 66, 2)


def test_lists_have_an_offset_and_a_total(client: MultiJob) -> None:
    for n in range(5):
        client.insert_job("test_job", n)
    answer = client.get_job_list(job_type="test_job", offset=1, limit=2)
    assert isinstance(answer, dict)
    assert [job["id"] for job in answer["data"]["data"]] == [4, 3]
    assert [job["input_data"]["args"] for job in answer["data"]["data"]] == [[3], [2]]
    assert answer["data"]["count"] == 5
    waiting = client.get_job_list(status=0)
    assert isinstance(waiting, dict)
    assert waiting["data"]["count"] == 5
    assert client.get_job_list() == 0


def test_actions_by_id_and_by_filter(api: Server, client: MultiJob) -> None:
    client.set_batch("b1")
    ids = [client.insert_job("test_job", n) for n in range(3)]
    assert client.stop_job(ids[0]) == client.kill_job(job_id=ids[1:2]) == 1
    assert [api.status(job) for job in ids] == [-1, -1, 0]
    assert client.rerun_job(batch="b1") == 1
    assert [api.status(job) for job in ids] == [0, 0, 0]
    assert client.copy_job(job_type="test_job") == 1
    assert client.delete_job(batch="b1", job_id=ids[:2]) == 1
    assert client.delete_job(batch="b1", job_id=[]) == 1
    assert [job.job_id for job in api.service.jobs().jobs] == [6, 5, 4, 3]
    assert client.kill_job() == 0


def test_failures_are_answers(api: Server, client: MultiJob, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert client.insert_job("unknown") == -1
    assert "'unknown' is not known" in caplog.text
    missing = client.get_job_detail(99)
    assert (missing["code"], missing["message"], missing["data"]) == (301, "there is no job 99", {})
    assert client.update_job_file_status("nobody")["code"] == 301
    assert client.rerun_job(batch="a,!b") == 0
    gone = MultiJob("http://127.0.0.1:1", token=api.token)
    assert gone.insert_job("test_job") == -1
    assert gone.get_job_detail(1) == {}
    assert gone.rerun_job(1) == 0


def test_job_types_and_local_tries(client: MultiJob, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "main.py").write_text("def work(a, b):\n    return {'result': a, 'return_data': b}\n")
    assert client.update_job_file_status("mine", job_path=folder)["data"] == {"version": 0}
    types = client.get_all_job_type()["data"]
    assert set(types) == {"mine", "test_job"}
    assert types["mine"]["version"] == types["mine"]["waiting_task"] == 0
    assert client.load_job_file(job_type="mine") == 1
    assert client.main is not None
    assert client.main(1, 2) == {"result": 1, "return_data": 2}
    assert client.return_main is None
    assert client.load_job_file() == 0
    (folder / "return_main.py").write_text("def work(data):\n    return data * 10\n")
    assert client.load_job_file(job_path=str(folder)) == 1
    assert client.return_main is not None
    assert client.return_main(client.main(1, 2)) == 20


def test_summaries_by_type_by_batch_and_of_one(api: Server, client: MultiJob) -> None:
    client.insert_job("test_job")
    client.set_batch("b2")
    api.clock.forward(60)
    api.finish(client.insert_job("test_job"))
    (all_,) = client.get_job_summary(job_type="test_job", batch=-1)["data"]
    assert (all_["waiting_task"], all_["finished_task"], all_["failed_task"], all_["batch"]) == (1, 1, 0, "")
    assert (all_["begin_time"], all_["update_time"]) == ("2027-01-15 08:00:00", "2027-01-15 08:01:00")
    assert [row["batch"] for row in client.get_job_summary(batch=None)["data"]] == ["b2", "2027-01-15"]
    assert [row["finished_task"] for row in client.get_job_summary(batch="b2")["data"]] == [1]


# ------------------------------------------------------------------------------------------------- the client, in bulk


@pytest.fixture
def typed(api: Server) -> Client:
    return Client(api.base_url)


def test_bulk_by_filter(api: Server, typed: Client) -> None:
    typed.submit_many("test_job", range(4), batch="b1")
    typed.submit_many("test_job", range(2), batch="b2", tag="gpu")
    foreseen = typed.bulk("kill", batch="!b2", dry_run=True)
    assert (foreseen.id, foreseen.matched, foreseen.changed, foreseen.skipped) == (None, 4, 4, {})
    assert api.status(1) == 0
    assert typed.bulk("kill", batch="!b2", expect=4)["changed"] == 4
    with pytest.raises(Conflict, match="4 jobs match now, 3 were expected"):
        typed.bulk("rerun", status="failed", expect=3)
    again = typed.rerun(status=["failed", "waiting"], job_type="test_job")
    assert (again.matched, again.changed, again.skipped) == (6, 4, {"waiting": 2})
    copied = typed.bulk("copy", tag="gpu")
    assert copied["ids"] == list(copied.jobs) == [7, 8]
    assert [row["id"] for row in typed.jobs(batch="b2", ids="5,7")] == [7, 5]
    assert {one.id for one in typed.operations()} >= {again.id, copied.id}
    assert typed.operation(again.id or 0).state == "done"
    assert typed.bulk("delete", ids=[1, 2, 99])["changed"] == 2


def test_bulk_needs_a_filter_of_the_grammar(typed: Client) -> None:
    typed.submit_many("test_job", range(2))
    for filters, field in (({}, "filter"), ({"status": "odd"}, "status"), ({"colour": "red"}, "colour")):
        with pytest.raises(Invalid) as caught:
            typed.bulk("delete", **filters)
        assert caught.value.field == field
    assert len(list(typed.jobs())) == 2


def test_machines_can_be_changed(api: Server, typed: Client) -> None:
    api.service.put_machines([MachineView(machine_id="lab-1")]).result(10)
    assert typed.change_machine("lab-1", tag=["gpu"], limit_process=2, paused=True) == [
        "tag",
        "limit_process",
        "paused",
    ]
    assert {row.key: row.value for row in api.service.overrides()} == {
        "tag": '["gpu"]',
        "limit_process": "2",
        "paused": "true",
    }
    with pytest.raises(Invalid) as caught:
        typed.change_machine("lab-1", limit_process=0)
    assert caught.value.field == "limit_process"


def test_summaries_say_when(api: Server, typed: Client) -> None:
    typed.submit_many("test_job", range(2), tag="gpu")
    (row,) = typed.summary()
    assert (row["tag"], row["begin_at"], row["updated_at"]) == ("gpu", api.clock.now, api.clock.now)
