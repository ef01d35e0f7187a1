"""Functions without a job folder on three real SSH machines: an Executor, its exceptions, its cancels; the example."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from multijob import Client, Executor, JobFailed
from tests.support import wait
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(400)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "functions.py"
MANY = 1000


@pytest.fixture
def server(hosts: Hosts, start_server: object) -> RunningServer:
    """With machines of the Python that runs the tests."""
    for _ in range(3):
        hosts.start()
    return start_server(hosts.inventory(limit_process=2, python=sys.executable))  # type: ignore[operator, no-any-return]


@pytest.fixture
def client(server: RunningServer) -> Client:
    made = server.client()
    wait.until(lambda: [machine["state"] for machine in made.machines()] == ["ready"] * 3, timeout_s=180)
    return made


def test_a_lambda_over_a_thousand_values(client: Client) -> None:
    offset = 7
    with Executor(client) as executor:
        assert list(executor.map(lambda n: n * n + offset, range(MANY))) == [n * n + offset for n in range(MANY)]
    rows = list(client.results(executor.batch, timeout_s=30))
    assert sum(row.count or 0 for row in rows) == MANY
    assert {row.status for row in rows} == {3}
    assert {row.machine_id for row in rows} <= {"node-1", "node-2", "node-3"}
    assert [one.name for one in client.job_types()] == ["_function_{}_{}".format(*sys.version_info[:2])]


def test_an_exception_comes_back_with_its_remote_traceback(client: Client) -> None:
    def halve(number: int) -> float:
        return 1 / number

    with Executor(client) as executor:
        good, bad = executor.submit(halve, 2), executor.submit(halve, 0)
        assert good.result(120) == 0.5
        with pytest.raises(ZeroDivisionError, match="division by zero") as raised:
            bad.result(120)
    cause = raised.value.__cause__
    assert isinstance(cause, JobFailed)
    assert cause.machine_id in {"node-1", "node-2", "node-3"}
    assert (cause.attempt, cause.version) == (1, 0)
    assert "in halve" in cause.remote_traceback
    assert cause.remote_traceback.endswith("ZeroDivisionError: division by zero\n")


def test_cancel_before_and_while_it_runs(client: Client) -> None:
    with Executor(client, limit_count=0) as executor:  # so that nothing waits on a machine
        futures = [executor.submit(time.sleep, 600) for _ in range(20)]
        try:
            wait.until(futures[0].running, what="the first call", timeout_s=120)
            assert futures[19].cancel()
            assert not futures[0].cancel(), "it has begun"
            assert futures[0].cancel(running=True)
        finally:
            executor.cancel(running=True)
    assert all(future.cancelled() for future in futures)
    assert client.wait(executor.batch, timeout_s=60).failed == 20


def test_the_example(server: RunningServer, client: Client) -> None:
    known = {**os.environ, "MJ_URL": server.url, "MJ_TOKEN": (server.home / "token").read_text().strip()}
    done = subprocess.run([sys.executable, str(EXAMPLE)], env=known, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{sum(n * n for n in range(1000))}\njob ")
    assert "ZeroDivisionError: integer division or modulo by zero" in done.stdout
