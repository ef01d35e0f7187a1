"""Where a page's blocks run: a folder of their own beside a running server with two real SSH machines."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.demo.quotes import Quotes
from tests.docs.walk import Walk
from tests.support import hosts as ssh_hosts
from tests.support import wait
from tests.support.server import RunningServer

#: Machines may be slow to answer where many tests run.
PATIENT = {"contact_s": 120, "hello_s": 120, "poll_timeout_s": 60}
PATIENCE_S = 240.0
#: Pages speak of jobs by these numbers.
JOBS_OF_BEFORE = 40
EARLIER = """
def work(x):
    print("working on", x)
    if x % 10 == 7:
        raise ValueError("%d is not welcome" % x)
    return x
"""


@pytest.fixture(scope="session")
def quotes() -> Iterator[Quotes]:
    """The quotes service that the manual's example asks."""
    service = Quotes()
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, quotes: Quotes) -> Iterator[RunningServer]:
    """One server for all pages; its machines carry the names and tags that the pages speak of."""
    with ssh_hosts.running() as hosts:
        for _ in range(2):
            # Whatever the login files of this account do, a page's machines do not.
            hosts.start(lines=[f"SetEnv HOME={hosts.home}"])
        inventory = hosts.inventory(limit_process=2, python=sys.executable)
        inventory = inventory.replace("{host:", f"{{tag: [test, gpu], env: {{QUOTES_URL: '{quotes.url}'}}, host:")
        server = RunningServer(tmp_path_factory.mktemp("server"), inventory.replace("node-", "lab-"), **PATIENT)
        (server.home / "known_hosts").write_text((hosts.home / "known_hosts").read_text())
        server.start()
        try:
            _live_a_little(server)
            yield server
        finally:
            server.stop()


def _live_a_little(server: RunningServer) -> None:
    client = server.client()
    states = lambda: [row["state"] for row in client.machines()]  # noqa: E731 - one look
    wait.until(lambda: states() == ["ready"] * 2, what="two machines", timeout_s=PATIENCE_S)
    server.job("earlier", main=EARLIER)
    client.register("earlier")
    client.submit_many("earlier", range(1, JOBS_OF_BEFORE + 1), batch="earlier", limit_count=0).wait(
        timeout_s=PATIENCE_S
    )


@pytest.fixture
def walk(running: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    """A fresh folder, and an account whose server is the running one."""
    monkeypatch.chdir(tmp_path)
    for variable in ("MJ_URL", "MJ_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MJ_HOME", str(running.home))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("COLUMNS", "100")
    token = (running.home / "token").read_text().strip()
    address = running.url.removeprefix("http://")
    return Walk(
        tmp_path,
        running.home,
        {
            "http://127.0.0.1:5006": running.url,
            "https://jobs.example.org": running.url,
            "@server.example.org:5006": f"@{address}",
            "mj:TOKEN@": f"mj:{token}@",
            "MJ_TOKEN=…": f"MJ_TOKEN={token}",
            "~/.local/share/multijob": str(running.home),
            "/Path/": f"{tmp_path}/Path/",
            # Enough to see that it works.
            "range(10_000)": "range(200)",
            "range(1000)": "range(200)",
        },
    )
