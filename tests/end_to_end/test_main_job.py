"""The main job, end to end: a server as people run it, real SSH machines, the SDK."""

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from multijob import Client
from tests.support import jobs, wait
from tests.support.hosts import Hosts
from tests.support.processes import processes_below
from tests.support.server import RunningServer

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


def publish(server: RunningServer, client: Client, name: str, **files: str) -> int:
    server.job(name, **files)
    return int(client.register(name).version)


def machine(client: Client, machine_id: str) -> dict[str, object]:
    return next((row for row in client.machines() if row["machine_id"] == machine_id), {})


def all_ready(client: Client, count: int) -> None:
    wait.until(lambda: [row["state"] for row in client.machines()] == ["ready"] * count, what="all machines")


def test_a_thousand_jobs_on_three_machines(server: RunningServer, client: Client) -> None:
    publish(server, client, "add", main=jobs.ADD.replace("return", "__import__('time').sleep(0.005)\n    return"))
    all_ready(client, 3)
    submitted = client.submit_many("add", [(number, 1) for number in range(1000)])
    results = {result.id: result for result in client.results(submitted, timeout_s=120)}
    assert [results[job_id].result for job_id in submitted] == [number + 1 for number in range(1000)]
    assert {result.status for result in results.values()} == {3}
    assert {result.machine_id for result in results.values()} == {"node-1", "node-2", "node-3"}
    one = client.job(next(iter(submitted)))
    assert one["version"] == 0
    assert one["attempt"] == 1


def test_return_main_runs_here_and_its_files_stay(server: RunningServer, client: Client) -> None:
    publish(
        server,
        client,
        "keep",
        main="def work(name, text):\n    return {'result': text, 'return_data': {'name': name, 'text': text}}\n",
        return_main="def work(data):\n    open(data['name'], 'w').write(data['text'])\n",
    )
    submitted = client.submit_many("keep", [(f"file-{number}", "x" * number) for number in range(30)])
    assert {result.status for result in client.results(submitted, timeout_s=60)} == {3}
    for number in range(30):
        assert (server.home / "returns" / "keep" / f"file-{number}").read_text() == "x" * number


def test_a_failing_return_main_ends_minus_two_and_remote_work_is_not_repeated(
    server: RunningServer, client: Client, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    publish(
        server,
        client,
        "back",
        main=jobs.LEDGER.replace('"count": 1', '"return_data": 1'),
        return_main="def work(data):\n    raise RuntimeError('no room at home')\n",
    )
    job = client.submit_many("back", [(str(ledger), 1)], limit_count=0)
    [result] = client.results(job, timeout_s=60)
    assert (result.status, result.reason) == (-2, "return_error")
    assert "no room at home" in str(client.job(result.id))
    assert ledger.read_text().count("start") == 1


@pytest.mark.parametrize(
    ("kind", "reason", "words"),
    [
        ("raises", "error", "a mistake on purpose"),
        ("exits", "error", "3"),
        ("exits hard", "died", "7"),
        ("signal", "died", "9"),
        ("set", "bad_result", "result.a"),
        ("nan", "bad_result", "result[1]"),
        ("no result", "bad_result", "result"),
    ],
)
def test_each_failure_says_what_happened(server: RunningServer, kind: str, reason: str, words: str) -> None:
    client = server.client()
    publish(server, client, "zoo", main=jobs.ZOO)
    job_id = client.insert("zoo", kind)
    [result] = client.results(job_id, timeout_s=60)
    job = client.job(job_id)
    assert (result.status, result.reason) == (-1, reason)
    assert words in str(job)
    starts = 1 if reason == "bad_result" else 2
    assert len(client.attempts(job_id)) == starts
    assert "before" in str(client.log(job_id))


def test_a_new_version_for_waiting_jobs_and_the_old_one_for_running_ones(
    hosts: Hosts, start_server: object, tmp_path: Path
) -> None:
    hosts.start()
    server = start_server(hosts.inventory(limit_process=1))  # type: ignore[operator]
    client = server.client()
    code = jobs.UNTIL.replace("os.path.basename(os.getcwd())", "open('data.txt').read()")
    publish(server, client, "pair", main=code, **{"data.txt": "old"})
    gate = tmp_path / "gate"
    first = client.insert("pair", str(gate))
    wait.until(lambda: client.job(first)["status"] == 1, what="the first to run")
    later = client.submit_many("pair", [str(gate)] * 3)
    assert client.register("pair").changed is False
    assert publish(server, client, "pair", **{"data.txt": "new"}) == 1
    gate.touch()
    results = {result.id: result for result in client.results([first, *later], timeout_s=60)}
    assert (results[first].version, results[first].result) == (0, "old")
    assert [(results[job].version, results[job].result) for job in later] == [(1, "new")] * 3


def test_a_machine_added_while_jobs_run_and_a_typo_that_changes_nothing(
    server: RunningServer, client: Client, hosts: Hosts
) -> None:
    publish(server, client, "slow", main="import time\ndef work(n):\n    time.sleep(0.05)\n    return n\n")
    submitted = client.submit_many("slow", range(1200))
    good = server.inventory.read_text()
    hosts.start("late")
    server.inventory.write_text(good + "  broken: {hots: 127.0.0.9}\n")
    problems = wait.until(lambda: client.server()["inventory_problems"], what="the problem to be shown")
    assert problems[0]["line"] == len(good.splitlines()) + 1
    assert "hots" in str(problems)
    assert len(client.machines()) == 3
    with (server.home / "known_hosts").open("a") as known:
        known.write((hosts.home / "known_hosts").read_text().splitlines()[-1] + "\n")
    server.inventory.write_text(hosts.inventory(limit_process=2))
    results = list(client.results(submitted, timeout_s=120))
    assert Counter(result.status for result in results) == {3: 1200}
    assert "late" in {result.machine_id for result in results}
    assert client.server()["inventory_problems"] == []


def test_a_removed_machine_finishes_what_runs_and_gives_the_rest_back(
    server: RunningServer, client: Client, hosts: Hosts, tmp_path: Path
) -> None:
    publish(server, client, "until", main=jobs.UNTIL)
    publish(server, client, "add", main=jobs.ADD)
    gate = tmp_path / "gate"
    running = client.submit_many("until", [str(gate)] * 6, limit_count=0)
    wait.until(lambda: sum(row["running"] for row in client.machines()) == 6, what="all slots to be taken")
    gone = hosts.hosts[2].name
    text = hosts.inventory(limit_process=2)
    server.inventory.write_text("".join(line for line in text.splitlines(True) if f"  {gone}:" not in line))
    wait.until(lambda: "removed" in str(machine(client, gone)), what="the removal to be taken over")
    gate.touch()
    results = list(client.results(running, timeout_s=60))
    assert Counter(result.status for result in results) == {3: 6}
    assert Counter(result.machine_id for result in results)[gone] == 2
    wait.until(lambda: machine(client, gone) == {}, what="the machine to be let go")
    later = client.submit_many("add", range(20))
    assert gone not in {result.machine_id for result in client.results(later, timeout_s=60)}


def test_a_million_jobs_for_nobody_hide_nothing(server: RunningServer, client: Client) -> None:
    """A hundred thousand here, a million in the bench: the way is the same, reading heads of lanes only."""
    publish(server, client, "add", main=jobs.ADD)
    client.submit_many("add", ((number,) for number in range(100_000)), tag="nobody", priority=9, chunk=5000)
    [result] = client.results(client.insert("add", 40, 2), timeout_s=60)
    assert result.result == 42
    waiting = client.jobs_page(size=1, tag="nobody")["jobs"][0]
    assert client.job(waiting["id"])["waiting_because"]["code"] == "no_tag"


def test_nothing_of_ours_is_left_running_and_everything_is_below_one_root(
    server: RunningServer, client: Client, hosts: Hosts
) -> None:
    publish(server, client, "add", main=jobs.ADD)
    list(client.results(client.submit_many("add", range(50)), timeout_s=60))
    roots = [Path(hosts.root_of(host)) for host in hosts.hosts]
    assert any(processes_below(root) for root in roots)
    for root in roots:
        wait.until(lambda root=root: not processes_below(root), what="the runner to leave", timeout_s=60)
        [ours] = list(root.iterdir())
        assert ours.stat().st_mode & 0o777 == 0o700
        left = {str(path.relative_to(ours)) for path in ours.rglob("*") if path.is_file()}
        assert {name for name in left if name.split("/")[0] not in ("runner", "versions")} <= {"born", "run/lock"}


def test_two_listeners_both_on_the_loopback(server: RunningServer) -> None:
    shown = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    ours = [line.split()[3] for line in shown.splitlines() if f"pid={server.pid}," in line]
    assert len(ours) == 2
    assert all(address.startswith("127.0.0.1:") for address in ours)


def test_work_goes_on_while_the_server_is_away_and_is_collected_when_it_is_back(
    server: RunningServer, client: Client, tmp_path: Path
) -> None:
    publish(server, client, "ledger", main=jobs.LEDGER)
    ledger = tmp_path / "ledger"
    submitted = client.submit_many("ledger", [(str(ledger), number, 2) for number in range(20)], limit_count=0)
    wait.until(lambda: ledger.exists() and ledger.read_text().count("start") >= 4, what="some to begin")
    server.kill()
    ended = ledger.read_text().count("end")
    wait.until(lambda: ledger.read_text().count("end") > ended, what="work to go on without the server", timeout_s=60)
    server.start()
    results = list(server.client().results(submitted, timeout_s=120))
    assert Counter(result.status for result in results) == {3: 20}
    lines = Counter(ledger.read_text().splitlines())
    assert set(lines.values()) == {1}
    assert len(lines) == 40


def test_a_killed_runner_ends_its_jobs_within_their_budget(
    server: RunningServer, client: Client, hosts: Hosts, tmp_path: Path
) -> None:
    publish(server, client, "ledger", main=jobs.LEDGER)
    ledger = tmp_path / "ledger"
    submitted = client.submit_many("ledger", [(str(ledger), number, 0.2) for number in range(40)], limit_count=3)
    wait.until(lambda: ledger.exists() and ledger.read_text().count("end") >= 3, what="some to end")
    for pid in processes_below(Path(hosts.root_of(hosts.hosts[0]))):
        with_pid_gone(pid)
    results = list(client.results(submitted, timeout_s=120))
    assert Counter(result.status for result in results) == {3: 40}
    starts = Counter(line for line in ledger.read_text().splitlines() if line.startswith("start"))
    assert max(starts.values()) <= 4


def with_pid_gone(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_pause_by_call_is_in_force_soon_and_running_jobs_go_on(
    server: RunningServer, client: Client, tmp_path: Path
) -> None:
    publish(server, client, "until", main=jobs.UNTIL)
    gate = tmp_path / "gate"
    running = client.submit_many("until", [str(gate)] * 6, limit_count=0)
    wait.until(lambda: sum(row["running"] for row in client.machines()) == 6, what="all slots to be taken")
    client.change_machine("node-1", paused=True, name="the first")
    wait.until(lambda: machine(client, "node-1")["state"] == "paused", what="the pause")
    assert machine(client, "node-1")["name"] == "the first"
    gate.touch()
    assert Counter(result.status for result in client.results(running, timeout_s=60)) == {3: 6}
    later = list(client.results(client.submit_many("until", [str(gate)] * 30), timeout_s=60))
    assert "node-1" not in {result.machine_id for result in later}
    client.change_machine("node-1", paused=False)
    wait.until(lambda: machine(client, "node-1")["state"] == "ready", what="the end of the pause")
