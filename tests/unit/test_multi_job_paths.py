"""The old paths on the wire: the requests the original SDK and page send, against the real service on SQLite."""

import io
import json
import re
import zipfile
from datetime import timedelta, timezone

import pytest

from jobs.model import MachineState, MachineView, Pick
from jobs.service import JobService
from tests.support.databases import a_database
from tests.support.store_kit import Room, failed, ok
from web.accounts import Accounts
from web.app import WebOptions, create_app

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
JOB_FIELDS = {
    "id": int, "job_type": str, "priority": int, "input_data": dict, "machine_id": str, "limit_count": int, "tag": str,
    "version": int, "status": int, "return_count": int, "result": object, "error": str, "clear": int,
    "spend_time": float, "batch": str, "create_time": str, "update_time": str,
}  # fmt: skip
SUMMARY_FIELDS = {
    "job_type": str, "batch": str, "tag": str, "count": int, "spend_time": float, "waiting_task": int,
    "working_task": int, "finished_task": int, "failed_task": int, "begin_time": str, "update_time": str,
}  # fmt: skip
MACHINE_FIELDS = {
    "machine_id": str, "platform": str, "name": str, "tag": str, "count_process": int, "limit_process": int,
    "cpu_ratio": float, "cpu_core": int, "memory_used": int, "memory_free": int, "disk_used": int, "disk_free": int,
    "status": int, "update_time": str, "create_time": str,
}  # fmt: skip
CHINA = timezone(timedelta(hours=8))


class House(Room):
    """A room with the web before it; ``sdk_get`` and ``sdk_post`` send what the original SDK sends."""

    def open(self) -> None:
        super().open()
        self.service = JobService(self.store, self.home / "jobs", self.home / "cache", self.clock, CHINA)
        self.app = create_app(self.service, Accounts(self.service, b"secret"), WebOptions())
        self.client = self.app.test_client()

    def token(self, *scopes: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.service.create_token('-'.join(scopes), scopes)}"}

    def sdk_get(self, path: str, **params: object):
        """As requests does: None is left out."""
        params = {name: value for name, value in params.items() if value is not None}
        return self.checked(self.client.get(f"/{path}", query_string=params, headers=self.admin))

    def sdk_post(self, path: str, **body: object):
        headers = {"Content-Type": "application/json", **self.admin}
        return self.checked(self.client.post(f"/{path}", data=json.dumps(body), headers=headers))

    def act(self, action: str, **which: object):
        """The SDK names all four every time."""
        asked = {"job_id": None, "job_type": None, "machine_id": None, "batch": None} | which
        return self.sdk_post(f"jobs/{action}_job", **asked)

    @staticmethod
    def checked(response):
        assert set(response.json) == {"code", "message", "data", "status"}
        assert response.json["code"] == response.json["status"]
        assert (response.json["code"] == 200) == (response.status_code == 200)
        assert isinstance(response.json["message"], str)
        return response.json

    def insert(self, count: int = 1, **wishes: object) -> list[int]:
        asked = {"job_type": "crawl", "input_data": {"args": [1], "kwargs": {"y": 2}}, "batch": "b", "tag": ""} | wishes
        return [self.sdk_post("jobs/insert_job", **asked)["data"]["job_id"] for _ in range(count)]

    def detail(self, job_id: int) -> dict:
        return self.sdk_get("jobs/get_job_details", job_id=job_id)["data"]

    def finish(self, job_id: int, body: dict, machine: str = "m1") -> None:
        (claimed,) = self.service.claim([Pick(job_id, machine, 0)]).result(10)
        self.report(("end", job_id, claimed.attempt, body), machine=machine)

    def summaries(self, **asked: object) -> list[dict]:
        return self.sdk_get("jobs/get_job_summary", **asked)["data"]


@pytest.fixture
def house(tmp_path):
    with a_database("sqlite", tmp_path) as database:
        house = House(tmp_path, database)
        house.admin = house.token("admin")
        house.job_type(files={"return_main.py": "def work(data):\n    pass\n", "sub/data.txt": "x"})
        yield house
        house.close()


def check_fields(row: dict, fields: dict) -> None:
    assert set(row) == set(fields)
    for name, kind in fields.items():
        kinds = (int, float) if kind is float else (kind,)
        assert isinstance(row[name], kinds), (name, row[name])
        assert kind is object or not isinstance(row[name], bool)
        assert not name.endswith("_time") or kind is not str or TIME.fullmatch(row[name])


def zip_of(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/").replace("_py", ".py"), text)
    return buffer.getvalue()


# --------------------------------------------------------------------------------------------------------------- jobs


def test_insert_and_detail(house):
    (job,) = house.insert(limit_count=2, priority=66, batch="")
    found = house.detail(job)
    check_fields(found, JOB_FIELDS)
    assert found["input_data"] == {"args": [1], "kwargs": {"y": 2}}
    assert (found["status"], found["version"], found["machine_id"], found["result"]) == (0, -1, "", "")
    assert (found["limit_count"], found["priority"]) == (2, 66)
    # The clock stands at 2027-01-15 08:00 UTC: that is the afternoon in China.
    assert (found["batch"], found["create_time"]) == ("2027-01-15", "2027-01-15 16:00:00")


def test_the_default_batch_is_today_in_the_servers_time_zone(house):
    house.clock.forward(9 * 3600)
    (job,) = house.insert(batch="")
    assert house.detail(job)["batch"] == "2027-01-16"


def test_a_result_is_json_and_a_traceback_stands_in_both(house):
    good, bad = house.insert(2, limit_count=0)
    house.finish(good, ok({"中": [1.5, None]}, count=6))
    house.finish(bad, failed())
    found = house.detail(good)
    check_fields(found, JOB_FIELDS)
    assert (found["status"], found["result"], found["return_count"]) == (3, {"中": [1.5, None]}, 6)
    assert (found["spend_time"], found["machine_id"], found["version"]) == (0.5, "m1", 0)
    found = house.detail(bad)
    assert (found["status"], found["result"], found["error"]) == (-1, "Traceback: no", "Traceback: no")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"job_type": "nobody"}, 404, 300),
        ({}, 422, 301),
        ({"job_type": "crawl", "input_data": [1]}, 422, 301),
        ({"job_type": "crawl", "input_data": {"seed": 1}}, 422, 301),
        ({"job_type": "crawl", "batch": "a,b"}, 422, 301),
        ({"job_type": "crawl", "priority": "high"}, 422, 301),
        ({"job_type": "crawl", "unknown": 1}, 422, 301),
    ],
)
def test_wrong_inserts(house, body, status, code):
    response = house.client.post("/jobs/insert_job", json=body, headers=house.admin)
    assert response.status_code == status
    assert House.checked(response)["code"] == code
    assert response.json["data"] == {}


def test_a_missing_job_is_301(house):
    for asked in ({"job_id": 99}, {}, {"job_id": "x"}):
        assert house.sdk_get("jobs/get_job_details", **asked)["code"] == 301


def test_the_list_has_an_offset_a_total_and_no_results(house):
    jobs = house.insert(5)
    house.insert(2, batch="other")
    house.finish(jobs[0], ok("text"))
    house.finish(jobs[1], failed())
    page = house.sdk_get("jobs/get_job_list", job_type="crawl", batch="b", offset=3, limit=10)["data"]
    assert page["count"] == 5
    assert [row["id"] for row in page["data"]] == [jobs[1], jobs[0]]
    for row in page["data"]:
        check_fields(row, JOB_FIELDS)
        assert row["result"] == ""
    assert [row["error"] for row in page["data"]] == ["Traceback: no", ""]


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"status": 3}, 1),
        ({"status": 0}, 2),
        ({"machine_id": "m1"}, 1),
        ({"machine_id": "m2"}, 0),
        ({"clear": 1}, 1),
        ({"clear": 0, "batch": "b"}, 2),
        ({"job_type": "", "batch": "", "machine_id": "", "status": ""}, 3),
        ({"batch": "!b"}, 0),
        ({"status": "waiting,done"}, 3),
    ],
)
def test_filters_of_the_list(house, asked, count):
    first, *_ = house.insert(3)
    house.finish(first, ok())
    assert house.sdk_post("jobs/clear_job", job_id=first)["data"] == {"result": 1}
    page = house.sdk_get("jobs/get_job_list", **asked)["data"]
    assert (page["count"], len(page["data"])) == (count, count)


@pytest.mark.parametrize("asked", [{"limit": 1001}, {"offset": -1}, {"status": "odd"}, {"page": 1}, {"clear": 7}])
def test_wrong_lists_are_301(house, asked):
    assert house.sdk_get("jobs/get_job_list", **asked)["code"] == 301


# ---------------------------------------------------------------------------------------------------------- summaries


def test_summaries_by_type_by_batch_and_of_one(house):
    jobs = house.insert(4, batch="b1", tag="gpu", limit_count=0)
    house.insert(batch="b2")
    house.clock.forward(60)
    house.finish(jobs[0], ok(count=6))
    house.finish(jobs[1], failed())
    house.service.claim([Pick(jobs[2], "m1", 0)]).result(10)
    (all_,) = house.summaries(job_type="crawl", batch=-1)
    check_fields(all_, SUMMARY_FIELDS)
    assert (all_["waiting_task"], all_["working_task"], all_["finished_task"], all_["failed_task"]) == (2, 1, 1, 1)
    assert (all_["count"], all_["spend_time"], all_["tag"]) == (6, 0.5, "gpu")
    assert (all_["begin_time"], all_["update_time"]) == ("2027-01-15 16:00:00", "2027-01-15 16:01:00")
    assert [row["batch"] for row in house.summaries(job_type="crawl", batch=None)] == ["b1", "b2"]
    (one,) = house.summaries(batch="b1")
    assert (one["batch"], one["waiting_task"]) == ("b1", 1)
    assert house.summaries(batch="nobody") == []


def test_the_begin_stays_when_nothing_waits_any_more(house):
    (job,) = house.insert()
    house.clock.forward(60)
    house.finish(job, ok())
    house.service.housekeeping()
    (row,) = house.summaries()
    assert (row["begin_time"], row["update_time"]) == ("2027-01-15 16:00:00", "2027-01-15 16:01:00")


def test_job_types(house):
    house.clock.forward(60)
    house.job_type(files={"more.py": ""})
    (row,) = house.sdk_get("jobs/get_all_job_type")["data"].values()
    assert (row["job_type"], row["version"]) == ("crawl", 1)
    assert (row["create_time"], row["update_time"]) == ("2027-01-15 16:00:00", "2027-01-15 16:01:00")
    assert row["count"] == row["spend_time"] == row["waiting_task"] == row["working_task"] == 0
    assert row["finished_task"] == row["failed_task"] == 0


def test_values_to_filter_by(house):
    house.insert(batch="b1")
    house.clock.forward(1)
    house.insert(batch="b2")
    house.service.put_machines([MachineView(machine_id="lab-1", state=MachineState.READY)]).result(10)
    assert house.sdk_get("jobs/get_distinct_select")["data"] == {
        "job_type": ["crawl"],
        "batch": ["b2", "b1"],
        "machine_id": ["lab-1"],
        "status": [-2, -1, 0, 1, 2, 3],
    }


def test_history_by_the_hour(house):
    jobs = house.insert(4, limit_count=0)
    house.clock.forward(3600)
    house.finish(jobs[0], ok(count=3))
    house.finish(jobs[1], ok(count=4))
    house.finish(jobs[2], failed())
    data = house.sdk_get("jobs/get_history_job", limit_time=2)["data"]
    assert set(data) == {"data", "front_end_data", "series", "title", "summary_data"}
    assert data["series"] == ["2027-01-15 16:00:00", "2027-01-15 17:00:00"]
    before, now = data["data"].values()
    assert (before["task_num"], before["waiting_task"], before["finished_task"]) == (1, 1, 0)
    assert (now["task_num"], now["finished_task"], now["failed_task"], now["count"]) == (3, 2, 1, 7)
    assert (now["spend_time"], now["job_type"], now["update_time"]) == (0.5, "crawl", "2027-01-15 17:00:00")
    assert set(data["title"]) == set(data["front_end_data"]) == set(now)
    assert data["front_end_data"]["finished_task"]["data"] == [0, 2]
    assert data["summary_data"] == {
        "task_num": 4, "count": 7, "failed_task": 1, "waiting_task": 1, "working_task": 0, "finished_task": 2,
    }  # fmt: skip
    assert len(house.sdk_get("jobs/get_history_job")["data"]["series"]) == 24
    for limit in (0, 101, "x"):
        assert house.sdk_get("jobs/get_history_job", limit_time=limit)["code"] == 301


# ------------------------------------------------------------------------------------------------------------ actions


def test_actions_by_id_by_list_and_by_filter(house):
    jobs = house.insert(4, limit_count=0)
    assert house.act("kill", job_id=jobs[0])["data"] == {"result": 1}
    assert house.act("kill", job_id=jobs[1:3])["code"] == 200
    assert [house.status(job) for job in jobs] == [-1, -1, -1, 0]
    house.act("rerun", batch="b")
    assert [house.status(job) for job in jobs] == [0, 0, 0, 0]
    house.act("copy", job_type="crawl", batch="b")
    assert house.sdk_get("jobs/get_job_list", batch="b")["data"]["count"] == 8
    house.finish(jobs[0], ok(), machine="m7")
    house.act("delete", machine_id="m7")
    assert house.sdk_get("jobs/get_job_details", job_id=jobs[0])["code"] == 301


def test_an_action_without_a_condition_is_refused(house):
    (job,) = house.insert()
    for action in ("kill", "rerun", "copy", "delete"):
        assert house.act(action)["code"] == 301
        assert house.act(action, job_id=[], job_type="")["code"] == 301
        assert house.act(action, job_id="abc")["code"] == 301
        assert house.act(action, job_id=True)["code"] == 301
    assert house.sdk_post("jobs/clear_job")["code"] == 301
    assert house.status(job) == 0


def test_an_empty_list_of_ids_means_no_job_whatever_else_is_asked(house):
    (job,) = house.insert()
    assert house.act("delete", job_id=[], job_type="crawl")["code"] == 200
    assert house.status(job) == 0


def test_clear_empties_the_result_and_says_so(house):
    (job,) = house.insert()
    house.finish(job, ok("long"))
    house.sdk_post("jobs/clear_job", job_id=[job])
    found = house.detail(job)
    assert (found["result"], found["clear"], found["status"]) == ("", 1, 3)


# ---------------------------------------------------------------------------------------------------------- job files


def upload(house, job_type: str, body: bytes):
    form = {"job_type": job_type, "file": (io.BytesIO(body), f"{job_type}.zip")}
    return House.checked(house.client.post("/job_file/upload_file", data=form, headers=house.admin))


def test_upload_then_update(house):
    assert upload(house, "fresh", zip_of(main_py="def work():\n    return 1\n"))["data"] == {}
    assert house.sdk_get("job_file/check_jobs_dir")["data"] == {"job_type": ["crawl", "fresh"]}
    assert house.sdk_get("job_file/update_job_file_status", job_type="fresh")["data"] == {"version": 0}
    upload(house, "fresh", zip_of(main_py="def work():\n    return 2\n", sub__more_py=""))
    assert house.sdk_get("job_file/update_job_file_status", job_type="fresh")["data"] == {"version": 1}
    assert sorted(path.name for path in (house.home / "jobs" / "fresh").rglob("*.py")) == ["main.py", "more.py"]
    assert house.sdk_get("job_file/update_job_file_status", job_type="nobody")["code"] == 301


def test_a_bad_upload_changes_nothing(house):
    for name, body in (("crawl", b"no zip"), ("crawl", zip_of(other_py="")), ("../x", zip_of(main_py=""))):
        assert upload(house, name, body)["code"] == 301
    assert House.checked(house.client.post("/job_file/upload_file", data={}, headers=house.admin))["code"] == 301
    assert (house.home / "jobs" / "crawl" / "main.py").read_text().startswith("def work")
    assert sorted(path.name for path in (house.home / "jobs").iterdir()) == ["crawl"]


def test_an_upload_never_writes_through_a_link(house, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (house.home / "jobs" / "crawl" / "lib").symlink_to(outside)
    assert upload(house, "crawl", zip_of(main_py="", lib__evil_py=""))["code"] == 301
    assert list(outside.iterdir()) == []


def test_the_file_of_a_type_is_what_nodes_get(house):
    response = house.client.get("/job_file/get_job_file?job_type=crawl", headers=house.admin)
    assert response.content_type == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        assert sorted(archive.namelist()) == [".info", "main.py", "sub/data.txt"]
        assert json.loads(archive.read(".info"))["version"] == 0
    assert house.sdk_get("job_file/get_job_file", job_type="nobody")["code"] == 301


def test_whether_a_file_is_up_to_date(house):
    def status(version: object):
        return house.sdk_get("job_file/check_job_file_status", job_type="crawl", version=version)["data"]

    assert (status("-1"), status("0"), status("1")) == ({"status": 1}, {"status": 0}, {"status": 0})
    unknown = house.sdk_get("job_file/check_job_file_status", job_type="nobody", version="0")
    assert (unknown["code"], unknown["data"]) == (301, {"status": -2})


def test_deleting_a_type_ends_its_waiting_jobs(house):
    (job,) = house.insert()
    assert house.sdk_get("job_file/delete_job_file", job_type="crawl")["data"] == {}
    found = house.detail(job)
    assert (found["status"], found["result"]) == (-1, "type_deleted")
    assert house.sdk_get("job_file/delete_job_file", job_type="crawl")["code"] == 301


# ----------------------------------------------------------------------------------------------------------- machines


def test_machines(house):
    ready = MachineView(
        machine_id="lab-1", name="Lab", state=MachineState.READY, tags=frozenset({"gpu", "crawl"}), limit_process=8,
        running=3, cpu_cores=4, cpu_ratio=0.256, memory_used_mb=1, memory_free_mb=2, disk_used_mb=3, disk_free_mb=4,
        platform="Linux", contact_at=house.clock.now,
    )  # fmt: skip
    house.service.put_machines([ready]).result(10)
    (row,) = house.sdk_get("machine/get_machine_info")["data"]
    check_fields(row, MACHINE_FIELDS)
    assert (row["tag"], row["count_process"], row["cpu_ratio"], row["status"]) == ("crawl,gpu", 3, 25.6, 1)
    house.clock.forward(301)
    assert house.sdk_get("machine/get_machine_info")["data"][0]["status"] == -1
    house.clock.forward(1500)
    assert house.sdk_get("machine/get_machine_info")["data"] == []


@pytest.mark.parametrize(
    ("state", "status"),
    [("ready", 1), ("paused", 2), ("draining", 2), ("unfit", 2), ("closed", 3), ("unreachable", -1), ("untrusted", -1)],
)
def test_machine_states(house, state, status):
    view = MachineView(machine_id="m", state=MachineState(state), contact_at=house.clock.now)
    house.service.put_machines([view]).result(10)
    (row,) = house.sdk_get("machine/get_machine_info")["data"]
    check_fields(row, MACHINE_FIELDS)
    assert row["status"] == status


def test_machine_updates_become_overrides(house):
    house.service.put_machines([MachineView(machine_id="lab-1")]).result(10)
    heard: list[object] = []
    house.service.on_override = heard.append

    def update(**body: object):
        return house.sdk_post("machine/update_machine_info", machine_id="lab-1", **body)

    assert update(name="Left", tag="gpu，crawl, ", limit_process=3, update_status=1)["data"] == {"result": 1}
    assert values(house) == {"name": '"Left"', "tag": '["crawl", "gpu"]', "limit_process": "3"}
    update(update_status=2)
    assert (values(house)["paused"], values(house)["closed"]) == ("true", "false")
    update(update_status=3)
    assert values(house)["closed"] == "true"
    update(update_status=4)
    assert (values(house)["paused"], values(house)["closed"]) == ("false", "false")
    update(tag="", update_status=1)
    assert values(house)["tag"] == "[]"
    assert heard == [["lab-1"]] * 5
    for wrong in ({}, {"limit_process": 0}, {"limit_process": "x"}, {"update_status": 9}, {"name": "a\nb"}):
        assert update(**wrong)["code"] == 301
    assert house.sdk_post("machine/update_machine_info", machine_id="nobody", name="x")["code"] == 301
    assert heard == [["lab-1"]] * 5


def values(house) -> dict[str, str]:
    return {row.key: row.value for row in house.service.overrides()}


# --------------------------------------------------------------------------------------------------------- who may ask

CHANGES_BY_GET = ["/job_file/update_job_file_status?job_type=crawl", "/job_file/delete_job_file?job_type=crawl"]


def session(house) -> None:
    code = house.service.create_code(scopes=["admin"])
    assert house.client.post("/api/v1/session", json={"code": code}).status_code == 204


@pytest.mark.parametrize("path", CHANGES_BY_GET)
def test_a_cookie_opens_no_get_that_changes_things(house, path):
    session(house)
    assert house.client.get("/jobs/get_all_job_type").status_code == 200
    response = house.client.get(path)
    assert response.status_code == 401
    assert House.checked(response)["code"] == 401
    assert "Basic" not in response.headers["WWW-Authenticate"]
    assert "crawl" in house.service.current_versions()


@pytest.mark.parametrize("path", CHANGES_BY_GET)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Referer": "http://evil.example/page"},
    ],
)
def test_no_other_site_reaches_a_get_that_changes_things(house, path, headers):
    response = house.client.get(path, headers=house.admin | headers)
    assert response.status_code == 403
    assert "crawl" in house.service.current_versions()


def test_without_authentication_other_sites_are_refused_all_the_same(house):
    client = create_app(house.service, Accounts(house.service, b"secret"), WebOptions(auth=False)).test_client()
    path = CHANGES_BY_GET[0]
    assert client.get(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.get(path).json["data"] == {"version": 0}


@pytest.mark.parametrize("path", CHANGES_BY_GET)
def test_a_head_changes_nothing(house, path):
    assert house.client.head(path, headers=house.admin).status_code == 405
    assert "crawl" in house.service.current_versions()


def test_the_password_of_basic_is_a_token(house):
    token = house.admin["Authorization"].removeprefix("Bearer ")
    response = house.client.get(CHANGES_BY_GET[0], auth=("mj", token))
    assert response.json["data"] == {"version": 0}


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/jobs/get_job_list", "read"),
        ("POST", "/jobs/insert_job", "submit"),
        ("POST", "/jobs/kill_job", "submit"),
        ("GET", "/job_file/get_job_file", "submit"),
        ("POST", "/job_file/upload_file", "publish"),
        ("GET", "/job_file/update_job_file_status", "publish"),
        ("GET", "/job_file/delete_job_file", "publish"),
        ("POST", "/machine/update_machine_info", "admin"),
    ],
)
def test_scopes(house, method, path, scope):
    tokens = {one: house.token(one) for one in ("read", "submit", "publish")}
    for one, headers in tokens.items():
        status = house.client.open(
            path, method=method, json={} if method == "POST" else None, headers=headers
        ).status_code
        assert (status == 403) == (one != scope), (one, status)


def test_what_is_not_offered(house):
    for path in ("/jobs/get_job", "/jobs/update_job", "/machine/append_machine"):
        assert house.client.get(path, headers=house.admin).status_code == 404
        assert house.client.post(path, headers=house.admin, json={}).status_code == 404
