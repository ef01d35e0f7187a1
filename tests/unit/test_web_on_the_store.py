"""The web on the real service and a real SQLite file: the walk of a job as far as HTTP carries it."""

import io
import json
import sqlite3
import threading
import zipfile

import pytest

from jobs.model import Pick
from jobs.service import JobService
from jobs.store import Store
from remote_runner import protocol
from remote_runner.protocol import Record
from web import gate
from web.accounts import Accounts
from web.app import WebOptions, create_app
from web.reports import RunnerKey, create_reports_app

KEY = b"k" * 32


class House:
    """Both apps on one store; ``run`` plays the engine and a node for one job."""

    def __init__(self, folder) -> None:
        self.db = folder / "multijob.db"
        self.store = Store.open(f"sqlite:///{self.db}")
        self.service = JobService(self.store, folder / "jobs", folder / "cache")
        self.monotonic_now = 0.0
        accounts = Accounts(self.service, b"secret", monotonic=lambda: self.monotonic_now)
        self.client = create_app(self.service, accounts, WebOptions()).test_client()
        self.reports = create_reports_app(self.service, {"r1": RunnerKey("lab-1", KEY)}.get).test_client()
        self.headers = {"Authorization": f"Bearer {self.service.create_token('tester', ['admin'])}"}
        self.seq = 0

    def get(self, path: str):
        return self.client.get(f"/api/v1/{path}", headers=self.headers)

    def post(self, path: str, body: object, **headers: str):
        return self.client.post(f"/api/v1/{path}", json=body, headers=self.headers | headers)

    def publish(self, job_type: str, **files: str):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, text in files.items():
                archive.writestr(f"{name}.py", text)
        return self.client.post(
            f"/api/v1/job_types/{job_type}/versions",
            data=buffer.getvalue(),
            content_type="application/zip",
            headers=self.headers,
        )

    def run(self, job_id: int, **body: object):
        claimed = self.service.claim([Pick(job_id, "lab-1", 0)]).result(20)[0]
        return self.report(Record(self._next(), "end", job_id, claimed.attempt, body))

    def report(self, *records: Record):
        body = protocol.encode_report("r1", records)
        headers = {protocol.RUNNER_HEADER: "r1", protocol.SIGNATURE_HEADER: protocol.sign(KEY, body)}
        return self.reports.post("/report", data=body, headers=headers)

    def results(self, **body: object) -> list[dict]:
        return [json.loads(line) for line in self.post("results", body).data.splitlines()]

    def _next(self) -> int:
        self.seq += 1
        return self.seq


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    yield house
    house.store.close()


@pytest.fixture
def crawl(house):
    """A house that knows the job type ``crawl``."""
    assert house.publish("crawl", main="def work(x):\n    return x\n").json == {"version": 0, "changed": True}
    return house


def submit(house: House, *inputs: object, key: str = "") -> dict:
    headers = {"Idempotency-Key": key} if key else {}
    response = house.post("jobs", {"job_type": "crawl", "batch": "b", "inputs": list(inputs)}, **headers)
    assert response.status_code == 201, response.json
    return response.json


def test_from_submit_to_result(crawl):
    submitted = submit(crawl, {"args": [1]}, {"args": [2]}, {"args": [3]})
    assert submitted == {"first_id": 1, "count": 3, "cursor": 0}
    assert crawl.get("jobs/1").json["waiting_because"]["code"] == "no_machines"

    assert crawl.run(2, ok=True, result='{"中": [1.5, null]}', count=6, spend_s=0.5).json["stored"] == 1
    assert crawl.run(1, ok=False, reason="bad_result", error="result.a is NaN", spend_s=0.1).status_code == 200

    *lines, last = crawl.results(ids=[[1, 3]])
    assert [(line["id"], line["status"], line["reason"], line["count"]) for line in lines] == [
        (2, 3, "", 6),
        (1, -1, "bad_result", 0),
    ]
    assert lines[0]["result"] == {"中": [1.5, None]}
    assert lines[1]["error"] == "result.a is NaN"
    assert last["pending"] == 1
    assert crawl.results(batch="b", cursor=last["cursor"]) == [{"cursor": last["cursor"], "pending": 1}]

    job = crawl.get("jobs/2").json
    assert (job["status"], job["machine_id"], job["version"], job["result"]) == (3, "lab-1", 0, {"中": [1.5, None]})
    assert [one["reason"] for one in crawl.get("jobs/1/attempts").json["attempts"]] == ["bad_result"]
    counters = crawl.get("summary").json["summary"][0]["jobs"]
    assert (counters["0"], counters["3"], counters["-1"]) == (1, 1, 1)


def test_a_waiting_client_hears_of_a_result_at_once(crawl):
    submit(crawl, {"args": [1]})
    answers: list[list[dict]] = []
    waiter = threading.Thread(target=lambda: answers.append(crawl.results(ids=[[1, 1]], wait_s=25)))
    waiter.start()
    crawl.run(1, ok=True, result="7", spend_s=0.1)
    waiter.join(20)
    assert answers[0][0]["result"] == 7
    assert crawl.results(ids=[[1, 1]], cursor=answers[0][-1]["cursor"], wait_s=25)[-1]["pending"] == 0


def test_repeated_submissions_and_reports_change_nothing(crawl):
    first = submit(crawl, {"args": [1]}, key="k")
    assert submit(crawl, {"args": [1]}, key="k") == first
    body = {"job_type": "crawl", "batch": "b", "inputs": [{"args": [2]}]}
    assert crawl.post("jobs", body, **{"Idempotency-Key": "k"}).status_code == 409

    crawl.run(1, ok=True, result="1", spend_s=0.1)
    again = Record(1, "end", 1, 1, {"ok": True, "result": "2", "spend_s": 0.1})
    assert crawl.report(again).status_code == 200
    assert crawl.get("jobs/1").json["result"] == 1


def test_actions(crawl):
    submit(crawl, {}, {}, {})
    crawl.run(1, ok=True, result="1", spend_s=0.1)
    killed = crawl.post("jobs/actions", {"action": "kill", "ids": [1, 2]}).json
    assert (killed["matched"], killed["changed"]) == (2, 1)
    assert crawl.post("jobs/actions", {"action": "rerun", "ids": [1, 2]}).json["changed"] == 2
    assert crawl.post("jobs/actions", {"action": "copy", "ids": [1]}).json["ids"] == [4]
    assert crawl.post("jobs/actions", {"action": "delete", "ids": [4]}).json["changed"] == 1
    assert crawl.get("jobs/4").status_code == 404
    assert [job["id"] for job in crawl.get("jobs?status=waiting").json["jobs"]] == [3, 2, 1]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ok": "yes"},
        {"ok": True},
        {"ok": True, "result": 1},
        {"ok": True, "result": "{"},
        {"ok": True, "result": "NaN"},
        {"ok": True, "result": '"\\ud800"'},
        {"ok": True, "result": "[" * 100_000},
        {"ok": True, "result": "[" * 100_000 + "]" * 100_000},
        {"ok": True, "result": "1" * 5000},
        {"ok": True, "result": "1", "count": "6"},
        {"ok": True, "result": "1", "count": -1},
        {"ok": True, "result": "1", "count": 10**400},
        {"ok": True, "result": "1", "spend_s": "x"},
        {"ok": True, "result": "1", "spend_s": 1e300},
        {"ok": True, "result": "1", "return_data": "}"},
        {"ok": False, "reason": "made_up"},
        {"ok": False, "reason": ["error"]},
        {"ok": False, "reason": "error", "error": {"a": 1}},
        {"ok": False, "reason": "error", "error": "\x00\ud800"},
        {"ok": False, "reason": "error", "exit_code": 10**30, "signal": "KILL"},
        {"ok": False, "reason": "error", "log": "text"},
        {"ok": False, "reason": "error", "log": {"stdout": {"head": "\ud800", "tail": 5, "total": -1}}},
    ],
)
def test_whatever_a_node_says_nothing_breaks(crawl, body):
    submit(crawl, {})
    response = crawl.run(1, **body)
    assert response.status_code < 500
    for path in ("jobs/1", "jobs/1/attempts", "jobs", "summary"):
        assert crawl.get(path).status_code == 200, path
    assert crawl.get("jobs/1/log").status_code in (200, 404)
    assert crawl.results()[-1]["cursor"] >= 0


@pytest.mark.parametrize("kind", ["start", "end", "back"])
def test_records_about_jobs_of_others_change_nothing(crawl, kind):
    submit(crawl, {})
    assert crawl.report(Record(1, kind, 1, 1, {"ok": True, "result": "1"})).status_code == 200
    assert crawl.report(Record(2, kind, 2**62, 2**62, {"ok": True, "result": "1"})).status_code == 200
    assert crawl.get("jobs/1").json["status"] == 0


def test_a_hostile_zip_is_refused_and_nothing_changes(crawl):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../main.py", "")
    where = "/api/v1/job_types/crawl/versions"
    for body in (buffer.getvalue(), b"PK", b""):
        response = crawl.client.post(where, data=body, content_type="application/zip", headers=crawl.headers)
        assert response.status_code == 422, body
        assert response.json["error"]["message"]
    assert crawl.get("job_types/crawl").json["version"] == 0


def test_job_types_come_back_as_they_went(crawl):
    assert crawl.publish("crawl", main="def work(x):\n    return x\n").json["changed"] is False
    assert crawl.publish("crawl", main="def work(y):\n    return y\n", return_main="def work(d): pass\n").json == {
        "version": 1,
        "changed": True,
    }
    with zipfile.ZipFile(io.BytesIO(crawl.get("job_types/crawl/versions/1/zip").data)) as archive:
        assert {"main.py", "return_main.py"} <= set(archive.namelist())
    assert crawl.post("job_types/..%2fetc/register", {}).status_code in (404, 422)
    assert crawl.post("job_types/nothing/register", {}).status_code in (404, 422)


def test_a_browser_session_from_link_to_sign_out(house):
    code = house.service.create_code()
    assert house.client.post("/api/v1/session", json={"code": code}).status_code == 204
    csrf = house.client.get("/api/v1/me").json["csrf"]
    assert house.client.delete("/api/v1/session", headers={gate.CSRF_HEADER: csrf}).status_code == 204
    assert house.client.get("/api/v1/me").status_code == 401
    assert house.client.post("/api/v1/session", json={"code": code}).status_code == 401
    told = [entry.action for _, entry in house.service.audit_log()]
    assert told == ["session.sign_in", "session.sign_out", "session.sign_in"]


def test_a_session_ends_with_the_token_it_was_opened_with(house):
    token = house.service.create_token("desk", ["read"])
    assert house.client.post("/api/v1/session", json={"token": token}).status_code == 204
    assert house.client.get("/api/v1/me").json["scopes"] == ["read"]
    house.service.revoke_token("desk")
    house.monotonic_now += 5
    assert house.client.get("/api/v1/me").status_code == 401


def test_tokens_are_made_shown_and_ended(house):
    made = house.post("tokens", {"name": "laptop", "scopes": ["read"], "lifetime_s": 60})
    bearer = {"Authorization": f"Bearer {made.json['token']}"}
    assert made.status_code == 201
    assert house.client.get("/api/v1/me", headers=bearer).json["scopes"] == ["read"]
    assert house.client.get("/api/v1/tokens", headers=bearer).status_code == 403
    assert house.client.post("/api/v1/session", json={"token": made.json["token"]}).status_code == 204

    shown = house.get("tokens")
    assert [one["name"] for one in shown.json["tokens"]] == ["laptop", "tester"]
    assert made.json["token"] not in shown.text

    assert house.client.delete("/api/v1/tokens/laptop", headers=house.headers).status_code == 204
    assert house.client.delete("/api/v1/tokens/laptop", headers=house.headers).status_code == 404
    house.monotonic_now += 5
    assert house.client.get("/api/v1/me", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["root"]}, "scopes"),
        ({"name": "x", "scopes": ["read"], "lifetime_s": 0}, "lifetime_s"),
        ({"scopes": ["read"]}, "name"),
    ],
)
def test_a_wrong_token_is_named(house, wish, field):
    response = house.post("tokens", wish)
    assert (response.status_code, response.json["error"]["field"]) == (422, field)


def test_a_locked_database_is_a_503_and_no_acknowledgement(crawl):
    submit(crawl, {})
    claimed = crawl.service.claim([Pick(1, "lab-1", 0)]).result(20)[0]
    blocker = sqlite3.connect(crawl.db, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    try:
        response = crawl.report(Record(1, "end", 1, claimed.attempt, {"ok": True, "result": "1"}))
        assert response.status_code == 503
        assert response.headers["Retry-After"]
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    assert crawl.report(Record(1, "end", 1, claimed.attempt, {"ok": True, "result": "1"})).status_code == 200
    assert crawl.get("jobs/1").json["status"] == 3
