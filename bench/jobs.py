"""The whole walk: SDK → server → real SSH machines → results in the submitter's hands. JSON lines.

The server runs in a process of its own; machines are private sshds on 127.0.0.2 …, two slots each. Every result is
checked. ``cpu_ms_per_job`` is the busy time of the whole box, so everything counts, also what others do on it.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from multijob import Client
from tests.support import hosts as ssh_hosts
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

MACHINES = 4
SLOTS = 2
NOOP = "def work(x, y):\n    return x + y\n"
SLEEP10 = "import time\ndef work(x, y):\n    time.sleep(0.01)\n    return x + y\n"
FRESH = "fresh_process: true\n"
RETURN = "def work(x, y):\n    return {'result': x + y, 'return_data': x}\n"
RETURN_MAIN = "def work(data):\n    pass\n"


class Workload(NamedTuple):
    """A job type, and how many of it to run."""

    name: str
    n: int
    files: dict[str, str]


WORKLOADS = [
    Workload("noop", 50_000, {"main": NOOP}),
    Workload("sleep10", 8_000, {"main": SLEEP10}),
    Workload("fresh_process", 5_000, {"main": NOOP, "job.yml": FRESH}),
    Workload("return_main", 10_000, {"main": RETURN, "return_main": RETURN_MAIN}),
]


def main() -> None:
    wanted = set(os.environ.get("WORKLOAD", "").split(",")) - {""}
    with a_server(MACHINES) as (server, _):
        client = server.client()
        for workload in WORKLOADS:
            if not wanted or workload.name in wanted:
                throughput(server, client, workload)
        if not wanted or "one" in wanted:
            latency(server, client)


@contextmanager
def a_server(machines: int, **settings: object) -> Iterator[tuple[RunningServer, Hosts]]:
    """A server on that many fresh machines."""
    with tempfile.TemporaryDirectory(prefix="mj-bench-") as folder, ssh_hosts.running() as hosts:
        for _ in range(machines):
            hosts.start()
        server = RunningServer(Path(folder), hosts.inventory(limit_process=SLOTS), linger_s=20, **settings)
        (server.home / "known_hosts").write_text((hosts.home / "known_hosts").read_text())
        server.start()
        try:
            yield server, hosts
        finally:
            server.stop()


def throughput(server: RunningServer, client: Client, workload: Workload) -> None:
    """Submit all, read all, check all; a small run before warms the machines."""
    server.job(workload.name, **workload.files)
    client.register(workload.name)
    run(client, workload.name, 200)
    busy, started = busy_s(), time.perf_counter()
    run(client, workload.name, workload.n)
    wall_s, cpu_s = time.perf_counter() - started, busy_s() - busy
    show(
        workload.name,
        n=workload.n,
        jobs_per_s=round(workload.n / wall_s),
        wall_s=round(wall_s, 2),
        cpu_ms_per_job=round(cpu_s * 1000 / workload.n, 4),
    )


def run(client: Client, name: str, n: int) -> None:
    jobs = client.submit_many(name, ((number, 1) for number in range(n)), chunk=2000)
    results = {result.id: result.result for result in client.results(jobs)}
    wrong = [job for number, job in enumerate(jobs) if results.get(job) != number + 1]
    if wrong:
        sys.exit(f"{name}: {len(wrong)} results are wrong or missing, first: job {wrong[0]}")


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
        n=n,
        latency_p50_ms=round(statistics.median(taken_ms), 2),
        latency_p95_ms=round(taken_ms[int(n * 0.95)], 2),
    )


def busy_s() -> float:
    """Processor time of the whole box so far."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def show(workload: str, **figures: object) -> None:
    print(json.dumps({"system": "multijob", "workload": workload, **figures}), flush=True)


if __name__ == "__main__":
    main()
