"""The old paths over real HTTP, asked as the original SDK asks: every path, every field, its name and its type.

The SDK puts credentials into the URL or leaves them to .netrc, sends JSON as text, and reads nothing but the body.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import requests

from jobs.model import MachineState, MachineView, Pick
from jobs.service import JobService
from tests.support.databases import a_database
from tests.support.store_kit import Room, failed, ok
from web.accounts import Accounts
from web.app import WebOptions, create_app
from web.serve import Listener

SHANGHAI = ZoneInfo("Asia/Shanghai")
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
JSON = {"Content-Type": "application/json"}

Shape = object


class Time:
    """A text such as 2026-11-22 08:00:00."""


JOB = {
    "id": int, "job_type": str, "priority": int, "input_data": {"args": list, "kwargs": dict}, "machine_id": str,
    "limit_count": int, "tag": str, "version": int, "status": int, "return_count": (int, float), "result": object,
    "error": str, "clear": int, "spend_time": (int, float), "batch": str, "create_time": Time, "update_time": Time,
}  # fmt: skip
SUMMARY = {
    "job_type": str, "batch": str, "tag": str, "count": (int, float), "spend_time": (int, float), "waiting_task": int,
    "working_task": int, "finished_task": int, "failed_task": int, "begin_time": Time, "update_time": Time,
}  # fmt: skip
TYPE = {
    "job_type": str, "version": int, "create_time": Time, "update_time": Time, "tag": str, "batch": str, "count": int,
    "spend_time": (int, float), "waiting_task": int, "working_task": int, "finished_task": int, "failed_task": int,
}  # fmt: skip
MACHINE = {
    "machine_id": str, "platform": str, "name": str, "tag": str, "count_process": int, "limit_process": int,
    "cpu_ratio": (int, float), "cpu_core": int, "memory_used": int, "memory_free": int, "disk_used": int,
    "disk_free": int, "status": int, "update_time": Time, "create_time": Time,
}  # fmt: skip
HISTORY = {"data": dict, "front_end_data": dict, "series": [str], "title": [str], "summary_data": dict}
SELECT = {"job_type": [str], "batch": [str], "machine_id": [str], "status": [int]}
DONE = {"result": int}
#: As the SDK names them, all four every time.
WHICH = {"job_id": None, "job_type": None, "machine_id": None, "batch": None}


def check(value: object, shape: Shape, where: str = "data") -> None:
    """Names and types, all of them and no others."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        assert set(value) == set(shape), where
        for name, part in shape.items():
            check(value[name], part, f"{where}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        assert value, f"{where} is empty: nothing was checked"
        for at, part in enumerate(value):
            check(part, shape[0], f"{where}[{at}]")
    elif shape is Time:
        assert isinstance(value, str), where
        assert TIME.fullmatch(value), (where, value)
    elif shape is not object:
        assert isinstance(value, shape), (where, value)
        assert not isinstance(value, bool), where


class House(Room):
    """A room behind a real listener."""

    def open(self) -> None:
        super().open()
        self.service = JobService(self.store, self.home / "jobs", self.home / "cache", self.clock, SHANGHAI)
        self.token = self.service.create_token("sdk", ["admin"])
        app = create_app(self.service, Accounts(self.service, b"secret"), WebOptions())
        self.paths = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("multi_job.")}
        self.listener = Listener(app, "127.0.0.1", 0, 4)
        self.listener.start()
        self.base_url = f"http://mj:{self.token}@127.0.0.1:{self.listener.port}"

    def close(self) -> None:
        self.listener.stop()
        super().close()

    def get(self, path: str, **params: object) -> requests.Response:
        return requests.get(f"{self.base_url}/{path}", params=params, timeout=60)

    def post(self, path: str, body: dict[str, object]) -> requests.Response:
        return requests.post(f"{self.base_url}/{path}", data=json.dumps(body), headers=JSON, timeout=60)

    def insert(self, **wishes: object) -> int:
        body = {
            "job_type": "crawl", "input_data": {"args": [1], "kwargs": {"y": 2}}, "batch": "", "tag": "",
            "limit_count": 0, "priority": 0,
        } | wishes  # fmt: skip
        return int(self.post("jobs/insert_job", body).json()["data"]["job_id"])

    def finish(self, job_id: int, body: dict[str, object]) -> None:
        (claimed,) = self.service.claim([Pick(job_id, "m1", 0)]).result(10)
        self.report(("end", job_id, claimed.attempt, body))


@pytest.fixture
def house(tmp_path):
    with a_database("sqlite", tmp_path) as database:
        house = House(tmp_path, database)
        house.job_type(return_main=True, files={"sub/data.txt": "x"})
        house.service.put_machines([MachineView(machine_id="m1", state=MachineState.READY)]).result(10)
        yield house
        house.close()


def a_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", "def work():\n    return 2\n")
    return buffer.getvalue()


def upload(house: House) -> requests.Response:
    files = {"file": ("shop.zip", a_zip())}
    return requests.post(f"{house.base_url}/job_file/upload_file", files=files, data={"job_type": "shop"}, timeout=60)


UPDATE = {"machine_id": "m1", "name": "Left", "tag": "gpu，crawl", "limit_process": 3, "update_status": 1}
INSERT = {"job_type": "crawl", "input_data": {"args": [1], "kwargs": {}}, "batch": "", "tag": "", "limit_count": 1}
#: (path, the request, the shape of data), in an order that makes sense.
REQUESTS: list[tuple[str, Callable[[House], requests.Response], Shape]] = [
    ("jobs/insert_job", lambda one: one.post("jobs/insert_job", INSERT | {"priority": 0}), {"job_id": int}),
    ("jobs/get_job_details", lambda one: one.get("jobs/get_job_details", job_id=1), JOB),
    ("jobs/get_job_details", lambda one: one.get("jobs/get_job_details", job_id=2), JOB),
    (
        "jobs/get_job_list",
        lambda one: one.get("jobs/get_job_list", job_type="crawl", offset=0, limit=10),
        {"data": [JOB], "count": int},
    ),
    ("jobs/get_job_summary", lambda one: one.get("jobs/get_job_summary", job_type="crawl", batch="-1"), [SUMMARY]),
    ("jobs/get_job_summary", lambda one: one.get("jobs/get_job_summary", job_type="crawl"), [SUMMARY]),
    ("jobs/get_job_summary", lambda one: one.get("jobs/get_job_summary", batch="2027-01-15"), [SUMMARY]),
    ("jobs/get_all_job_type", lambda one: one.get("jobs/get_all_job_type"), {"crawl": TYPE}),
    ("jobs/get_distinct_select", lambda one: one.get("jobs/get_distinct_select"), SELECT),
    ("jobs/get_history_job", lambda one: one.get("jobs/get_history_job", limit_time=24), HISTORY),
    ("jobs/rerun_job", lambda one: one.post("jobs/rerun_job", WHICH | {"job_id": 1}), DONE),
    ("jobs/copy_job", lambda one: one.post("jobs/copy_job", WHICH | {"job_id": [1, 2]}), DONE),
    ("jobs/kill_job", lambda one: one.post("jobs/kill_job", WHICH | {"job_type": "crawl"}), DONE),
    ("jobs/clear_job", lambda one: one.post("jobs/clear_job", {"job_id": [1, 2]}), DONE),
    ("jobs/delete_job", lambda one: one.post("jobs/delete_job", WHICH | {"batch": "2027-01-15"}), DONE),
    ("job_file/upload_file", upload, dict),
    (
        "job_file/update_job_file_status",
        lambda one: one.get("job_file/update_job_file_status", job_type="shop"),
        {"version": int},
    ),
    (
        "job_file/check_job_file_status",
        lambda one: one.get("job_file/check_job_file_status", job_type="shop", version=-1),
        {"status": int},
    ),
    ("job_file/check_jobs_dir", lambda one: one.get("job_file/check_jobs_dir"), {"job_type": [str]}),
    ("job_file/delete_job_file", lambda one: one.get("job_file/delete_job_file", job_type="shop"), dict),
    ("machine/get_machine_info", lambda one: one.get("machine/get_machine_info"), [MACHINE]),
    ("machine/update_machine_info", lambda one: one.post("machine/update_machine_info", UPDATE), DONE),
]


def test_every_path_answers_with_every_field(house):
    done, lost = house.insert(), house.insert()
    house.finish(done, ok({"中": [1.5, None]}, count=2))
    house.finish(lost, failed())
    for path, ask, shape in REQUESTS:
        response = ask(house)
        assert response.status_code == 200, (path, response.text)
        body = response.json()
        assert set(body) == {"code", "message", "data", "status"}, path
        assert (body["code"], body["status"], type(body["message"])) == (200, 200, str), path
        check(body["data"], shape, path)
    assert {f"/{path}" for path, _, _ in REQUESTS} | {"/job_file/get_job_file"} == house.paths


def test_the_file_of_a_type_is_the_zip_itself(house):
    response = house.get("job_file/get_job_file", job_type="crawl")
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert set(archive.namelist()) == {"main.py", "sub/data.txt", ".info"}
        assert set(json.loads(archive.read(".info"))) == {"version", "time"}


def test_what_is_set_on_a_machine_is_told_to_the_engine(house):
    heard: list[object] = []
    house.service.on_override = heard.append
    house.post("machine/update_machine_info", UPDATE)
    for status in (2, 3, 4):
        house.post("machine/update_machine_info", {"machine_id": "m1", "update_status": status})
    assert heard == [["m1"]] * 4
    assert {row.key: json.loads(row.value) for row in house.service.overrides()} == {
        "name": "Left", "tag": ["crawl", "gpu"], "limit_process": 3, "paused": False, "closed": False,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------- credentials


def test_a_token_in_netrc_is_taken(house, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login mj password {house.token}\n")
    netrc.chmod(0o600)
    plain = f"http://127.0.0.1:{house.listener.port}/jobs/get_all_job_type"
    assert requests.get(plain, timeout=60).json()["code"] == 401
    monkeypatch.setenv("NETRC", str(netrc))
    assert requests.get(plain, timeout=60).json()["code"] == 200


@pytest.mark.parametrize("credentials", ["", "mj:wrong@", "mj@"])
def test_without_the_right_token_nothing_is_told(house, credentials):
    url = f"http://{credentials}127.0.0.1:{house.listener.port}/jobs/get_job_list"
    body = requests.get(url, timeout=60).json()
    assert (body["code"], body["status"]) == (401, 401) if "code" in body else body["error"]["code"] == "not_signed_in"


# ---------------------------------------------------------------------------------------------------------- midnight


@pytest.mark.parametrize(
    ("zone", "at", "batch"),
    [
        ("Asia/Shanghai", "2026-11-22T15:59:59", "2026-11-22"),
        ("Asia/Shanghai", "2026-11-22T16:00:00", "2026-11-23"),
        ("America/New_York", "2026-11-23T04:59:59", "2026-11-22"),
        ("America/New_York", "2026-11-23T05:00:00", "2026-11-23"),
        # In summer midnight there is another hour of UTC.
        ("America/New_York", "2026-07-01T03:59:59", "2026-06-30"),
        ("America/New_York", "2026-07-01T04:00:00", "2026-07-01"),
        ("Asia/Kathmandu", "2026-12-31T18:14:59", "2026-12-31"),
        ("Asia/Kathmandu", "2026-12-31T18:15:00", "2027-01-01"),
        ("UTC", "2028-02-28T23:59:59", "2028-02-28"),
        ("UTC", "2028-02-29T00:00:00", "2028-02-29"),
    ],
)
def test_the_default_batch_is_today_on_both_sides_of_midnight(tmp_path, zone, at, batch):
    with a_database("sqlite", tmp_path) as database:
        room = Room(tmp_path, database)
        room.clock.now = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
        room.service = JobService(room.store, tmp_path / "jobs", tmp_path / "cache", room.clock, ZoneInfo(zone))
        room.job_type()
        client = create_app(room.service, Accounts(room.service, b"secret"), WebOptions(auth=False)).test_client()
        job = client.post("/jobs/insert_job", json=INSERT).json["data"]["job_id"]
        shown = client.get(f"/jobs/get_job_details?job_id={job}").json["data"]
        assert (shown["batch"], shown["create_time"][:10]) == (batch, batch)
        room.close()
