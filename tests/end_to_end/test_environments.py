"""Packages on real SSH machines that had none: installed once, from wheels the server sends; what cannot be is told."""

import sys
from pathlib import Path
from typing import Any

import pytest

from multijob import Client
from tests.support import wait, wheels
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(400)]

#: Says which package it found, and where it and what it starts look for it.
MAIN = """
import subprocess, sys
def work(name="mjtiny"):
    import mjtiny
    child = subprocess.run([sys.executable, "-c", "import mjtiny; print(mjtiny.SAYS)"], capture_output=True, text=True)
    return {"result": {"says": mjtiny.SAYS, "file": mjtiny.__file__, "child": child.stdout.strip()}}
"""


@pytest.fixture
def server(hosts: Hosts, start_server: Any) -> RunningServer:
    """Two machines of the Python that runs the tests, and packages that come from the server's wheels alone."""
    for _ in range(2):
        hosts.start()
    return start_server(
        hosts.inventory(limit_process=2, python=sys.executable),
        package_index="none",
        deploy_first_s=1,
        deploy_longest_s=2,
    )  # type: ignore[no-any-return]


@pytest.fixture
def client(server: RunningServer) -> Client:
    wheels.make(server.home / "wheels", "mjtiny", mjtiny="SAYS = 'hello'\n", requires="mjdeep>=2")
    wheels.make(server.home / "wheels", "mjdeep", "2.1", mjdeep="DEPTH = 3\n")
    made = server.client()
    wait.until(lambda: [machine["state"] for machine in made.machines()] == ["ready"] * 2, timeout_s=180)
    return made


def publish(server: RunningServer, client: Client, name: str, requirements: str, main: str = MAIN) -> None:
    server.job(name, main=main, **{"requirements.txt": requirements})
    client.register(name)


def environments(client: Client) -> list[dict[str, Any]]:
    return [one for machine in client.machines() for one in machine["environments"]]


def shown(client: Client) -> list[tuple[str, ...]]:
    """State and job types of each."""
    return [(one["state"], *one["job_types"]) for one in environments(client)]


def on_each(client: Client, hosts: Hosts, job_type: str) -> list[int]:
    """Four jobs for each machine, by its tag."""
    return [job for host in hosts.hosts for job in client.submit_many(job_type, [{}] * 4, tag=host.name)]


def test_packages_from_wheels_of_the_server_for_all_who_ask_for_the_same(
    server: RunningServer, client: Client, hosts: Hosts
) -> None:
    for host in hosts.hosts:  # a machine that nobody needs installs nothing
        client.change_machine(host.name, tag=host.name)
    publish(server, client, "first", "mjtiny >= 1.0  # ours\n")
    results = list(client.results(on_each(client, hosts, "first"), timeout_s=240))
    assert {row.status for row in results} == {3}, [row.error for row in results]
    said = results[0].result
    assert (said["says"], said["child"]) == ("hello", "hello")
    assert "/environments/" in said["file"]
    wait.until(lambda: shown(client) == [("ready", "first")] * 2, timeout_s=240)
    before = made_at(hosts)
    publish(server, client, "second", "MJTiny>=1.0\n")
    results = list(client.results(on_each(client, hosts, "second"), timeout_s=120))
    assert {row.status for row in results} == {3}, [row.error for row in results]
    assert made_at(hosts) == before, "the same lock: nothing was built"
    wait.until(lambda: shown(client) == [("ready", "first", "second")] * 2, timeout_s=60)
    assert all(one["size_bytes"] > 0 and one["python"].startswith("3.") for one in environments(client))


def test_what_cannot_be_installed_ends_in_the_installers_words_and_holds_up_nobody(
    server: RunningServer, client: Client
) -> None:
    server.job("plain", main="def work(n):\n    return {'result': n}\n")
    client.register("plain")
    publish(server, client, "broken", "mjtiny==99.0\n")
    broken = client.submit_many("broken", [{}] * 3)
    plain = client.submit_many("plain", [{"n": n} for n in range(50)])
    assert {row.status for row in client.results(plain, timeout_s=120)} == {3}
    failed = list(client.results(broken, timeout_s=240))
    assert [row.status for row in failed] == [-1] * 3
    assert all(row.reason == "environment_failed" and "mjtiny==99.0" in str(row.error) for row in failed)
    assert "mjtiny" in client.job(failed[0].id).log()
    wait.until(lambda: shown(client) == [("failed", "broken")] * 2, timeout_s=60)
    assert all("mjtiny==99.0" in one["why"] for one in environments(client))
    publish(server, client, "first", "mjtiny\n")
    assert client.insert("first")
    wait.until(lambda: [job.status for job in client.jobs(job_type="first")] == [3], timeout_s=240)
    wheels.make(server.home / "wheels", "mjtiny", "99.0", mjtiny="SAYS = 'mended'\n")

    def is_mended() -> bool:
        """After a rest it is tried anew, with the wheels there are then."""
        return client.job(client.insert("broken")).wait(timeout_s=120).ok

    wait.until(is_mended, timeout_s=200)


def test_a_build_outlives_the_server_and_the_connection(
    server: RunningServer, client: Client, hosts: Hosts, tmp_path: Path
) -> None:
    gate, log = tmp_path / "gate", tmp_path / "builds"
    wheels.make_slow(server.home / "wheels", "mjslow", gate, log)
    publish(server, client, "slow", "mjslow\n", main="import mjslow\ndef work():\n    return mjslow.SAYS\n")
    server.job("plain", main="def work(n):\n    return {'result': n}\n")
    client.register("plain")
    job = client.job(client.insert("slow"))
    wait.until(log.exists, what="the build's begin", timeout_s=200)
    building = "building environment on node-"
    wait.until(lambda: building in (job.refresh().waiting_because or ""), what="the reason", timeout_s=60)
    assert {one["state"] for one in environments(client)} == {"building"}
    plain = client.submit_many("plain", [{"n": n} for n in range(20)])
    assert {row.status for row in client.results(plain, timeout_s=120)} == {3}
    server.kill()
    server.start()
    for host in hosts.hosts:
        host.cut()
    again = server.client()
    gate.touch()
    assert again.job(job.id).wait(timeout_s=240).ok, again.job(job.id).error
    assert again.job(job.id).result() == "slowly"
    assert len(log.read_text().splitlines()) <= 2, "no machine built it twice"


def made_at(hosts: Hosts) -> dict[str, float]:
    """When each environment on the machines was made."""
    roots = [Path(hosts.root_of(host)) for host in hosts.hosts]
    return {str(path): path.stat().st_ctime for root in roots for path in root.glob("*/environments/[!.]*/bin")}
