"""What a running job prints, followed through API, SDK and CLI from real SSH machines; progress; floods; restarts."""

import threading
import time
from pathlib import Path

import pytest

from multijob import Client
from tests.support import wait
from tests.support.hosts import Hosts
from tests.support.mj import Mj
from tests.support.server import RunningServer

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(400)]

#: Prints a line whenever the file beside has grown by one, saying when it did; ends when it is gone.
ECHO = """
import os, sys, time

def work(path):
    said = 0
    while os.path.exists(path):
        size = os.path.getsize(path)
        while said < size:
            said += 1
            print("line %d at %.3f" % (said, time.time()))
            sys.stderr.write("err %d\\n" % said)
        time.sleep(0.005)
    print("end")
    return said
"""


@pytest.fixture
def server(hosts: Hosts, start_server: object) -> RunningServer:
    hosts.start()
    return start_server(hosts.inventory(limit_process=2))  # type: ignore[operator, no-any-return]


@pytest.fixture
def client(server: RunningServer) -> Client:
    return server.client()


class Printing:
    """A job that prints a line whenever it is told to."""

    def __init__(self, server: RunningServer, client: Client, tmp_path: Path) -> None:
        server.job("echo", main=ECHO)
        client.register("echo")
        self.path = tmp_path / "lines"
        self.path.touch()
        (job_id,) = client.submit_many("echo", [(str(self.path),)], limit_count=0)
        self.job = client.job(job_id)
        wait.until(lambda: self.job.refresh()["started_at"], what="the start", timeout_s=120)

    def say(self, count: int = 1) -> None:
        with self.path.open("a") as file:
            file.write("." * count)

    def end(self) -> None:
        self.path.unlink(missing_ok=True)


@pytest.fixture
def printing(server: RunningServer, client: Client, tmp_path: Path) -> Printing:
    return Printing(server, client, tmp_path)


def test_lines_come_within_a_second_by_offset_and_go_on_in_what_is_kept(printing: Printing, client: Client) -> None:
    offset, seen, late_s = 0, "", []
    for number in range(1, 11):
        printing.say()
        while f"line {number} " not in seen:
            part = client.log(printing.job.id, attempt=1, stream="stdout", offset=offset, wait_s=10)
            came = time.time()
            assert (part["running"], part["live"], part["offset"]) == (True, True, offset)
            offset = part["next_offset"]
            seen += part["text"]
        late_s.append(came - float(seen.splitlines()[-1].rpartition(" ")[2]))
    print(f"seconds from print to reader: {sorted(late_s)}")
    assert sorted(late_s)[5] < 1
    whole = client.log(printing.job.id)
    assert (whole["running"], whole["tail"], whole["total"]) == (True, seen, len(seen))
    assert client.log(printing.job.id, offset=-10)["text"] == seen[-10:]
    printing.end()
    printing.job.wait(timeout_s=120)
    part = client.log(printing.job.id, attempt=1, offset=offset)
    assert (part["running"], part["offset"], part["text"]) == (False, offset, "end\n")
    assert printing.job.log() == seen + "end\n"


def test_the_command_follows(printing: Printing, server: RunningServer) -> None:
    mj = Mj(server.url, (server.home / "token").read_text().strip(), server.home)
    found = []
    thread = threading.Thread(target=lambda: found.append(mj("logs", str(printing.job.id), "-f")))
    thread.start()
    try:
        for _ in range(3):
            printing.say()
            time.sleep(0.2)
    finally:
        printing.end()
        thread.join(120)
    lines = found[0].stdout.splitlines()
    assert [line.partition(" at ")[0] for line in lines] == ["line 1", "line 2", "line 3", "end"]
    assert found[0].stderr.splitlines()[1:] == ["err 1", "err 2", "err 3"]
    assert found[0].exit_code == 0


def test_a_follower_outlives_the_server(printing: Printing, server: RunningServer) -> None:
    port = int(server.url.rpartition(":")[2])
    follower = Client(server.url, token=(server.home / "token").read_text().strip(), retry_s=120)
    heard: list[str] = []

    def follow() -> None:
        heard.extend(part.text for part in follower.follow(printing.job.id, streams=["stdout"]))

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        printing.say(3)
        wait.until(lambda: "line 3 " in "".join(heard), what="three lines", timeout_s=60)
        server.kill()
        printing.say(3)
        server.start_at(port)
        wait.until(lambda: "line 6 " in "".join(heard), what="three more lines", timeout_s=120)
    finally:
        printing.end()
        thread.join(120)
    said = [line.partition(" at ")[0] for line in "".join(heard).splitlines()]
    assert said == [f"line {number}" for number in range(1, 7)] + ["end"]
