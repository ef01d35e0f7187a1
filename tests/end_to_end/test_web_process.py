"""A further web process beside the server, on the same database: what is asked of it, the server does."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from multijob import Client
from tests.support import jobs, wait
from tests.support.databases import Database
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]

SERVE = (
    "from waitress.server import create_server\n"
    "from orchestrator.wsgi import application\n"
    "server = create_server(application(), host='127.0.0.1', port=0)\n"
    "print(server.effective_port, flush=True)\n"
    "server.run()\n"
)

#: Prints what is written into the file, and ends when that is gone.
ECHO = """
import time

def work(path):
    said = ""
    while True:
        try:
            with open(path) as file:
                text = file.read()
        except FileNotFoundError:
            break
        if text != said:
            print(text[len(said):], end="", flush=True)
            said = text
        time.sleep(0.01)
    print("end")
"""


@pytest.fixture
def server(hosts: Hosts, tmp_path: Path, database: Database) -> Iterator[RunningServer]:
    hosts.start()
    made = RunningServer(tmp_path / "home", hosts.inventory(limit_process=2), db=database.url)
    (made.home / "known_hosts").write_text((hosts.home / "known_hosts").read_text())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def beside(server: RunningServer) -> Iterator[Client]:
    """A client of the second process alone."""
    environment = {**os.environ, "MJ_HOME": str(server.home)}
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield Client(f"http://127.0.0.1:{port}", token=(server.home / "token").read_text().strip())
        process.terminate()


@pytest.mark.parametrize("database", ["mariadb", "postgresql"], indirect=True)
def test_work_asked_of_another_process_is_done_soon(server: RunningServer, beside: Client, tmp_path: Path) -> None:
    server.job("add", main=jobs.ADD)
    server.job("until", main=jobs.UNTIL)
    for name in ("add", "until"):
        beside.register(name)
    wait.until(lambda: [row["state"] for row in beside.machines()] == ["ready"], what="the machine", timeout_s=60)
    began_s = time.monotonic()
    submitted = beside.submit_many("add", [(number, 1) for number in range(20)])
    results = {result.id: result.result for result in beside.results(submitted, timeout_s=60)}
    assert [results[job] for job in submitted] == [number + 1 for number in range(20)]
    print(f"{time.monotonic() - began_s:.1f} s")

    (held,) = beside.submit_many("until", [(str(tmp_path / "never"),)], limit_count=0)
    wait.until(lambda: beside.job(held)["status"] == 1 and beside.job(held)["started_at"], what="a start", timeout_s=60)
    path = tmp_path / "lines"
    path.touch()
    server.job("echo", main=ECHO)
    beside.register("echo")
    (printing,) = beside.submit_many("echo", [(str(path),)], limit_count=0)
    path.write_text("first\n")
    followed = beside.follow(printing, streams=["stdout"])
    assert next(followed).text == "first\n"
    assert beside.log(printing)["live"]
    path.unlink()
    assert "".join(part.text for part in followed) == "end\n"
    beside.kill(held)
    wait.until(lambda: beside.job(held)["status"] == -1, what="its end", timeout_s=60)
    assert beside.job(held)["reason"] == "killed"
