"""Jobs, sets of jobs, operations, machines, job types and batches as objects, over real HTTP against a small API."""

import json
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from multijob import (
    Client,
    Invalid,
    JobFailed,
    JobSet,
    MultiJobError,
    NotFound,
    OperationFailed,
    WaitTimeout,
)
from tests.support.fake_api import TOKEN, FakeApi, small_zip

RUNNING = {"operation_id": 7, "action": "rerun", "matched": 9, "changed": 0, "skipped": {}, "state": "running"}
DONE = {**RUNNING, "changed": 8, "skipped": {"running": 1}, "state": "done"}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi().start()
    fake.types["crawl"] = [small_zip()]
    yield fake
    fake.stop()


@pytest.fixture
def client(api: FakeApi) -> Client:
    return Client(api.url, TOKEN, timeout_s=5)


def double(job: dict[str, Any]) -> Any:
    value = job["input"]["args"][0]
    if value == 13:
        raise ValueError("13 is not wanted")
    return value * 2


def asked(api: FakeApi, n: int = -1) -> tuple[str, str, Any]:
    method, path, _, body = api.requests[n]
    return method, path, json.loads(body) if body else None


# -------------------------------------------------------------------------------------------------------------- jobs


def test_a_job_is_asked_for_when_something_of_it_is_wanted(api: FakeApi, client: Client) -> None:
    client.insert("crawl", 3, depth=2)
    before = len(api.requests)
    job = client.job(1)
    assert repr(job) == "<Job 1>"
    assert len(api.requests) == before
    assert (job.status, job.status_word, job.finished, job.job_type) == (0, "waiting", False, "crawl")
    assert job.input == {"args": [3], "kwargs": {"depth": 2}}
    assert job["batch"] == job.batch == "2026-11-22"
    assert (job.machine, job.error, job.waiting_because) == (None, "", "")
    assert len(api.requests) == before + 1
    api.finish(1, {"pages": 4})
    assert job.status == 0, "as last seen"
    assert job.refresh().ok
    assert repr(job) == "<Job 1 crawl done>"
    assert json.loads(json.dumps(job, default=dict))["result"] == {"pages": 4}
    with pytest.raises(NotFound):
        _ = client.job(99).status


def test_the_result_of_a_job_or_its_failure(api: FakeApi, client: Client) -> None:
    api.work = double
    assert client.job(client.insert("crawl", 21)).result(timeout_s=5) == 42
    job = client.job(client.insert("crawl", 13))
    with pytest.raises(JobFailed, match=r"job 2 failed on m1 \(attempt 1, version 0, reason: error\)") as caught:
        job.result(timeout_s=5)
    assert "ValueError: 13 is not wanted" in str(caught.value)
    failure = caught.value
    assert (failure.job_id, failure.machine_id, failure.attempt, failure.version) == (2, "m1", 1, 0)
    assert failure.remote_traceback.endswith("13 is not wanted")
    assert job.wait(timeout_s=5).status == -1
    assert job.error.startswith("Traceback")
    assert job.machine is not None
    assert job.machine.id == "m1"


def test_a_result_that_is_not_there_yet(client: Client) -> None:
    with pytest.raises(WaitTimeout, match="1 job still unfinished; wait longer"):
        client.job(client.insert("crawl", 1)).result(timeout_s=0.05)


def test_actions_on_one_job(api: FakeApi, client: Client) -> None:
    job = client.job(client.insert("crawl"))
    assert job.kill().changed == 1
    job.rerun(elsewhere=True)
    assert asked(api) == ("POST", "/api/v1/jobs/bulk", {"action": "rerun", "ids": [1], "elsewhere": True})
    api.canned["POST", "/api/v1/jobs/bulk"] = {**DONE, "action": "copy", "ids": [5]}
    assert job.copy().id == 5
    assert job.log() == "printed\n"


def test_a_log_says_what_was_left_out(api: FakeApi, client: Client) -> None:
    api.log = {"head": "first\n", "tail": "last\n", "total": 1000}
    assert client.job(client.insert("crawl")).log() == "first\n\n… 989 bytes left out …\nlast\n"


def test_lists_take_filters_as_people_have_them(api: FakeApi, client: Client) -> None:
    api.canned["GET", "/api/v1/jobs"] = {"jobs": [{"id": 4, "status": -1, "job_type": "crawl"}], "next": None}
    since = datetime(2026, 11, 22, tzinfo=UTC)
    [job] = client.jobs(status=["failed", "done"], ids=JobSet(((1, 3),)), since=since, sort="-updated_at")
    query = parse_qs(urlsplit(api.requests[-1][1]).query)
    assert query == {
        "size": ["100"],
        "sort": ["-updated_at"],
        "status": ["failed,done"],
        "ids": ["1,2,3"],
        "since": [str(since.timestamp())],
    }
    count = len(api.requests)
    assert (job.id, job.status, dict(job)["job_type"]) == (4, -1, "crawl")
    assert len(api.requests) == count, "a row of a list is not asked for again"


# ------------------------------------------------------------------------------------------------------ sets of jobs


def test_a_set_follows_its_jobs(api: FakeApi, client: Client) -> None:
    api.work = double
    jobs = client.submit_many("crawl", [1, 2, 3])
    assert jobs.wait().done == 3
    assert [row.result for row in jobs.results()] == [2, 4, 6]
    assert [job.result() for job in jobs.as_completed()] == [2, 4, 6]
    assert [job.id for job in jobs.jobs()] == [1, 2, 3]
    assert pickle.loads(pickle.dumps(jobs)) == jobs  # noqa: S301 - our own
    assert jobs.delete().matched == 3


def test_values_come_in_the_order_of_the_inputs(api: FakeApi, client: Client) -> None:
    jobs = client.submit_many("crawl", range(4))
    for job_id in (3, 1, 4, 2):
        api.finish(job_id, f"of {job_id}")
    assert list(jobs.values()) == ["of 1", "of 2", "of 3", "of 4"]
    assert list(client.values("2026-11-22")) == ["of 1", "of 2", "of 3", "of 4"]


def test_map_gives_results_and_stops_at_a_failure(api: FakeApi, client: Client) -> None:
    api.work = double
    assert list(client.map("crawl", iter([5, 6]), batch="m")) == [10, 12]
    found = client.map("crawl", [1, 13, 2])
    assert next(found) == 2
    with pytest.raises(JobFailed, match="13 is not wanted"):
        next(found)


def test_a_set_without_a_client_says_so() -> None:
    with pytest.raises(Invalid, match=r"client\.jobset\(ids\)"):
        JobSet.of([1]).wait()


# -------------------------------------------------------------------------------------------------------- operations


def test_an_operation_is_waited_for(api: FakeApi, client: Client) -> None:
    api.canned["POST", "/api/v1/jobs/bulk"] = RUNNING
    api.canned["GET", "/api/v1/operations/7"] = [RUNNING, {**RUNNING, "changed": 4}, DONE]
    done = client.rerun(status="failed", machine_id="!m2", elsewhere=True)
    assert (done.state, done.matched, done.changed, done.skipped) == ("done", 9, 8, {"running": 1})
    assert asked(api, 0)[2] == {
        "action": "rerun",
        "filter": {"status": "failed", "machine_id": "!m2"},
        "elsewhere": True,
    }


def test_an_operation_that_is_not_waited_for_can_be_stopped(api: FakeApi, client: Client) -> None:
    api.canned["POST", "/api/v1/jobs/bulk"] = RUNNING
    api.canned["POST", "/api/v1/operations/7/stop"] = {}
    api.canned["GET", "/api/v1/operations/7"] = {**RUNNING, "changed": 2, "state": "stopped"}
    going = client.rerun(batch="b", wait=False)
    assert going.state == "running"
    with pytest.raises(WaitTimeout, match="9 jobs"):
        going.wait(timeout_s=0)
    assert going.stop().state == "stopped"
    assert going.wait().changed == 2


def test_an_operation_that_failed_says_why(api: FakeApi, client: Client) -> None:
    api.canned["POST", "/api/v1/jobs/bulk"] = {**RUNNING, "state": "failed", "why": "the disk is full"}
    with pytest.raises(OperationFailed, match="the disk is full; call again"):
        client.kill(batch="b")


def test_which_jobs_must_be_said(api: FakeApi, client: Client) -> None:
    for act in (client.kill, client.rerun, client.copy, client.delete, client.clear):
        with pytest.raises(Invalid, match="no job is named; name ids, or a filter"):
            act()
    assert not api.requests
    assert client.delete([]).matched == 0
    client.delete("monday", dry_run=True)
    assert asked(api)[2] == {"action": "delete", "filter": {"batch": "monday"}, "dry_run": True}
    client.rerun([3, 1], status="failed", expect=2)
    assert asked(api)[2] == {"action": "rerun", "filter": {"status": "failed", "ids": [1, 3]}, "expect": 2}


def test_operations_are_listed(api: FakeApi, client: Client) -> None:
    api.canned["GET", "/api/v1/operations"] = {"operations": [RUNNING]}
    api.canned["GET", "/api/v1/operations/7"] = DONE
    [one] = client.operations()
    assert one.id == 7
    assert client.operation(7).state == "done"


# ------------------------------------------------------------------------------------------- machines and job types


def test_machines_are_looked_at_and_led(api: FakeApi, client: Client) -> None:
    machine = client.machine("m1")
    assert (machine.state, machine.running) == ("ready", 1)
    for verb in ("pause", "resume", "drain", "close"):
        api.canned["POST", f"/api/v1/machines/m1/{verb}"] = {"command_id": None, "state": "done", "answer": {}}
        assert getattr(machine, verb)() is machine
    api.canned["POST", "/api/v1/machines/m1/doctor"] = {"command_id": 4, "state": "waiting", "answer": None}
    found = {"command_id": 4, "state": "done", "answer": {"steps": ["resolve"]}}
    api.canned["GET", "/api/v1/commands/4"] = [{**found, "state": "running", "answer": None}, found]
    assert machine.doctor() == {"steps": ["resolve"]}
    api.canned["GET", "/api/v1/commands/4"] = {"state": "failed", "answer": {"error": "no route", "remedy": "dig"}}
    with pytest.raises(MultiJobError, match="no route; dig"):
        machine.doctor()
    with pytest.raises(NotFound, match="there is no machine nowhere"):
        _ = client.machine("nowhere").state


def test_job_types_have_versions(api: FakeApi, client: Client) -> None:
    crawl = client.job_type("crawl")
    assert crawl.version == 0
    api.canned["GET", "/api/v1/job_types/crawl/versions/0/diff"] = {"files": []}
    assert crawl.diff(against=2) == {"files": []}
    assert api.requests[-1][1].endswith("diff?against=2")
    api.canned["POST", "/api/v1/job_types/crawl/rollback"] = {"version": 3, "changed": True}
    assert crawl.rollback(1) == (3, True)
    assert asked(api)[2] == {"version": 1}
    assert crawl.load().main(x=4) == {"result": 4}
    assert client.job(crawl.insert(5)).input["args"] == [5]


# ----------------------------------------------------------------------------------------------- batches and failures


def test_a_batch_counts_and_acts(api: FakeApi, client: Client) -> None:
    counts = {"waiting": 1, "running": 2, "returning": 0, "done": 5, "failed": 1, "return_failed": 1}
    row = {"batch": "b", "jobs": counts, "rate_per_s": 2.0, "eta_s": 1.5}
    api.canned["GET", "/api/v1/batches"] = {"batches": [row], "next": None}
    [batch] = client.batches()
    assert batch.progress == (5, 2, 3, 10)
    batch.rerun(status="failed", dry_run=True)
    assert asked(api)[2]["filter"] == {"status": "failed", "batch": "b"}


def test_failures_are_rerun_elsewhere_and_muted(api: FakeApi, client: Client) -> None:
    group = {"fingerprint": "f1", "exception": "ValueError", "message": "no", "count": 3}
    api.canned["GET", "/api/v1/failures"] = {"groups": [group]}
    [one] = client.failures(job_type="crawl")
    assert repr(one) == "<3 × ValueError: no>"
    api.canned["POST", "/api/v1/jobs/bulk"] = DONE
    one.rerun(elsewhere=True)
    assert asked(api)[2] == {"action": "rerun", "filter": {"q": "f1"}, "elsewhere": True}
    api.canned["POST", "/api/v1/failures/f1/mute"] = {}
    one.mute()
    assert asked(api)[2] == {"until_next_version": True}
