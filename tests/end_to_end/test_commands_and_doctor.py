"""A running server that is asked to add a machine, to trust its key, to look it over: by API and by ``mj doctor``."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multijob import Client
from tests.support import wait
from tests.support.hosts import Host, Hosts
from tests.support.server import RunningServer, running

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(600)]


#: Whatever waits for a person waits longer than any test does, so that only being told ends it; the rest may be slow.
PATIENT = {"connect_refused_s": 86400, "contact_s": 120, "hello_s": 120, "poll_timeout_s": 120}


@pytest.fixture
def host(hosts: Hosts) -> Host:
    return hosts.start("lab-1")


@pytest.fixture
def server(tmp_path: Path, host: Host) -> Iterator[RunningServer]:
    with running(tmp_path / "home", "machines: {}\n", **PATIENT) as server:
        server.inventory.write_text("# mine\n")
        yield server


def line_of(hosts: Hosts, host: Host) -> dict[str, Any]:
    return {
        "machine_id": host.name,
        "host": host.address,
        "port": host.port,
        "user": hosts.user(),
        "identity_file": str(hosts.identity),
        "root": hosts.root_of(host),
    }


def done(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    """The command once it has ended."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.call("GET", f"/api/v1/commands/{asked['command_id']}", {"wait_s": 5})
        return found if found["state"] in ("done", "failed") else None

    return wait.until(look, what="the command's end", timeout_s=240)


def state_of(client: Client, machine_id: str) -> str | None:
    return next((row["state"] for row in client.machines() if row["machine_id"] == machine_id), None)


def row_of(client: Client, machine_id: str) -> dict[str, Any]:
    return next(dict(row) for row in client.machines() if row["machine_id"] == machine_id)


def add(client: Client, line: dict[str, Any], **more: Any) -> dict[str, Any]:
    return done(client, client.call("POST", "/api/v1/machines", json_body={**line, **more}))


def test_a_machine_joins_only_with_its_key_accepted(hosts: Hosts, host: Host, server: RunningServer) -> None:
    client = server.client()
    refused = add(client, line_of(hosts, host))
    assert refused["state"] == "failed"
    assert refused["answer"]["fingerprint"] == host.fingerprint()
    assert [step["step"] for step in refused["progress"]][:3] == ["resolve", "tcp", "host_key"]
    wrong = add(client, line_of(hosts, host), accept="SHA256:" + "x" * 43)
    assert wrong["answer"]["added"] is False
    assert server.inventory.read_text() == "# mine\n"

    added = add(client, line_of(hosts, host), accept=host.fingerprint())
    assert (added["state"], added["answer"].get("error")) == ("done", None), added["progress"]
    assert (added["answer"]["added"], added["answer"]["ok"]) == (True, True)
    assert server.inventory.read_text().startswith("# mine\nmachines:\n  lab-1: {host:")
    wait.until(lambda: state_of(client, "lab-1") == "ready", what="a ready machine", timeout_s=180)

    again = add(client, line_of(hosts, host))
    assert "there is a machine lab-1 already" in again["answer"]["error"]


def test_a_machine_that_is_not_fit_is_not_added(hosts: Hosts, host: Host, server: RunningServer) -> None:
    client = server.client()
    line = line_of(hosts, host) | {"python": "/no/such/python3"}
    found = add(client, line, accept=host.fingerprint())
    assert (found["state"], found["answer"]["added"]) == ("failed", False)
    assert "Python" in found["answer"]["error"]
    assert add(client, line, accept=host.fingerprint(), force=True)["answer"]["added"] is True


def test_a_changed_key_stops_the_machine_until_it_is_trusted(hosts: Hosts, host: Host, server: RunningServer) -> None:
    client = server.client()
    add(client, line_of(hosts, host), accept=host.fingerprint())
    wait.until(lambda: state_of(client, "lab-1") == "ready", what="a ready machine", timeout_s=180)
    host.change_key()
    wait.until(lambda: row_of(client, "lab-1")["state"] == "untrusted", what="an untrusted machine", timeout_s=180)
    assert row_of(client, "lab-1")["fingerprint"] == host.fingerprint(), "what the page and mj machine trust show"
    no = done(
        client, client.call("POST", "/api/v1/machines/lab-1/trust", json_body={"fingerprint": "SHA256:" + "x" * 43})
    )
    assert "has shown no key" in no["answer"]["error"]
    asked = client.call("POST", "/api/v1/machines/lab-1/trust", json_body={"fingerprint": host.fingerprint()})
    assert done(client, asked)["state"] == "done"
    wait.until(lambda: state_of(client, "lab-1") == "ready", what="a ready machine, once told", timeout_s=180)


def mj(server: RunningServer, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "orchestrator.cli", "--home", str(server.home), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_mj_doctor_by_a_server_and_without_one(hosts: Hosts, host: Host, server: RunningServer) -> None:
    client = server.client()
    add(client, line_of(hosts, host), accept=host.fingerprint())
    wait.until(lambda: state_of(client, "lab-1") == "ready", what="a ready machine", timeout_s=180)
    by_server = mj(server, "doctor")
    assert by_server.returncode == 0, by_server
    assert "the server: fit" in by_server.stdout
    assert "lab-1: fit" in by_server.stdout
    one = json.loads(mj(server, "doctor", "lab-1", "--json").stdout)
    assert [report["about"] for report in one] == ["lab-1"]
    assert len(one[0]["steps"]) == 13

    server.stop()
    from_here = mj(server, "doctor", "--json")
    assert from_here.returncode == 0, from_here
    assert [report["ok"] for report in json.loads(from_here.stdout)] == [True, True]
    host.stop()
    broken = mj(server, "doctor", "lab-1")
    assert broken.returncode == 1
    assert "FAIL network" in broken.stdout
    assert "→ start sshd on the machine" in broken.stdout
    assert mj(server, "doctor", "lab-9").returncode == 2
    server.start()
