"""Machines in trouble, end to end: lost for good, lost and back, with an older runner, purged, without linger."""

import contextlib
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from multijob import Client
from tests.support import jobs, wait
from tests.support.hosts import Host, Hosts
from tests.support.processes import processes_below
from tests.support.server import RunningServer

until = partial(wait.until, timeout_s=120.0)

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(600)]

StartServer = Callable[..., RunningServer]
OLD_RUNNER = Path(__file__).parents[1] / "wire" / "v1" / "runner.pyz"


#: Mostly short, so that many are sent ahead; a few wait for a gate.
WAITS_OR_NOT = """
import os, time
def work(ledger, n, gate=None):
    with open(ledger, "a") as file:
        file.write("start %s\\n" % n)
    while gate and not os.path.exists(gate):
        time.sleep(0.01)
    return n
"""


def publish(server: RunningServer, client: Client, name: str, **files: str) -> None:
    server.job(name, **files)
    client.register(name)


def machine(client: Client, machine_id: str) -> dict[str, object]:
    return next((row for row in client.machines() if row["machine_id"] == machine_id), {})


def ready(client: Client, *machine_ids: str) -> None:
    for name in machine_ids:
        until(lambda name=name: machine(client, name).get("state") == "ready", what=f"{name} to be ready")


def root_of(hosts: Hosts, host: Host) -> Path:
    """Our folder on a host."""
    [ours] = [path for path in Path(hosts.root_of(host)).iterdir() if path.is_dir()]
    return ours


def runner_of(hosts: Hosts, host: Host) -> int:
    """The living runner's pid."""
    return int((root_of(hosts, host) / "run" / "lock").read_text())


def busy_with_many(server: RunningServer, client: Client, gate: Path, ledger: Path) -> tuple[list[int], list[int]]:
    """node-1 runs two long jobs and holds hundreds it has not begun; node-2 takes nothing yet. (long, short) ids."""
    publish(server, client, "ledger", main=WAITS_OR_NOT)
    ready(client, "node-1", "node-2")
    client.change_machine("node-2", paused=True)
    until(lambda: machine(client, "node-2").get("state") == "paused", what="the pause")
    list(client.results(client.submit_many("ledger", [(os.devnull, n) for n in range(1500)]), timeout_s=150))
    running = client.submit_many("ledger", [(os.devnull, n, str(gate)) for n in range(2)], limit_count=1)
    until(lambda: machine(client, "node-1")["running"] == 2, what="both to run")
    short = client.submit_many("ledger", [(str(ledger), n) for n in range(500)], limit_count=1)
    until(lambda: int(str(machine(client, "node-1")["assigned"])) > 20, what="many to be assigned ahead")
    return list(running), list(short)


def a_pair(hosts: Hosts, start_server: StartServer, lost_after_s: int) -> RunningServer:
    for _ in range(2):
        hosts.start()
    return start_server(hosts.inventory(limit_process=2), lost_after_s=lost_after_s, connect_longest_s=2)


def test_a_machine_lost_for_good(hosts: Hosts, start_server: StartServer, tmp_path: Path) -> None:
    pair = a_pair(hosts, start_server, lost_after_s=12)
    client = pair.client()
    gate, ledger = tmp_path / "gate", tmp_path / "ledger"
    running, short = busy_with_many(pair, client, gate, ledger)
    hosts.hosts[0].stop()
    for pid in processes_below(Path(hosts.root_of(hosts.hosts[0]))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    client.change_machine("node-2", paused=False)
    gate.touch()
    results = {result.id: result for result in client.results([*running, *short], timeout_s=150)}
    assert {result.status for result in results.values()} == {3}
    assert {results[job].machine_id for job in running} == {"node-2"}
    assert [client.attempts(job)[0]["reason"] for job in running] == ["lost", "lost"]
    assert {client.job(job)["attempt"] for job in running} == {2}
    starts = Counter(line for line in ledger.read_text().splitlines() if line.startswith("start"))
    assert len(starts) == 500
    assert max(starts.values()) == 1
    # whoever had been sent counts as begun, for nobody can show that it was not; the others cost nothing
    first = {job: client.attempts(job)[0] for job in short}
    assert {attempt["reason"] for attempt in first.values()} <= {"lost", "given_back", ""}
    assert all(client.job(job)["starts"] == 1 + (first[job]["reason"] == "lost") for job in short)


def test_a_machine_whose_runner_died_and_that_came_back(
    hosts: Hosts, start_server: StartServer, tmp_path: Path
) -> None:
    """The journal shows who had not begun: those cost no start; the two that ran did."""
    pair = a_pair(hosts, start_server, lost_after_s=600)
    client = pair.client()
    gate, ledger = tmp_path / "gate", tmp_path / "ledger"
    running, short = busy_with_many(pair, client, gate, ledger)
    client.change_machine("node-1", limit_process=2)
    pid = runner_of(hosts, hosts.hosts[0])
    hosts.hosts[0].stop()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not processes_below(Path(hosts.root_of(hosts.hosts[0]))), what="the end of its workers")
    gate.touch()
    hosts.hosts[0].start()
    client.change_machine("node-2", paused=False)
    results = {result.id: result for result in client.results([*running, *short], timeout_s=150)}
    assert {result.status for result in results.values()} == {3}
    assert {client.attempts(job)[0]["reason"] for job in running} == {"died"}
    assert {client.job(job)["starts"] for job in short} == {1}
    starts = Counter(line for line in ledger.read_text().splitlines() if line.startswith("start"))
    assert max(starts.values()) == 1


def test_a_runner_of_the_release_before_is_adopted(hosts: Hosts, start_server: StartServer, tmp_path: Path) -> None:
    """Its jobs run on under a new server, which collects them and sends it more."""
    host = hosts.start()
    server = start_server(hosts.inventory(limit_process=2))
    client = server.client()
    publish(server, client, "until", main=jobs.UNTIL)
    gate = tmp_path / "gate"
    job = client.insert("until", str(gate))
    until(lambda: client.job(job)["status"] == 1 and machine(client, host.name)["running"] == 1, what="it to run")
    gate.touch()
    list(client.results(job, timeout_s=150))
    gate.unlink()
    server.stop()
    ours = root_of(hosts, host)
    until(lambda: not processes_below(ours), what="the new runner to leave")
    [new] = (ours / "runner").glob("*.pyz")
    shutil.rmtree(new.with_suffix(""), ignore_errors=True)
    current = new.read_bytes()
    new.write_bytes(OLD_RUNNER.read_bytes())
    server.start()
    client = server.client()
    job = client.insert("until", str(gate))
    until(lambda: client.job(job)["started_at"], what="the old runner to work")
    old = runner_of(hosts, host)
    server.kill()
    shutil.rmtree(new.with_suffix(""), ignore_errors=True)
    new.write_bytes(current)
    server.start()
    client = server.client()
    ready(client, host.name)
    more = client.insert("until", str(gate))
    until(lambda: client.job(more)["started_at"], what="more work for the old runner")
    assert runner_of(hosts, host) == old
    gate.touch()
    results = {result.id: result for result in client.results([job, more], timeout_s=150)}
    assert [(results[one].status, results[one].attempt) for one in (job, more)] == [(3, 1), (3, 1)]


def test_a_purge_leaves_nothing(hosts: Hosts, start_server: StartServer) -> None:
    host = hosts.start()
    server = start_server(hosts.inventory(limit_process=2))
    client = server.client()
    publish(server, client, "add", main=jobs.ADD)
    list(client.results(client.submit_many("add", range(20)), timeout_s=150))
    root = Path(hosts.root_of(host))
    assert list(root.iterdir())
    answer = client.machine(host.name).purge(timeout_s=120)
    assert answer["left"] == []
    told = {Path(one["path"]).name for one in answer["removed"]}
    assert {"run", "runner", "versions", "born"} <= told
    assert not root.exists()
    until(lambda: not processes_below(root), what="the end of what relayed to the runner")
    until(lambda: machine(client, host.name)["state"] == "closed", what="the machine to stay closed")


def test_where_logout_ends_work_the_runner_is_started_in_a_scope(
    hosts: Hosts, start_server: StartServer, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    called = tmp_path / "called"
    fakes = {
        "systemd-analyze": "printf 'KillUserProcesses=yes\\nKillExcludeUsers=\\n'",
        "loginctl": "echo Linger=yes",
        "systemd-run": f'echo "$@" >> {called}; while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
    }
    # The tool is asked only where a file says so: in the place of /run/systemd, ours.
    (tools / "logind.conf").write_text("[Login]\nKillUserProcesses=yes\n")
    fakes["python"] = f'sed \'s#"/run/systemd"#"{tools}"#\' | exec {sys.executable} "$@"'
    for name, line in fakes.items():
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    host = hosts.start(lines=[f"SetEnv PATH={tools}:{os.environ['PATH']}"])
    server = start_server(hosts.inventory(python=tools / "python"))
    client = server.client()
    publish(server, client, "add", main=jobs.ADD)
    [result] = client.results(client.insert("add", 1, 2), timeout_s=150)
    assert result.result == 3
    assert "attach --root" in called.read_text()
    assert machine(client, host.name)["marks"] == []
    (tools / "loginctl").write_text("#!/bin/sh\necho Linger=no\n")
    host.cut()
    until(lambda: "loginctl enable-linger" in str(machine(client, host.name)), what="the mark")
