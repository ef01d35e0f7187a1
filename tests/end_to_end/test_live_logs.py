"""What a running job prints, followed through API, SDK and CLI from real SSH machines; progress; floods; restarts."""

import contextlib
import os
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
def root(hosts: Hosts) -> Path:
    """Where ours lies on the one machine there is."""
    return Path(hosts.root_of(hosts.start()))


@pytest.fixture
def server(root: Path, hosts: Hosts, start_server: object) -> RunningServer:
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


#: What tqdm 4 writes to a stderr that is no terminal, byte by byte, for a bar over 8 things of which 6 are done.
BAR = """
import os, sys, time

def work(path):
    for n in range(7):
        bar = "\\u2588" * n + " " * (10 - n)
        sys.stderr.write("\\r%s: %3d%%|%s| %d/8 [00:0%d<00:0%d,  1.00s/it]" % ("train", n * 100 // 8, bar, n, n, 8 - n))
        sys.stderr.flush()
    while os.path.exists(path):
        time.sleep(0.01)
"""

REPORT = """
import os, time
import multijob_progress

def work(path):
    began = time.monotonic()
    while os.path.exists(path):
        multijob_progress.report(time.monotonic() - began, 1000)
        time.sleep(0.01)
"""


def test_progress_shows_by_call_and_by_bar(server: RunningServer, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.touch()
    jobs = {}
    for name, main in (("bar", BAR), ("report", REPORT)):
        server.job(name, main=main)
        client.register(name)
        (jobs[name],) = client.submit_many(name, [(str(path),)], limit_count=0)
    mj = Mj(server.url, (server.home / "token").read_text().strip(), server.home)
    try:
        bar = wait.until(lambda: client.job(jobs["bar"]).progress, what="the bar", timeout_s=120, pause_s=0.2)
        assert (bar.n, bar.total) == (6, 8)
        found = wait.until(
            lambda: (said := client.job(jobs["report"]).progress) and said.eta_s and said,
            what="an ETA",
            timeout_s=120,
            pause_s=0.2,
        )
        assert found.total == 1000
        assert 0.5 < (found.n + found.eta_s) / 1000 < 2
        (row,) = client.jobs_page(ids=[jobs["bar"]])["jobs"]
        assert (row["progress"]["n"], row["progress"]["total"]) == (6, 8)
        assert "75% (6 of 8)" in mj("show", str(jobs["bar"])).stdout
        assert "75% (6 of 8)" in mj("ls").stdout
        assert "75% (6 of 8)" in client.job(jobs["bar"]).refresh()._repr_html_()
    finally:
        path.unlink()
    client.job(jobs["bar"]).wait(timeout_s=120)
    assert client.job(jobs["bar"]).refresh()["progress"] is None


#: Prints so many MB of numbered lines of 100 bytes.
FLOOD = """
import sys

def work(megabytes):
    line = "%099d\\n"
    for at in range(0, megabytes * 10_000, 1000):
        sys.stdout.write("".join([line % (at + one) for one in range(1000)]))
    return megabytes
"""
MEGABYTES = int(os.environ.get("MJ_FLOOD_MB", "120"))


def test_a_flood_is_bounded_everywhere_and_can_be_followed(server: RunningServer, client: Client, root: Path) -> None:
    server.job("flood", main=FLOOD)
    client.register("flood")
    (warm,) = client.submit_many("flood", [(1,)])
    client.job(warm).wait(timeout_s=120)
    server_kb, stored = memory_kb(server.pid), stored_bytes(server)
    (job_id,) = client.submit_many("flood", [(MEGABYTES,)], limit_count=0)
    sizes, runner_kb, parts = [0], [0], []
    ended = threading.Event()

    def measure() -> None:
        while not ended.wait(0.05):
            runner_kb.append(max((memory_kb(pid) for pid in runners(root)), default=0))
            for folder in root.glob("*/run/attempts"):
                with contextlib.suppress(OSError):
                    sizes.append(sum(file.stat().st_size for file in folder.iterdir()))

    watcher = threading.Thread(target=measure)
    watcher.start()
    try:
        parts = list(client.follow(job_id, streams=["stdout"]))
    finally:
        ended.set()
        watcher.join()
    assert client.job(job_id).result(timeout_s=60) == MEGABYTES
    text_bytes = sum(len(part.text.encode()) for part in parts)
    left_out = sum(part.left_out for part in parts)
    print(
        f"{MEGABYTES} MB printed: runner {max(runner_kb)} KB, its files {max(sizes)} bytes, server "
        f"{server_kb} → {memory_kb(server.pid)} KB, database +{stored_bytes(server) - stored} bytes, followed "
        f"{text_bytes} bytes, left out {left_out}"
    )
    assert text_bytes + left_out == MEGABYTES * 1_000_000
    lines = "".join(part.text for part in parts).splitlines()
    assert int(lines[-1]) == MEGABYTES * 10_000 - 1
    assert int(lines[0]) == 0
    assert max(sizes) <= 11 * 2**20
    assert max(runner_kb) < 60_000
    assert memory_kb(server.pid) - server_kb < 60_000
    assert stored_bytes(server) - stored < 8 * 2**20


def memory_kb(pid: int) -> int:
    """What a process holds now; 0: it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def runners(root: Path) -> list[int]:
    """The runner below this root."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_runner = (path / "comm").read_text().strip() == "mj-runner"
            if is_runner and str(root) in (path / "cmdline").read_text():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def stored_bytes(server: RunningServer) -> int:
    return sum(file.stat().st_size for file in server.home.glob("*.db*"))
