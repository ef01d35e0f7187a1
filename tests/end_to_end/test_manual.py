"""Multi Job's manual, sections 2.1–2.3 and 5.1–5.12: its examples typed as printed, on machines with real sshd.

One server for the whole module, as the manual's reader has one; each test uses job types and batches of its own.
"""

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from MultiJob import MultiJob
from multijob import Client
from orchestrator.demo.quotes import Quotes, bars
from tests.support import hosts as support_hosts
from tests.support import manual, wait
from tests.support.hosts import Hosts
from tests.support.manual import typed
from tests.support.server import RunningServer

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]

PATIENCE_S = 120.0

TEST_JOB = """
def work(x, y, data=0):
    return {"result": x + y + data, "count": 2, "return_data": [x, y, data]}
"""
TEST_JOB_RETURN = """
def work(return_data):
    with open("returned.txt", "a") as file:
        file.write("%s\\n" % return_data)
    return sum(return_data)
"""
#: Says that it runs, and runs until told otherwise; leaves a child behind that ignores being asked to end.
STUBBORN = """
import os, subprocess, sys, time

def work(folder, name):
    child = "import os, signal, sys, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    made = subprocess.Popen([sys.executable, "-c", child], start_new_session=True, stdout=subprocess.PIPE)
    made.stdout.readline()
    with open(os.path.join(folder, name + ".part"), "w") as file:
        file.write("%d %d" % (os.getpid(), made.pid))
    os.rename(os.path.join(folder, name + ".part"), os.path.join(folder, name))
    while not os.path.exists(os.path.join(folder, "go on")):
        time.sleep(0.02)
    made.kill()
    made.wait()
    return name
"""
FAILING = """
def work(x):
    raise ValueError("the number %s is wrong" % x)
"""


class House:
    """A server on three machines, and the address a reader of the manual types."""

    def __init__(self, server: RunningServer, hosts: Hosts) -> None:
        self.server = server
        self.hosts = hosts
        self.token = (server.home / "token").read_text().strip()
        self.address = server.url.replace("http://", f"http://mj:{self.token}@")
        self.client: Client = server.client()

    def old(self) -> MultiJob:
        """The manual's client."""
        return MultiJob(base_url=self.address)

    def detail(self, job_id: int) -> dict[str, Any]:
        """``get_job_detail``, without its envelope."""
        answer = self.old().get_job_detail(job_id)
        assert (answer["code"], answer["status"]) == (200, 200)
        data: dict[str, Any] = answer["data"]
        return data

    def ended(self, *job_ids: int) -> list[dict[str, Any]]:
        """The jobs' details once they have finished."""
        self.client.wait(job_ids, timeout_s=PATIENCE_S)
        return [self.detail(job_id) for job_id in job_ids]

    def running(self, job_id: int) -> None:
        wait.until(lambda: self.detail(job_id)["status"] == 1, what="the job to run", timeout_s=PATIENCE_S)

    def register(self, name: str, **files: str | bytes) -> int:
        self.server.job(name, **files)
        version: int = self.old().update_job_file_status(job_type=name)["data"]["version"]
        return version


@pytest.fixture(scope="module")
def house(sshd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """node-1 carries the tag test, node-2 the tag one and has one slot."""
    with support_hosts.running() as hosts:
        for _ in range(3):
            hosts.start()
        text = hosts.inventory(python=sys.executable)
        text = text.replace("  node-1: {", "  node-1: {limit_process: 3, tag: test, ")
        text = text.replace("  node-2: {", "  node-2: {limit_process: 1, tag: one, ")
        text = text.replace("  node-3: {", "  node-3: {limit_process: 3, ")
        server = RunningServer(tmp_path_factory.mktemp("manual") / "home", text)
        (server.home / "known_hosts").write_text((hosts.home / "known_hosts").read_text())
        server.start()
        try:
            made = House(server, hosts)
            made.register("test_job", main=TEST_JOB, return_main=TEST_JOB_RETURN)
            made.register("stubborn", main=STUBBORN)
            made.register("failing", main=FAILING)
            states = lambda: [row["state"] for row in made.client.machines()]  # noqa: E731 - one look
            wait.until(lambda: states() == ["ready"] * 3, what="three machines", timeout_s=PATIENCE_S)
            yield made
        finally:
            server.stop()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def let_run(folder: Path) -> None:
    (folder / "go on").touch()


# --------------------------------------------------------------------------------------------------- 2: job types


def test_2_1_a_simple_job_from_the_servers_folder(house: House) -> None:
    house.server.job("new_job", main=manual.NEW_JOB_MAIN)
    registered = typed(manual.REGISTER_NEW_JOB, house.address).names["result"]
    assert registered == {"code": 200, "message": "ok", "data": {"version": 0}, "status": 200}
    assert "new_job" in house.old().get_all_job_type()["data"]

    inserted = typed(manual.INSERT_NEW_JOB, house.address)
    printed = ast.literal_eval(inserted.printed)
    assert printed == inserted.names["result"]
    assert printed["data"]["id"] == inserted.names["job_id"]
    assert printed["data"]["input_data"] == {"args": [], "kwargs": {"x": 1, "y": 2, "label": "multi_job"}}
    [job] = house.ended(inserted.names["job_id"])
    assert re.fullmatch(r"sum result:3, label: multi_job, unix_time: \d+\.\d+ ", job["result"])
    assert (job["status"], job["version"], job["return_count"]) == (3, 0, 1)

    # Updated: version = version + 1, told to the job by .info; unchanged: still the same.
    house.server.job(
        "new_job", main=manual.NEW_JOB_MAIN + "\ndef work(x, y, label):\n    return open('.info').read()\n"
    )
    assert typed(manual.REGISTER_NEW_JOB, house.address).names["result"]["data"] == {"version": 1}
    assert typed(manual.REGISTER_NEW_JOB, house.address).names["result"]["data"] == {"version": 1}
    [job] = house.ended(typed(manual.INSERT_NEW_JOB, house.address).names["job_id"])
    assert json.loads(job["result"])["version"] == job["version"] == 1


def test_2_2_a_complex_job_whose_results_are_saved_at_home(house: House, tmp_path: Path) -> None:
    stocks, here = tmp_path / "stocks", tmp_path / "where"
    stocks.mkdir()
    here.write_text(f"{stocks}\n")
    quotes = Quotes()
    quotes.start()
    try:
        house.server.job(
            "save_stock_data",
            get_stock_data=manual.GET_STOCK_DATA.replace(manual.QUOTES_ADDRESS, quotes.url),
            main=manual.SAVE_STOCK_DATA_MAIN,
            return_main=manual.SAVE_STOCK_DATA_RETURN_MAIN.replace('dir = ""', f'dir = "{here}"'),
        )
        assert typed(manual.REGISTER_SAVE_STOCK_DATA, house.address).names["result"]["data"] == {"version": 0}
        [job] = house.ended(typed(manual.INSERT_SAVE_STOCK_DATA, house.address).names["job_id"])
    finally:
        quotes.stop()
    assert (job["status"], job["return_count"]) == (3, 1)
    [bar] = job["result"]["sz000829"]
    assert bar["close"] == float(bars("sz000829", 1)[0]["close"])
    assert json.loads((stocks / "sz000829").read_text()) == [bar]
    for host in house.hosts.hosts:
        assert not list(Path(house.hosts.root_of(host)).rglob("return_main.py")), "it stays on the server"


def test_2_3_a_job_from_elsewhere_arrives_whole(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "Path" / "far_job"
    (folder / "数据" / "deeper").mkdir(parents=True)
    every_byte = bytes(range(256)) * 5
    (folder / "数据" / "deeper" / "图 片.bin").write_bytes(every_byte)
    (folder / "tool").write_text("#!/bin/sh\necho ran $1\n")
    (folder / "tool").chmod(0o755)
    (folder / "main.py").write_text(
        "import hashlib, os, subprocess\n"
        "def work():\n"
        "    with open('数据/deeper/图 片.bin', 'rb') as file:\n"
        "        data = file.read()\n"
        "    ran = subprocess.run(['./tool', 'well'], stdout=subprocess.PIPE, check=True).stdout.decode()\n"
        "    return [hashlib.sha256(data).hexdigest(), len(data), ran, os.access('main.py', os.X_OK)]\n"
    )
    script = manual.REGISTER_FROM_ELSEWHERE.replace("new_job", "far_job").replace("/Path", str(tmp_path / "Path"))
    assert typed(script, house.address).names["result"]["data"] == {"version": 0}
    client = house.old()
    [job] = house.ended(client.insert_job("far_job"))
    assert job["status"] == 3, job["error"]
    assert job["result"][1:] == [len(every_byte), "ran well\n", False]
    assert client.load_job_file(job_type="far_job") == 1
    assert client.main is not None
    assert client.main() == job["result"]
    assert client.return_main is None
    assert typed(script, house.address).names["result"]["data"] == {"version": 0}, "the same content"
    (folder / "tool").chmod(0o644)
    assert typed(script, house.address).names["result"]["data"] == {"version": 1}, "the bit belongs to the content"


# ------------------------------------------------------------------------------------------- 5.1 to 5.6: inserting


def test_5_1_inserting_with_the_defaults(house: House) -> None:
    before = datetime.now().astimezone().date()
    inserted = typed(manual.INSERT_TEST_JOB, house.address)
    job_id = inserted.names["job_id"]
    assert ast.literal_eval(inserted.printed)["data"]["id"] == job_id
    [job] = house.ended(job_id)
    assert job["input_data"] == {"args": [1, 2], "kwargs": {"data": 3}}
    assert (job["result"], job["status"], job["return_count"]) == (6, 3, 2)
    assert (job["tag"], job["priority"], job["limit_count"]) == ("", 0, 1)
    assert job["batch"] in {str(before), str(datetime.now().astimezone().date())}
    assert "[1, 2, 3]" in (house.server.home / "returns" / "test_job" / "returned.txt").read_text()
    assert house.old().insert_job("no_such_job", 1) == -1


def test_5_2_the_batch_sticks(house: House) -> None:
    client = typed(manual.SET_BATCH, house.address).names["client"]
    jobs = house.ended(*(client.insert_job("test_job", number, 2) for number in range(2)))
    assert [job["batch"] for job in jobs] == ["test"] * 2
    listed = client.get_job_list(job_type="test_job", batch="test")["data"]
    assert listed["count"] == 2
    assert [job["id"] for job in listed["data"]] == sorted((job["id"] for job in jobs), reverse=True)
    assert [row["batch"] for row in client.get_job_summary(batch="test")["data"]] == ["test"]


def test_5_3_only_machines_with_the_tag_run_it(house: House) -> None:
    client = typed(manual.SET_TAG, house.address).names["client"]
    jobs = house.ended(*(client.insert_job("test_job", number, 2) for number in range(12)))
    assert {(job["tag"], job["machine_id"]) for job in jobs} == {("test", "node-1")}
    client.set_tag("nobody")
    job_id = client.insert_job("test_job", 1, 2)
    assert house.detail(job_id)["machine_id"] == ""
    assert client.kill_job(job_id) == 1


def test_5_4_the_higher_priority_goes_first(house: House, tmp_path: Path) -> None:
    order = tmp_path / "order"
    house.register("note", main="def work(path, name):\n    open(path, 'a').write(name)\n")
    house.client.change_machine("node-2", paused=True)
    machine = house.client.machine("node-2")
    wait.until(lambda: machine.refresh().state == "paused", what="the pause", timeout_s=PATIENCE_S)
    low, high = house.old(), typed(manual.SET_PRIORITY, house.address).names["client"]
    for client in (low, high):
        client.set_tag("one")  # that machine alone, with one slot
    ids = [low.insert_job("note", str(order), "l") for _ in range(3)]
    ids += [high.insert_job("note", str(order), "H") for _ in range(3)]
    house.client.change_machine("node-2", paused=False)
    assert [job["priority"] for job in house.ended(*ids)] == [0] * 3 + [66] * 3
    assert order.read_text() == "HHHlll"


def test_5_5_a_failed_job_is_tried_again_so_often(house: House) -> None:
    client = typed(manual.SET_LIMIT_COUNT, house.address).names["client"]
    [job] = house.ended(client.insert_job("failing", 7))
    assert (job["status"], job["limit_count"]) == (-1, 2)
    assert sum(one["started"] for one in house.client.attempts(job["id"])) == 3


def test_5_6_the_detail_holds_what_the_manual_says(house: House) -> None:
    job_id = house.old().insert_job("test_job", 1, 2, data=3)
    house.ended(job_id)
    shown = typed(manual.GET_JOB_DETAIL, house.address, job_id=job_id)
    job = ast.literal_eval(shown.printed)["data"]
    assert job.keys() >= manual.DETAIL_FIELDS
    assert (job["id"], job["job_type"], job["status"], job["result"]) == (job_id, "test_job", 3, 6)
    assert job["machine_id"] in {"node-1", "node-2", "node-3"}
    assert job["version"] == 0
    assert 0 <= job["spend_time"] < PATIENCE_S
    for name in ("create_time", "update_time"):
        datetime.fromisoformat(job[name])
    unborn = house.old()
    unborn.set_tag("nobody")
    waiting = house.detail(unborn.insert_job("test_job", 1, 2))
    assert (waiting["status"], waiting["version"], waiting["machine_id"], waiting["result"]) == (0, -1, "", "")
    assert unborn.delete_job(waiting["id"]) == 1
    assert house.old().get_job_detail(waiting["id"])["code"] == 301


# ------------------------------------------------------------------------------------------------- 5.7: debugging


def test_5_7_the_error_of_a_failed_job_stands_in_its_result(house: House) -> None:
    [job] = house.ended(house.old().insert_job("failing", 41))
    assert job["status"] == -1
    assert "ValueError: the number 41 is wrong" in job["result"]
    assert "Traceback" in job["result"]
    assert "main.py" in job["result"]


def test_5_7_job_types_can_be_tried_here(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_type = typed(manual.LOAD_BY_TYPE, house.address).names
    assert by_type["result"] == {"result": 6, "count": 2, "return_data": [1, 2, 3]}
    assert by_type["result_0"] == 6

    folder = tmp_path / "jobs" / "test_job"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(TEST_JOB.replace("x + y + data", "'before it went out'"))
    (folder / "return_main.py").write_text("def work(return_data):\n    return return_data[::-1]\n")
    monkeypatch.chdir(tmp_path)
    by_path = typed(manual.LOAD_BY_PATH, house.address).names
    assert by_path["result"]["result"] == "before it went out"
    assert by_path["result_0"] == [3, 2, 1]
    client = house.old()
    assert client.load_job_file(job_type="no_such_job") == 0
    assert client.load_job_file(job_type="test_job", job_path="jobs/test_job") == 0


# ------------------------------------------------------------------------------------------------ 5.8: statistics


def test_5_8_summaries_by_type_by_batch_and_of_one_batch(house: House) -> None:
    client = house.old()
    house.register("summed", main=TEST_JOB)
    client.set_batch("sum-1")
    house.ended(*(client.insert_job("summed", number, 1) for number in range(3)))
    client.set_batch("sum-2")
    house.ended(client.insert_job("summed", "text", 1))
    client.set_tag("nobody")
    waiting = client.insert_job("summed", 1, 1)

    shown = typed(manual.GET_JOB_SUMMARY.replace("test_job", "summed"), house.address)
    [row] = ast.literal_eval(shown.printed)["data"]
    assert row.keys() >= manual.SUMMARY_FIELDS
    tasks = [row[f"{name}_task"] for name in ("finished", "waiting", "working", "failed")]
    assert (row["job_type"], tasks, row["count"]) == ("summed", [3, 1, 0, 1], 6)
    assert row["spend_time"] >= 0
    assert datetime.fromisoformat(row["begin_time"]) <= datetime.fromisoformat(row["update_time"])

    by_batch = client.get_job_summary(job_type="summed", batch=None)["data"]
    assert {one["batch"]: one["finished_task"] for one in by_batch} == {"sum-1": 3, "sum-2": 0}
    [one] = client.get_job_summary(job_type="summed", batch="sum-2")["data"]
    assert (one["batch"], one["failed_task"], one["waiting_task"]) == ("sum-2", 1, 1)
    assert client.kill_job(waiting) == 1


# --------------------------------------------------------------------------------------------- 5.9 to 5.12: acting


def test_5_9_a_rerun_keeps_the_id(house: House) -> None:
    client = house.old()
    client.set_batch("rerun")
    ids = [client.insert_job("test_job", number, 1) for number in range(4)]
    house.ended(*ids)
    again = typed(manual.RERUN_JOB, house.address, job_id=ids[0])
    assert again.printed == "1\n"
    wait.until(lambda: len(house.client.attempts(ids[0])) == 2, what="the second run", timeout_s=PATIENCE_S)
    assert client.rerun_job(job_id=ids[1:3]) == 1
    wait.until(lambda: all(len(house.client.attempts(one)) == 2 for one in ids[:3]), what="both", timeout_s=PATIENCE_S)
    house.ended(*ids)
    assert client.rerun_job(job_type="test_job", batch="rerun") == 1
    counts = [3, 3, 3, 2]
    wait.until(
        lambda: [len(house.client.attempts(one)) for one in ids] == counts, what="all four", timeout_s=PATIENCE_S
    )
    assert [job["status"] for job in house.ended(*ids)] == [3] * 4
    assert client.get_job_list(batch="rerun")["data"]["count"] == 4
    assert client.rerun_job() == 0


def test_5_10_a_copy_has_an_id_of_its_own(house: House) -> None:
    client = house.old()
    client.set_batch("copy")
    job_id = client.insert_job("test_job", 20, 2)
    house.ended(job_id)
    assert typed(manual.COPY_JOB, house.address, job_id=job_id).printed == "1\n"
    listed = client.get_job_list(batch="copy")["data"]
    assert listed["count"] == 2
    copy = listed["data"][0]["id"]
    assert copy > job_id
    [job] = house.ended(copy)
    assert (job["input_data"], job["result"]) == ({"args": [20, 2], "kwargs": {}}, 22)
    assert client.copy_job(batch="copy") == 1
    assert client.get_job_list(batch="copy")["data"]["count"] == 4
    assert client.copy_job() == 0


def test_5_11_only_what_waits_or_runs_is_stopped_and_all_of_it(house: House, tmp_path: Path) -> None:
    client = house.old()
    client.set_limit_count(5)  # a kill is final all the same
    finished = client.insert_job("test_job", 1, 2)
    house.ended(finished)
    running = client.insert_job("stubborn", str(tmp_path), "pids")
    wait.until((tmp_path / "pids").exists, what="the job to run", timeout_s=PATIENCE_S)
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    client.set_tag("nobody")
    waiting = client.insert_job("test_job", 1, 2)

    assert typed(manual.STOP_JOB, house.address, job_id=waiting).printed == "1\n"
    assert house.detail(waiting)["status"] == -1, "at once"
    assert typed(manual.STOP_JOB, house.address, job_id=running).printed == "1\n"
    [job] = house.ended(running)
    assert job["status"] == -1
    assert not any(alive(pid) for pid in pids), "the child that left and does not listen too"
    assert house.client.job(running).reason == "killed"
    assert len(house.client.attempts(running)) == 1
    assert client.stop_job(finished) == 1
    assert house.detail(finished)["status"] == 3, "what is done stays done"
    assert client.kill_job() == 0


def test_5_12_running_jobs_are_not_deleted(house: House, tmp_path: Path) -> None:
    client = house.old()
    client.set_batch("delete")
    done = [client.insert_job("test_job", number, 2) for number in range(3)]
    house.ended(*done)
    running = client.insert_job("stubborn", str(tmp_path), "pids")
    house.running(running)
    assert typed(manual.DELETE_JOB, house.address, job_id=done[0]).printed == "1\n"
    assert client.get_job_detail(done[0])["code"] == 301
    assert client.delete_job(batch="delete") == 1
    assert [job["id"] for job in client.get_job_list(batch="delete")["data"]["data"]] == [running]
    let_run(tmp_path)
    [job] = house.ended(running)
    assert (job["status"], job["result"]) == (3, "pids")
    assert client.delete_job(job_id=[running]) == 1
    assert client.get_job_list(batch="delete")["data"]["count"] == 0
    assert client.delete_job() == 0


def test_actions_by_machine_touch_no_others(house: House) -> None:
    client = house.old()
    client.set_batch("by machine")
    client.set_tag("test")
    there = [client.insert_job("test_job", number, 2) for number in range(2)]
    client.set_tag("one")
    elsewhere = [client.insert_job("test_job", number, 2) for number in range(2)]
    house.ended(*there, *elsewhere)
    assert client.delete_job(machine_id="node-1", batch="by machine") == 1
    left = client.get_job_list(batch="by machine")["data"]["data"]
    assert sorted(job["id"] for job in left) == elsewhere
    assert {job["machine_id"] for job in left} == {"node-2"}


def test_a_name_in_the_netrc_signs_in(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login mj password {house.token}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("MJ_HOME", os.devnull)
    assert "test_job" in MultiJob(house.server.url).get_all_job_type()["data"]
