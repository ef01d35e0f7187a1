"""Jobs over HTTP: submit, list, look into, act on; and what happens to requests that are not quite right."""

import json

import pytest

from jobs.errors import StoreUnavailable
from jobs.status import Reason, Status
from tests.support.fake_service import FakeService, attempt_of
from web.accounts import Accounts
from web.app import WebOptions, create_app


class House:
    """An app on a fake service where everyone is admin."""

    def __init__(self) -> None:
        self.service = FakeService()
        self.app = create_app(self.service, Accounts(self.service, b"secret"), WebOptions(auth=False))
        self.client = self.app.test_client()

    def submit(self, *inputs: object, key: str | None = None, **members: object):
        headers = {} if key is None else {"Idempotency-Key": key}
        body = {"job_type": "new_job", "inputs": list(inputs), **members}
        return self.client.post("/api/v1/jobs", json=body, headers=headers)


@pytest.fixture
def house():
    return House()


# ------------------------------------------------------------------------------------------------------------- submit


def test_submit_stores_all_jobs_and_says_where(house):
    first = house.submit({"args": [1], "kwargs": {}}, {"args": [2], "kwargs": {"label": "中"}}, batch="b", tag="gpu")
    second = house.submit({}, priority=5, limit_count=0)
    assert (first.status_code, first.json) == (201, {"first_id": 1, "count": 2, "cursor": 0})
    assert second.json["first_id"] == 3
    assert [json.loads(text) for text in house.service.inputs.values()] == [
        {"args": [1], "kwargs": {}},
        {"args": [2], "kwargs": {"label": "中"}},
        {"args": [], "kwargs": {}},
    ]
    assert (house.service.all_jobs[1].batch, house.service.all_jobs[1].tag) == ("b", "gpu")
    assert (house.service.all_jobs[3].priority, house.service.all_jobs[3].limit_count) == (5, 0)


def test_the_same_key_and_body_give_the_same_ids(house):
    first = house.submit({"args": [1]}, key="k")
    assert house.submit({"args": [1]}, key="k").json == first.json
    assert house.submit({"args": [2]}, key="k").status_code == 409
    assert len(house.service.all_jobs) == 1


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"job_type": 1}, "job_type"),
        ({"job_type": "../x"}, "job_type"),
        ({"job_type": None}, "job_type"),
        ({"batch": "a,b"}, "batch"),
        ({"batch": "x" * 65}, "batch"),
        ({"batch": "\ud800"}, "batch"),
        ({"tag": "\u0000"}, "tag"),
        ({"tag": 5}, "tag"),
        ({"priority": "1"}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 10**30}, "priority"),
        ({"limit_count": -1}, "limit_count"),
        ({"limit_count": 10**30}, "limit_count"),
        ({"colour": "red"}, "colour"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"args": 1}]}, "inputs.0.args"),
    ],
)
def test_a_wrong_member_is_named(house, members, field):
    house.service.types["../x"] = house.service.types["new_job"]
    response = house.client.post("/api/v1/jobs", json={"job_type": "new_job", "inputs": [{}]} | members)
    assert response.status_code == 422
    assert response.json["error"]["field"] == field
    assert field.split(".")[0] in response.json["error"]["message"]
    assert house.service.all_jobs == {}


def test_a_missing_job_type_is_named(house):
    response = house.client.post("/api/v1/jobs", json={"inputs": [{}]})
    assert response.json["error"]["field"] == "job_type"


def test_an_unknown_job_type_is_told_apart(house):
    error = house.submit({}, job_type="nwe_job").json["error"]
    assert (error["code"], error["field"]) == ("unknown_job_type", "job_type")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"inputs":[{"args":[NaN]}]}'])
def test_what_is_not_json_is_a_400(house, body):
    response = house.client.post("/api/v1/jobs", data=body, content_type="application/json")
    assert response.status_code in (400, 422)
    assert response.json["error"]["message"]


def test_a_form_is_not_json(house):
    response = house.client.post("/api/v1/jobs", data={"job_type": "new_job"})
    assert response.status_code == 415


def test_a_body_over_the_limit_is_refused(house):
    response = house.client.post("/api/v1/jobs", data=b" " * (16 * 1024 * 1024 + 1), content_type="application/json")
    assert (response.status_code, response.json["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize("key", ["", "x" * 200, "é", "a\tb"])
def test_a_strange_idempotency_key_is_refused(house, key):
    response = house.submit({}, key=key)
    assert (response.status_code, response.json["error"]["field"]) == (422, "Idempotency-Key")


def test_a_database_that_is_away_is_a_503_to_repeat(house):
    house.service.failure = StoreUnavailable("locked")
    response = house.submit({})
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "locked" not in response.text


# --------------------------------------------------------------------------------------------------------------- list


def test_pages_follow_each_other(house):
    house.submit(*[{}] * 5)
    ids, after = [], ""
    while True:
        page = house.client.get(f"/api/v1/jobs?size=2{after}").json
        ids.append([job["id"] for job in page["jobs"]])
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert ids == [[5, 4], [3, 2], [1]]


def test_filters(house):
    house.submit({}, {}, batch="a")
    house.submit({}, batch="b", tag="gpu")
    house.service.finish(1, "1")
    house.service.finish(2, None, error="boom")

    def found(query: str) -> list[int]:
        return [job["id"] for job in house.client.get(f"/api/v1/jobs?{query}").json["jobs"]]

    assert found("batch=a") == [2, 1]
    assert found("tag=gpu") == [3]
    assert found("machine_id=lab-1&job_type=new_job") == [2, 1]
    assert found("status=done") == [1]
    assert found("status=3,-1") == [2, 1]
    assert found("status=waiting,failed") == [3, 2]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("size=0", "size"),
        ("size=1001", "size"),
        ("size=x", "size"),
        ("after=-1", "after"),
        ("after=" + "9" * 30, "after"),
        ("status=finished", "status"),
        ("status=1.5", "status"),
        ("colour=red", "colour"),
        ("batch=a&batch=b", "batch"),
    ],
)
def test_a_wrong_parameter_is_named(house, query, field):
    response = house.client.get(f"/api/v1/jobs?{query}")
    assert response.status_code == 422
    assert response.json["error"]["field"] == field


# ------------------------------------------------------------------------------------------------------------ one job


def test_one_job_with_its_texts(house):
    house.submit({"args": [1]})
    house.service.finish(1, '{"a": [1, "\\u4e2d"]}', count=6)
    job = house.client.get("/api/v1/jobs/1").json
    assert job["input"] == {"args": [1], "kwargs": {}}
    assert job["result"] == {"a": [1, "中"]}
    assert (job["status"], job["count"], job["error"], job["waiting_because"]) == (3, 6, None, None)


def test_a_waiting_job_has_no_result(house):
    house.submit({})
    job = house.client.get("/api/v1/jobs/1").json
    assert (job["result"], job["return_data"], job["error"], job["version"]) == (None, None, None, -1)


@pytest.mark.parametrize("path", ["2", "2/attempts", "2/log", "0", "9" * 18])
def test_a_job_that_is_not_there(house, path):
    response = house.client.get(f"/api/v1/jobs/{path}")
    assert (response.status_code, response.json["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["-1", "x", "9" * 5000, "1/more"])
def test_a_path_that_is_no_job(house, path):
    assert house.client.get(f"/api/v1/jobs/{path}").status_code == 404


def test_attempts_and_their_logs(house):
    house.submit({})
    house.service.finish(1, "1")
    log = {"stdout": {"head": "hello\n", "tail": "", "total": 6}}
    failed = attempt_of(1, reason=Reason.ERROR, result=None, error="Traceback", exit_code=1, log=json.dumps(log))
    house.service.ended[1] = [failed, attempt_of(1, attempt=2, result='"fine"')]

    attempts = house.client.get("/api/v1/jobs/1/attempts").json["attempts"]
    assert [one["attempt"] for one in attempts] == [1, 2]
    assert [one["result"] for one in attempts] == [None, "fine"]
    assert [one["has_log"] for one in attempts] == [True, False]
    first = house.client.get("/api/v1/jobs/1/log?attempt=1").json
    over = {"running": False, "live": False, "next_offset": 6}
    assert first == {"attempt": 1, "stream": "stdout", "head": "hello\n", "tail": "", "total": 6, **over}
    assert house.client.get("/api/v1/jobs/1/log?attempt=1&stream=stderr").json["total"] == 0
    assert house.client.get("/api/v1/jobs/1/log").json["attempt"] == 2
    assert house.client.get("/api/v1/jobs/1/log?attempt=3").status_code == 404
    assert house.client.get("/api/v1/jobs/1/log?stream=both").json["error"]["field"] == "stream"


@pytest.fixture
def printing(house):
    """Job 1 runs its second attempt on lab-1, which has printed ten bytes."""
    house.submit({})
    running = {"status": Status.RUNNING, "attempt": 2, "machine_id": "lab-1"}
    house.service.all_jobs[1] = house.service.all_jobs[1]._replace(**running)
    house.service.ended[1] = [attempt_of(1, reason=Reason.ERROR, result=None, error="Traceback")]
    printed = "0123456789"

    def hear(machine_id, message):
        offset = message["offset"] if message["offset"] >= 0 else max(0, len(printed) + message["offset"])
        frame = {"t": "log", "n": message["n"], "offset": offset, "total": 10, "text": printed[offset:]}
        house.service.live.take(machine_id, frame)
        return True

    house.service.live.on_watch = hear
    return house


def test_the_log_of_a_running_attempt(printing):
    def log(query: str = "") -> dict:
        return printing.client.get(f"/api/v1/jobs/1/log?limit=16{query}").json

    about = {"attempt": 2, "stream": "stdout", "running": True, "live": True, "total": 10, "next_offset": 10}
    assert log() == {**about, "head": "", "tail": "0123456789"}
    part = {**about, "end": 10, "missing": None, "left_out": 0}
    assert log("&offset=4") == {**part, "offset": 4, "text": "456789"}
    assert log("&offset=-3") == {**part, "offset": 7, "text": "789"}
    assert log("&attempt=2&offset=10&wait_s=0.1") == {**part, "offset": 10, "text": ""}
    assert log("&attempt=1")["running"] is False
    assert log("&attempt=3")["error"]["code"] == "not_found"


def test_the_log_of_a_machine_that_is_away(printing):
    printing.service.live.on_watch = lambda _machine, _message: False
    found = printing.client.get("/api/v1/jobs/1/log?offset=5&wait_s=20").json
    assert (found["running"], found["live"], found["text"], found["next_offset"]) == (True, False, "", 5)


def test_how_far_a_job_is_stands_in_its_row(printing):
    printing.service.live.take("lab-1", {"t": "progress", "rows": [[1, 2, 3, 12]]})
    for row in (printing.client.get("/api/v1/jobs/1").json, printing.client.get("/api/v1/jobs").json["jobs"][0]):
        assert (row["progress"]["n"], row["progress"]["total"], row["progress"]["eta_s"]) == (3, 12, None)


def test_results_of_any_depth_are_passed_on_unread(house):
    house.submit({})
    deep = "[" * 50_000 + "]" * 50_000
    house.service.finish(1, deep)
    assert deep in house.client.get("/api/v1/jobs/1").text


# ------------------------------------------------------------------------------------------------------------ actions


def test_actions_say_how_many(house):
    house.submit({}, {}, {})
    house.service.finish(1, "1")

    def act(action: str, *ids: int) -> dict:
        return house.client.post("/api/v1/jobs/actions", json={"action": action, "ids": list(ids)}).json

    assert act("kill", 1, 2, 99) == {"matched": 2, "changed": 1, "skipped": {"done": 1}}
    assert act("rerun", 1, 2) == {"matched": 2, "changed": 1, "skipped": {"waiting": 1}}
    assert act("copy", 1, 2)["ids"] == [4, 5]
    assert act("delete", 3)["changed"] == 1
    told = [(entry.action, entry.rows, entry.who, entry.source) for entry in house.service.audited]
    assert told == [
        ("jobs.kill", 1, "anyone", "127.0.0.1"),
        ("jobs.rerun", 1, "anyone", "127.0.0.1"),
        ("jobs.copy", 2, "anyone", "127.0.0.1"),
        ("jobs.delete", 1, "anyone", "127.0.0.1"),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "burn", "ids": [1]}, "action"),
        ({"action": "kill"}, "ids"),
        ({"action": "kill", "ids": "1"}, "ids"),
        ({"action": "kill", "ids": ["1"]}, "ids.0"),
        ({"action": "kill", "ids": [1, 10**30]}, "ids"),
        ({"action": "kill", "ids": [-1]}, "ids"),
        ({"action": "kill", "ids": [1], "all": True}, "all"),
    ],
)
def test_a_wrong_action_is_named(house, body, field):
    response = house.client.post("/api/v1/jobs/actions", json=body)
    assert (response.status_code, response.json["error"]["field"]) == (422, field)


def test_the_counters(house):
    house.submit({}, {}, batch="a")
    house.submit({}, batch="b")
    house.service.finish(1, "1")
    whole = house.client.get("/api/v1/summary").json["summary"]
    assert [(one["batch"], one["jobs"]["0"], one["jobs"]["3"]) for one in whole] == [(None, 2, 1)]
    one = house.client.get("/api/v1/summary?batch=b&job_type=new_job").json["summary"]
    assert [(part["batch"], part["jobs"]["0"]) for part in one] == [("b", 1)]
    assert {str(int(status)) for status in Status} == set(whole[0]["jobs"])
