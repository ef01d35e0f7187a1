"""The whole walk: SDK → server → real SSH machines → results in the submitter's hands. JSON lines.

The server runs in a process of its own; machines are private sshds on 127.0.0.2 …, two slots each. Every result is
checked. ``cpu_ms_per_job`` is the busy time of the whole box, so everything counts, also what others do on it;
``cpu_us_per_job_by`` is what our own processes used of it, but for those that ended meanwhile.
N is how many no-op jobs.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from bench._rows import Targets, busy_s, how_many, show, skip, wanted
from bench._stage import NOOP, SLOTS, Spent, a_server, run
from multijob import Client, Executor
from tests.support import databases, wait
from tests.support.hosts import Hosts
from tests.support.processes import processes_below
from tests.support.server import RunningServer

ROWS: Final = (
    "noop",
    "sleep10",
    "fresh_process",
    "return_main",
    "functions",
    "one",
    "new_machine",
    "runner_gone",
    "noop_mariadb",
    "noop_postgresql",
)
MACHINES = 4
SLEEP10 = "import time\ndef work(x, y):\n    time.sleep(0.01)\n    return x + y\n"
FRESH = "fresh_process: true\n"
RETURN = "def work(x, y):\n    return {'result': x + y, 'return_data': x}\n"
RETURN_MAIN = "def work(data):\n    pass\n"


class Workload(NamedTuple):
    """A job type, how many of it to run, and what is aimed at."""

    name: str
    n: int
    files: dict[str, str]
    targets: Targets


#: Two shared cores; what a busier or slower box gives is to be read as a ratio to noop.
NOOP_TARGETS: Targets = {"jobs_per_s": (">=", 15_000), "cpu_ms_per_job": ("<=", 0.09)}
WORKLOADS = [
    Workload("noop", how_many(50_000), {"main": NOOP}, NOOP_TARGETS),
    Workload("sleep10", 8_000, {"main": SLEEP10}, {"jobs_per_s": (">=", 760)}),
    Workload("fresh_process", 5_000, {"main": NOOP, "job.yml": FRESH}, {"jobs_per_s": (">=", 1_200)}),
    Workload("return_main", 10_000, {"main": RETURN, "return_main": RETURN_MAIN}, {"jobs_per_s": (">=", 3_000)}),
]
FUNCTIONS = 10_000


def main() -> None:
    if any(wanted(name) for name in ROWS[:7]):
        with a_server(MACHINES) as (server, hosts):
            _on_one_server(server, server.client(), hosts)
    if wanted("runner_gone"):
        with a_server(1, linger_s=0.2) as (server, hosts):
            runner_gone(server, server.client(), Path(hosts.root_of(hosts.hosts[0])))
    for kind in ("mariadb", "postgresql"):
        if wanted(f"noop_{kind}"):
            on_a_database(kind)


def _on_one_server(server: RunningServer, client: Client, hosts: Hosts) -> None:
    for workload in WORKLOADS:
        if wanted(workload.name):
            throughput(server, hosts, workload)
    if wanted("functions"):
        functions(server, client)
    if wanted("one"):
        latency(server, client)
    if wanted("new_machine"):
        new_machine(server, client, hosts)


def throughput(server: RunningServer, hosts: Hosts, workload: Workload, told: str = "") -> None:
    """Submit all, read all, check all; a small run before warms the machines."""
    client = server.client()
    server.job(workload.name, **workload.files)
    client.register(workload.name)
    run(client, workload.name, 200)
    spent, busy, started = Spent(server, hosts), busy_s(), time.perf_counter()
    run(client, workload.name, workload.n)
    wall_s, cpu_s = time.perf_counter() - started, busy_s() - busy
    show(
        told or workload.name,
        workload.targets,
        n=workload.n,
        jobs_per_s=round(workload.n / wall_s),
        wall_s=round(wall_s, 2),
        cpu_ms_per_job=round(cpu_s * 1000 / workload.n, 4),
        cpu_us_per_job_by={who: round(used_s * 1e6 / workload.n, 1) for who, used_s in spent.seconds().items()},
    )


def on_a_database(kind: str) -> None:
    """The no-op jobs with a private server of that kind as the store."""
    if lacks := databases.missing(kind):
        return skip(f"noop_{kind}", f"not installed: {', '.join(lacks)}")
    databases.make_durable()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            databases.a_database(kind, Path(folder)) as database,
            a_server(MACHINES, db=database.url) as (server, hosts),
        ):
            noop = WORKLOADS[0]._replace(targets={"jobs_per_s": (">=", 8_000)})
            throughput(server, hosts, noop, f"noop_{kind}")
    finally:
        databases.stop_all()
    return None


def functions(server: RunningServer, client: Client) -> None:
    """Calls of a millisecond through ``Executor.map``, against no-op jobs of the same run."""
    noop = WORKLOADS[0]
    server.job(noop.name, **noop.files)
    client.register(noop.name)
    run(client, noop.name, 200)
    started = time.perf_counter()
    run(client, noop.name, 20_000)
    noop_per_s = 20_000 / (time.perf_counter() - started)

    def call(number: int) -> int:
        time.sleep(0.001)
        return number + 1

    with Executor(client) as executor:
        list(executor.map(call, range(200)))
        started = time.perf_counter()
        answers = list(executor.map(call, range(FUNCTIONS)))
        wall_s = time.perf_counter() - started
    if answers != list(range(1, FUNCTIONS + 1)):
        sys.exit("functions: answers are wrong or missing")
    rate = FUNCTIONS / wall_s
    show(
        "functions",
        {"ratio_to_noop": (">=", 0.5)},
        n=FUNCTIONS,
        jobs_per_s=round(rate),
        noop_jobs_per_s=round(noop_per_s),
        ratio_to_noop=round(rate / noop_per_s, 2),
        slots_allow_per_s=MACHINES * SLOTS * 1000,
    )


def new_machine(server: RunningServer, client: Client, hosts: Hosts) -> None:
    """From the edit of inventory.yml to the result of a job for a machine never seen, whose key is pinned."""
    server.job("cold", main=NOOP)
    client.register("cold")
    taken_s = []
    for number in range(5):
        host = hosts.start(f"new-{number}")
        (server.home / "known_hosts").write_text((hosts.home / "known_hosts").read_text())
        jobs = client.submit_many("cold", [(1, number)], tag=host.name)
        text = hosts.inventory(limit_process=SLOTS)
        text = text.replace(f"  {host.name}: {{", f"  {host.name}: {{tag: {host.name}, ")
        started = time.perf_counter()
        (server.home / "inventory.yml").write_text(text)
        [result] = client.results(jobs, timeout_s=60)
        taken_s.append(time.perf_counter() - started)
        assert result.result == number + 1
    show(
        "new_machine", {"cold_start_s": ("<=", 1.5)}, n=len(taken_s), cold_start_s=round(statistics.median(taken_s), 2)
    )


def runner_gone(server: RunningServer, client: Client, root: Path) -> None:
    """One job at a time, on a machine whose runner has left meanwhile."""
    server.job("one", main=NOOP)
    client.register("one")
    taken_ms = []
    for number in range(20):
        wait.until(lambda: not processes_below(root), what="the runner to leave", timeout_s=60)
        started = time.perf_counter()
        [result] = client.results(client.submit_many("one", [(number, 1)]))
        taken_ms.append((time.perf_counter() - started) * 1000)
        assert result.result == number + 1
    middle_ms = statistics.median(taken_ms[1:])
    show("runner_gone", {"latency_p50_ms": ("<=", 150)}, n=len(taken_ms) - 1, latency_p50_ms=round(middle_ms, 1))


def latency(server: RunningServer, client: Client, n: int = 200) -> None:
    """One job at a time on warm machines."""
    server.job("one", main=NOOP)
    client.register("one")
    run(client, "one", 50)
    taken_ms = []
    for number in range(n):
        started = time.perf_counter()
        [result] = client.results(client.submit_many("one", [(number, 1)]))
        taken_ms.append((time.perf_counter() - started) * 1000)
        assert result.result == number + 1
    taken_ms.sort()
    show(
        "one",
        {"latency_p50_ms": ("<=", 8), "latency_p95_ms": ("<=", 15)},
        n=n,
        latency_p50_ms=round(statistics.median(taken_ms), 2),
        latency_p95_ms=round(taken_ms[int(n * 0.95)], 2),
    )


if __name__ == "__main__":
    main()
