"""The command line from end to end: typed as a person would, against a whole server and machines with real sshd."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import wait
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(600)]

MAIN = """
import os, time

def work(n, path=""):
    print("working on", n)
    while path and not os.path.exists(path):
        time.sleep(0.01)
    if n % 5 == 3:
        raise ValueError("%d is not welcome" % n)
    return {"result": n * n, "count": 1}
"""


class Terminal:
    """``mj`` in processes of its own, in the home of one server."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MJ_")}
        self.env = {**kept, "MJ_HOME": str(server.home), "COLUMNS": "80"}

    def run(self, *words: str, stdin: str = "", **env: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "orchestrator.cli", *words]
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            check=False,
            text=True,
            cwd=self._folder,
            env={**self.env, "PYTHONPATH": str(Path(__file__).parents[2]), **env},
            timeout=180,
        )

    def __call__(self, *words: str, code: int = 0, stdin: str = "") -> str:
        done = self.run(*words, stdin=stdin)
        assert done.returncode == code, (
            f"mj {' '.join(words)}\n{done.stdout}\n{done.stderr}\n{self._server.log[-2000:]}"
        )
        return done.stdout

    def json(self, *words: str) -> object:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def mj(hosts: Hosts, start_server: object, tmp_path: Path) -> Terminal:
    for _ in range(2):
        hosts.start()
    server: RunningServer = start_server(hosts.inventory(limit_process=2, python=sys.executable))  # type: ignore[operator]
    terminal = Terminal(server, tmp_path)
    wait.until(lambda: terminal("machine", "list").count("\tready\t") == 2, what="two machines", timeout_s=60)
    return terminal


def rows(listing: str) -> list[list[str]]:
    """A plain listing without its titles."""
    return [line.split("\t") for line in listing.splitlines()[1:]]


def test_from_an_empty_folder_to_results_and_back(mj: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "square"
    _publish(mj, folder)
    _submit(mj, tmp_path)
    _look(mj)
    _act(mj)
    _stop_a_running_one(mj, tmp_path)
    _change_versions(mj, folder, tmp_path)


def _publish(mj: Terminal, folder: Path) -> None:
    mj("job", "new", "square")
    assert mj("job", "check", "square", "x=1", "y=2") == "3\n"
    (folder / "main.py").write_text(MAIN)
    assert mj("job", "check", "square", "n=4") == "16\n"
    mj("job", "check", "square", "n=3", code=1)
    assert mj("type", "add", "square") == "square published version 0\n"
    assert mj("type", "add", "square") == "square unchanged, version 0\n"
    assert [row[0] for row in rows(mj("type", "list"))] == ["square"]


def _submit(mj: Terminal, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(20)))
    watched = mj(
        "submit", "square", "--csv", "in.csv", "-b", "day one", "--limit-count", "0", "--watch", "--json", code=1
    )
    results = {row["id"]: row for row in json.loads(watched)}
    assert [results[job_id]["result"] for job_id in (1, 2, 5)] == [0, 1, 16]
    assert sorted(job_id for job_id, row in results.items() if row["status"] == -1) == [4, 9, 14, 19]
    assert mj("submit", "square", "n=6", "-b", "two") == "21\n"
    assert json.loads(mj("results", "21"))["result"] == 36
    table = list(csv.DictReader(io.StringIO(mj("results", "-b", "day one", "--csv", "--no-wait", code=1))))
    assert len(table) == 20
    assert {row["result"] for row in table if row["id"] == "5"} == {"16"}


def _look(mj: Terminal) -> None:
    assert len(rows(mj("ls", "-s", "failed", "--filter", "batch=day one"))) == 4
    assert [row["id"] for row in map(json.loads, mj("ls", "-n", "2", "--after", "4", "--jsonl").splitlines())] == [3, 2]
    shown = mj("show", "4")
    assert "square(n=3)" in shown
    assert "ValueError: 3 is not welcome" in shown
    assert mj("logs", "4", "--stdout") == "working on 3\n"
    assert rows(mj("summary"))[0][0] == "square"
    assert {row[0] for row in rows(mj("batch", "list"))} == {"day one", "two"}
    assert "16 done, 4 failed" in mj("batch", "show", "day one")
    (group,) = rows(mj("failures"))
    assert group[1:3] == ["4", "square"]
    assert "is not welcome" in mj("failures", group[0])
    assert len(rows(mj("ls", "-f", f"q={group[0]}"))) == 4


def _act(mj: Terminal) -> None:
    mj("rerun", code=2)
    mj("delete", "--yes", code=2)
    assert mj("rerun", "-s", "failed", "-b", "day one", "--dry-run") == "would rerun 4 jobs (4 failed)\n"
    mj("rerun", "-s", "failed", "-b", "day one", code=2)  # nobody to ask
    assert mj("rerun", "-s", "failed", "-b", "day one", "--yes") == "set to run again: 4 jobs\n"
    wait.until(lambda: len(rows(mj("ls", "-s", "failed"))) == 4, what="four failures again", timeout_s=60)
    assert "attempts" not in mj("show", "4")  # a table for terminals only
    assert mj("copy", "1", "2") == "copied 2 jobs: 22-23\n"
    mj("results", "22-23")
    assert mj("clear", "1", "--yes") == "emptied 1 job\n"
    assert "(emptied)" in mj("show", "1")
    assert mj("delete", "-b", "day one", "-s", "failed", "--yes") == "deleted 4 jobs\n"
    mj("show", "4", code=2)
    assert [row[1] for row in rows(mj("operations"))][:1] == ["delete"]


def _stop_a_running_one(mj: Terminal, tmp_path: Path) -> None:
    job = mj("submit", "square", "n=1", f"path={tmp_path / 'never'}").strip()
    wait.until(lambda: "\trunning\t" in mj("ls", "-f", f"ids={job}"), what="a running job", timeout_s=60)
    assert mj("kill", job) == "killed 1 job\n"
    ended = mj.run("logs", job, "-f")
    assert (ended.returncode, "killed" in ended.stderr) == (1, True)


def _change_versions(mj: Terminal, folder: Path, tmp_path: Path) -> None:
    (folder / "main.py").write_text(MAIN.replace("n * n", "n + n"))
    assert mj("type", "add", "square") == "square published version 1\n"
    assert '+    return {"result": n + n' in mj("type", "diff", "square")
    assert mj("type", "rollback", "square", "0", "--yes") == "square published version 2\n"
    assert json.loads(mj("submit", "square", "n=7", "--watch", "--json"))[0]["result"] == 49
    mj("type", "download", "square", "copy", "--version", "1")
    assert (tmp_path / "copy" / "main.py").read_text() == (folder / "main.py").read_text()
    mj("type", "delete", "square", "--yes")
    assert rows(mj("type", "list")) == []


def test_machines_and_those_who_may(mj: Terminal) -> None:
    mj("machine", "set", "node-1", "--limit-process", "5", "--tag", "gpu")
    wait.until(lambda: "at most 5" in mj("machine", "show", "node-1"), what="the new limit", timeout_s=30)
    mj("machine", "pause", "node-1")
    wait.until(lambda: "\tpaused\t" in mj("machine", "list"), what="a paused machine", timeout_s=30)
    mj("machine", "resume", "node-1")
    wait.until(lambda: mj("machine", "list").count("\tready\t") == 2, what="a resumed machine", timeout_s=30)
    assert "removed from node-2" in mj("machine", "purge", "node-2", "--yes")
    token = mj("token", "new", "reader", "--scope", "read").strip()
    assert mj.run("ls", MJ_TOKEN=token).returncode == 0
    refused = mj.run("submit", "square", MJ_TOKEN=token)
    assert (refused.returncode, "mj token new NAME --scope submit" in refused.stderr) == (4, True)
    mj("token", "revoke", "reader")
    wait.until(lambda: mj.run("ls", MJ_TOKEN=token).returncode == 4, what="the token to count no more", timeout_s=30)
    mj("machine", "show", "node-9", code=2)
    away = mj.run("ls", MJ_URL="http://127.0.0.1:1")
    assert (away.returncode, away.stdout, "no server answers" in away.stderr) == (3, "", True)
