"""What the dashboard asks for over HTTP: shapes, pages, hostile words as data, logs in parts and as files."""

import json

import pytest

from jobs.model import AuditEntry
from orchestrator.bulk import Bulk
from tests.support.store_kit import Room, a_room, failed, ok
from web.accounts import Accounts
from web.app import WebOptions, create_app

HOSTILE = '<img src=x onerror=alert(1)>\u202e"; DROP TABLE jobs; --\x1b[2J'


class House:
    def __init__(self, room: Room) -> None:
        self.room = room
        self.client = create_app(room.service, Accounts(room.service, b"secret"), WebOptions()).test_client()
        self.headers = {"Authorization": f"Bearer {room.service.create_token('tester', ['admin'])}"}

    def get(self, path: str, **headers: str):
        return self.client.get(f"/api/v1/{path}", headers=headers or self.headers)

    def post(self, path: str, body: object):
        return self.client.post(f"/api/v1/{path}", json=body, headers=self.headers)

    def run(self, body: dict, **wishes: object) -> int:
        (job,) = self.room.submit(limit_count=0, **wishes)
        self.room.claim(job)
        self.room.report(("end", job, 1, body))
        return job


@pytest.fixture
def house(tmp_path):
    with a_room(tmp_path) as room:
        room.job_type()
        bulk = Bulk(room.service.operations)
        bulk.start()
        yield House(room)
        bulk.stop()


def test_failures_from_list_to_rerun(house):
    job = house.run(failed(error=f"Traceback (most recent call last):\nValueError: {HOSTILE}"), batch="b")
    (group,) = house.get("failures").json["groups"]
    assert (group["count"], group["exception"], group["machines"], group["versions"]) == (
        1,
        "ValueError",
        {"m1": 1},
        [0],
    )
    assert group["sample"] == {"job_id": job, "attempt": 1}
    assert group["message"].startswith("<img src=x onerror=alert(#)>")
    assert "\x1b" not in group["message"]
    one = house.get(f"failures/{group['fingerprint']}").json
    assert HOSTILE in one["sample"]["error"]
    assert house.post(f"failures/{group['fingerprint']}/mute", {"until_next_version": True}).json["muted"] is True
    assert house.get("activity").json["activity"][0]["action"] == "failures.mute"
    again = house.post("jobs/bulk", {"action": "rerun", "filter": {"q": group["fingerprint"]}, "wait_s": 20})
    assert again.json["changed"] == 1
    assert house.get("failures").json["groups"] == []
    (left,) = house.get("failures?all=true").json["groups"]
    assert (left["count"], left["attempts"]) == (0, 1)


def test_pages_of_failures(house):
    for word in "abcde":
        house.run(failed(error=word))
        house.room.clock.forward(60)
    seen, after = "", ""
    while after is not None:
        page = house.get(f"failures?size=2{after and '&after=' + after}").json
        seen += "".join(group["message"] for group in page["groups"])
        after = page["next"]
    assert seen == "edcba"


def test_batches_with_any_name(house):
    name = "批 %_ <b>/?#'"
    house.run(ok(), batch=name)
    house.room.clock.forward(1)
    house.run(ok(), batch="plain")
    page = house.get("batches?size=1").json
    assert [one["batch"] for one in page["batches"]] == ["plain"]
    more = house.client.get("/api/v1/batches", query_string={"after": page["next"]}, headers=house.headers).json
    assert [one["batch"] for one in more["batches"]] == [name]
    assert house.client.get("/api/v1/batches", query_string={"q": "%_"}, headers=house.headers).json["batches"]
    one = house.get("batches/plain").json
    assert one["jobs"] == {"waiting": 0, "running": 0, "returning": 0, "done": 1, "failed": 0, "return_failed": 0}
    assert (one["machines"], one["machines_exact"]) == ({"m1": {"jobs": 1, "spend_s": 0.5}}, True)


def test_a_batch_whose_name_holds_a_slash_is_found(house):
    house.run(ok(), batch="a/b")
    assert house.get("batches/a%2Fb").json["batch"] == "a/b"


def test_the_timeline(house):
    job = house.run(ok())
    now = house.room.clock.now
    found = house.get(f"timeline?since={now - 60}&until={now + 60}").json
    assert (found["bucketed"], found["buckets"], found["ended"]) == (False, [], 1)
    (bar,) = found["bars"]
    assert (bar["machine_id"], bar["job_id"], bar["status"], bar["end_at"]) == ("m1", job, 3, now)
    assert house.get("timeline").json["until"] == now


def test_home(house):
    house.run(ok(count=6))
    house.room.submit(2, batch="b")
    found = house.get("home?window_s=3600").json
    assert found["jobs"] == found["window"]["jobs"]
    assert (found["jobs"]["waiting"], found["jobs"]["done"], found["count"]) == (2, 1, 6)
    assert [one["batch"] for one in found["batches"]] == ["b"]
    assert sum(hour["jobs"] for hour in found["hours"]) == 3
    assert found["inventory_problems"] == []


def test_activity_page_by_page(house):
    for n in range(5):
        entry = AuditEntry(at=n, who="x", source="10.0.0.1", action=HOSTILE, detail={"n": n}, rows=n, outcome="ok")
        house.room.service.audit(entry)
    first = house.get("activity?size=3").json
    rest = house.get(f"activity?size=3&after={first['next']}").json
    assert [one["rows"] for one in first["activity"] + rest["activity"]] == [4, 3, 2, 1, 0]
    assert rest["next"] is None
    assert first["activity"][0]["source"] == "10.0.0.1"
    reader = {"Authorization": f"Bearer {house.room.service.create_token('reader', ['read'])}"}
    assert {one["source"] for one in house.get("activity", **reader).json["activity"]} == {""}


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("failures?size=0", 422, "size"),
        ("failures?since=nan", 422, "since"),
        ("failures?after=x", 422, "after"),
        ("failures?nonsense=1", 422, "nonsense"),
        ("failures/nothing", 404, None),
        ("failures/f00000000000000a", 404, None),
        ("batches?size=1001", 422, "size"),
        ("batches?after=x_y", 422, "after"),
        ("batches/nothing", 404, None),
        ("timeline?since=10&until=5", 422, "until"),
        ("timeline?since=0", 422, "until"),
        ("timeline?since=1e30", 422, "since"),
        ("home?window_s=5", 422, "window_s"),
        ("home?window_s=x", 422, "window_s"),
        ("activity?size=0", 422, "size"),
        ("activity?after=-1", 422, "after"),
        ("jobs/1/log?offset=x", 422, "offset"),
        ("jobs/1/log?offset=0&limit=1", 422, "limit"),
        ("jobs/99/result.json", 404, None),
        ("jobs/99/log.txt", 404, None),
    ],
)
def test_wrong_questions_are_told_what_is_wrong(house, path, status, field):
    response = house.get(path)
    assert (response.status_code, response.json["error"]["field"]) == (status, field)


LOG = {"stdout": {"head": "ab\u4e2d", "tail": f"end {HOSTILE}", "total": 100_000}, "stderr": None}


def test_a_log_in_parts(house):
    job = house.run(ok(log=LOG))
    whole = house.get(f"jobs/{job}/log").json
    assert (whole["head"], whole["total"]) == ("ab中", 100_000)
    start = house.get(f"jobs/{job}/log?offset=0&limit=16").json
    assert (start["text"], start["offset"], start["end"]) == ("ab中", 0, 5)
    following = house.get(f"jobs/{job}/log?offset={start['end']}").json
    assert following["offset"] == start["missing"][1]
    assert following["end"] == following["total"] == 100_000
    assert following["text"].startswith("end <img")
    last = house.get(f"jobs/{job}/log?offset=-20&limit=1000").json
    assert last["end"] == 100_000
    assert house.get(f"jobs/{job}/log?stream=stderr&offset=0").json["text"] == ""


def test_logs_and_results_as_files(house):
    job = house.run(ok({"html": "<script>"}, log=LOG))
    log = house.get(f"jobs/{job}/log.txt")
    assert log.content_type == "text/plain; charset=utf-8"
    assert log.headers["Content-Disposition"] == f'attachment; filename="job-{job}-1-stdout.txt"'
    assert log.headers["X-Content-Type-Options"] == "nosniff"
    assert "bytes were not kept" in log.text
    result = house.get(f"jobs/{job}/result.json?attempt=1")
    assert result.headers["Content-Disposition"] == f'attachment; filename="job-{job}-1-result.json"'
    assert json.loads(result.data) == {"html": "<script>"}
    assert house.get(f"jobs/{house.run(failed())}/result.json").status_code == 404


def test_counters_are_told_without_percentiles_where_nobody_wants_them(house):
    house.run(ok(1), batch="b")
    (row,) = house.get("summary").json["summary"]
    (short,) = house.get("summary?percentiles=false").json["summary"]
    assert row["p50_s"] is not None
    assert short == row | {"p50_s": None, "p95_s": None, "p99_s": None}
