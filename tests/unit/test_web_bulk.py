"""Bulk actions over HTTP: an answer in time with the operation's number, counts, dry runs, stop, and who did it."""

import pytest

from jobs.errors import StoreUnavailable
from jobs.operations import Operations
from jobs.store.actions import PIECE
from orchestrator.bulk import Bulk
from tests.support.store_kit import a_room, failed
from tests.support.wait import until
from web.accounts import Accounts
from web.app import WebOptions, create_app

MANY = PIECE + 20


@pytest.fixture
def room(tmp_path):
    with a_room(tmp_path) as room:
        room.job_type()
        room.client = create_app(room.service, Accounts(room.service, b"secret"), WebOptions(auth=False)).test_client()
        yield room


def bulk(room, **body):
    return room.client.post("/api/v1/jobs/bulk", json=body)


def test_a_dry_run_counts_and_begins_nothing(room):
    room.submit(3, batch="b")
    told = bulk(room, action="rerun", filter={"batch": "b"}, dry_run=True, expect=3)
    assert told.json == {"matched": 3, "changed": 0, "skipped": {"waiting": 3}}
    assert room.client.get("/api/v1/operations").json == {"operations": [], "next": None}


def test_the_answer_is_the_operation(room):
    jobs = room.submit(3, batch="b")
    told = bulk(room, action="copy", filter={"batch": "b"}, wait_s=20).json
    assert (told["state"], told["matched"], told["changed"], told["total"]) == ("done", 3, 3, 3)
    assert (told["filter"], told["named"], told["who"]) == ({"batch": "b"}, None, "anyone")
    assert (told["made"], told["ids"]) == ([[4, 6]], [4, 5, 6])
    assert room.client.get(f"/api/v1/operations/{told['operation_id']}").json == told
    told = bulk(room, action="kill", ids=jobs, wait_s=20).json
    assert (told["named"], told["total"], told["changed"], told["filter"]) == (3, 3, 3, {})


def test_an_answer_does_not_wait_for_the_end(room):
    room.submit(MANY)
    told = bulk(room, action="copy", filter={"job_type": "crawl"}, expect=MANY, wait_s=0).json
    assert (told["state"], told["matched"], told["total"]) == ("running", 0, MANY)
    assert "ids" not in told
    (entry,) = (entry for _, entry in room.service.audit_log() if entry.action == "jobs.copy")
    assert (entry.outcome, entry.rows, entry.detail["operation"]) == ("running", 0, told["operation_id"])
    bulk_thread = Bulk(room.service.operations)
    bulk_thread.start()
    path = f"/api/v1/operations/{told['operation_id']}"
    try:
        until(lambda: room.client.get(path).json["state"] == "done", timeout_s=60)
    finally:
        bulk_thread.stop()
    assert room.client.get(path).json["changed"] == MANY


def test_an_operation_is_stopped(room):
    room.submit(MANY)
    number = bulk(room, action="copy", filter={"job_type": "crawl"}, wait_s=0).json["operation_id"]
    stopped = room.client.post(f"/api/v1/operations/{number}/stop").json
    assert (stopped["state"], stopped["matched"], stopped["ids"]) == ("stopped", 0, [])
    assert [one["operation_id"] for one in room.client.get("/api/v1/operations?state=stopped").json["operations"]] == [
        number
    ]
    assert room.client.get("/api/v1/operations?state=running").json["operations"] == []
    assert room.client.post("/api/v1/operations/99/stop").status_code == 404


def test_another_number_than_was_shown_is_refused(room):
    room.submit(2, batch="b")
    for body in ({"filter": {"batch": "b"}}, {"filter": {"q": "b"}}, {"ids": [1, 2, 2]}):
        assert bulk(room, action="kill", expect=3, **body).status_code == 409
        assert bulk(room, action="kill", expect=2, dry_run=True, **body).status_code == 200
    assert room.client.get("/api/v1/operations").json["operations"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"filter": {}}, "filter"),
        ({"filter": {"colour": "red"}}, "colour"),
        ({"filter": {"since": "soon"}}, "since"),
        ({"filter": {"batch": "b"}, "wait_s": 26}, "wait_s"),
        ({"filter": {"batch": "b"}, "wait_s": -1}, "wait_s"),
        ({"action": "end_type", "filter": {"batch": "b"}}, "action"),
        ({"ids": [1, -5]}, "ids"),
    ],
)
def test_what_is_wrong_is_named(room, body, field):
    response = bulk(room, **({"action": "kill"} | body))
    assert (response.status_code, response.json["error"]["field"]) == (422, field)


def test_elsewhere_is_for_rerun_only(room):
    assert bulk(room, action="kill", ids=[1], elsewhere=True).status_code == 422
    (job,) = room.submit(1, limit_count=0)
    room.claim(job)
    room.report(("end", job, 1, failed()))
    assert bulk(room, action="rerun", filter={"status": "failed"}, elsewhere=True, wait_s=20).json["elsewhere"] is True
    assert room.client.get(f"/api/v1/jobs/{job}").json["avoid"] == ["m1"]


def test_one_job_needs_no_operation_and_several_answer_as_before(room):
    room.submit(3)
    act = room.client.post("/api/v1/jobs/actions", json={"action": "kill", "ids": [1]}).json
    assert act == {"matched": 1, "changed": 1, "skipped": {}}
    act = room.client.post("/api/v1/jobs/actions", json={"action": "kill", "ids": [1, 2, 99]}).json
    assert act == {"matched": 2, "changed": 1, "skipped": {"failed": 1}, "operation_id": 1, "state": "done"}


def test_a_store_that_goes_away_after_the_beginning_is_no_reason_to_begin_again(room, monkeypatch):
    """A 503 would say that nothing was stored, and a copy sent again would copy twice."""
    room.submit(2)

    def away(self, found):
        raise StoreUnavailable("gone")

    monkeypatch.setattr(Operations, "step", away)
    told = bulk(room, action="copy", filter={"job_type": "crawl"})
    assert (told.status_code, told.json["state"], told.json["matched"]) == (200, "running", 0)


def test_sorted_pages_over_http(room):
    room.submit(5)
    room.sql("UPDATE jobs SET spend_s = id % 2")
    seen, after = [], ""
    while after is not None:
        page = room.client.get(f"/api/v1/jobs?sort=-spend_s&size=2{after and f'&after={after}'}").json
        seen += [job["id"] for job in page["jobs"]]
        after = page["next"]
    assert seen == [5, 3, 1, 4, 2]
    for query, field in (("sort=name", "sort"), ("sort=-spend_s&after=x", "after"), ("after=1~2", "after")):
        response = room.client.get(f"/api/v1/jobs?{query}")
        assert (response.status_code, response.json["error"]["field"]) == (422, field)


def test_what_waits_and_the_history(room):
    room.submit(3, tag="gpu")
    (row,) = room.client.get("/api/v1/waiting").json["waiting"]
    assert (row["job_type"], row["tag"], row["ready"], row["code"]) == ("crawl", "gpu", 3, "no_machines")
    hours = room.client.get("/api/v1/history?hours=3").json["hours"]
    assert [len(hour["rows"]) for hour in hours] == [0, 0, 1]
    assert room.client.get("/api/v1/history?hours=3&job_type=mail").json["hours"][-1]["rows"] == []


def test_waiting_jobs_get_another_priority_and_the_head_of_their_lane_is_looked_at_anew(room):
    jobs = room.submit(3, batch="b")
    room.claim(jobs[0])
    told = []
    room.service.on_submitted = told.append
    answer = bulk(room, action="priority", priority=7, filter={"batch": "b"}, wait_s=20).json
    assert (answer["changed"], answer["skipped"], answer["priority"]) == (2, {"running": 1}, 7)
    assert [room.service.job(job).job.priority for job in jobs] == [0, 7, 7]
    assert told == [{1: 8}]
    assert room.service.prioritise(jobs[1:2], -3).changed == 1
    assert told[1:] == [{1: 8}]  # it may stand at the head with what it had
    assert [head.job_id for head in room.service.heads([1], 10)[1]] == [jobs[2], jobs[1]]


@pytest.mark.parametrize("body", [{"action": "priority"}, {"action": "kill", "priority": 1}, {"priority": 10**7}])
def test_a_priority_goes_with_its_action_and_within_bounds(room, body):
    room.submit(1)
    answer = bulk(room, ids=[1], **{"action": "priority", **body})
    assert answer.status_code == 422


def test_an_operation_goes_on_with_its_priority_after_a_restart(room):
    room.submit(MANY)
    begun = bulk(room, action="priority", priority=5, filter={"job_type": "crawl"}, wait_s=0).json
    again = Operations(room.store, room.clock, room.service.operations._perform)
    assert again.carry_on(again.one(begun["operation_id"]), 60).changed == MANY
    assert {one.priority for one in room.service.jobs(size=1000).jobs} == {5}
