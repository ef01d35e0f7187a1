"""A slower disk and a network that is farther away, against what the model of capacity says. JSON lines.

``slow_disk`` waits at every commit; ``far`` puts a delay between the server and its machines. For each: no-op jobs a
second, jobs of ten milliseconds, and one job at a time. N is how many no-op jobs at most.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from bench import capacity
from bench._far import far
from bench._rows import how_many, show, wanted
from bench._stage import NOOP, SLOTS, USUAL, Spent, run
from multijob import Client
from tests.support import hosts as ssh_hosts
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

ROWS: Final = ("slow_disk", "far")
MACHINES: Final = 4
FSYNCS_MS: Final = (1.0, 10.0, 100.0)
TRIPS_MS: Final = (10.0, 100.0)
SLEEP10: Final = "import time\ndef work(x, y):\n    time.sleep(0.01)\n    return x + y\n"
#: What a model is good for: to be right within a factor of two.
TARGETS: Final = {"model_ratio": (">=", 0.5)}


class SlowServer(RunningServer):
    """Its disk is slow by what SLOW_MS says."""

    entrance = "bench._slow_disk"


def main() -> None:
    n = how_many(20_000)
    for fsync_ms in FSYNCS_MS if wanted("slow_disk") else ():
        os.environ["SLOW_MS"] = str(fsync_ms)
        with ssh_hosts.running() as hosts, tempfile.TemporaryDirectory(prefix="mj-bench-") as folder:
            for _ in range(MACHINES):
                hosts.start()
            server: RunningServer = SlowServer(
                Path(folder), hosts.inventory(limit_process=SLOTS), **USUAL, accept_new_host_keys=True
            )
            measure("slow_disk", server, hosts, capacity.Place(fsync_ms=fsync_ms, trip_ms=0.1), n)
    for trip_ms in TRIPS_MS if wanted("far") else ():
        with ssh_hosts.running() as hosts, tempfile.TemporaryDirectory(prefix="mj-bench-") as folder:
            made = [hosts.start() for _ in range(MACHINES)]
            with far([(host.address, host.port) for host in made], trip_ms) as ports:
                for host, port in zip(made, ports, strict=True):
                    host.address, host.port = "127.0.0.1", port
                server = RunningServer(
                    Path(folder), hosts.inventory(limit_process=SLOTS), **USUAL, accept_new_host_keys=True
                )
                measure("far", server, hosts, capacity.Place(fsync_ms=0.1, trip_ms=trip_ms), n)


def measure(row: str, server: RunningServer, hosts: Hosts, place: capacity.Place, n: int) -> None:
    """All three, each with the server's own cost in the model's place."""
    server.start()
    try:
        client = server.client()
        for name, text in (("noop", NOOP), ("sleep10", SLEEP10)):
            server.job(name, main=text)
            client.register(name)
            run(client, name, 500)
        for name, job_s, count in (("noop", 0.0, n), ("sleep10", 0.01, n // 5)):
            spent, began = Spent(server, hosts), time.perf_counter()
            run(client, name, count)
            wall_s = time.perf_counter() - began
            server_us = spent.seconds()["server"] / count * 1e6
            told = capacity.carries(_with(place, job_s), capacity.Costs(server_us=server_us, lone_us=0.0))
            _say(f"{row}_{name}", place, count / wall_s, told, n=count, server_us=round(server_us, 1))
        alone_ms = _alone_ms(client)
        model_ms = capacity.alone_ms(place, capacity.Costs())
        show(
            f"{row}_one",
            None,
            fsync_ms=place.fsync_ms,
            trip_ms=place.trip_ms,
            latency_p50_ms=round(alone_ms, 1),
            model_ms=round(model_ms, 1),
        )
    finally:
        server.stop()


def _with(place: capacity.Place, job_s: float) -> capacity.Place:
    return capacity.Place(job_s=job_s, fsync_ms=place.fsync_ms, trip_ms=place.trip_ms)


def _say(row: str, place: capacity.Place, rate: float, told: capacity.Answer, **facts: object) -> None:
    ratio = min(rate, told.jobs_per_s) / max(rate, told.jobs_per_s)
    show(
        row,
        TARGETS,
        fsync_ms=place.fsync_ms,
        trip_ms=place.trip_ms,
        jobs_per_s=round(rate),
        model_per_s=round(told.jobs_per_s),
        model_bound=told.bound,
        model_ratio=round(ratio, 2),
        **facts,
    )


def _alone_ms(client: Client) -> float:
    took_ms = []
    for number in range(20):
        began = time.perf_counter()
        [result] = client.results(client.submit_many("noop", [(number, 1)]))
        took_ms.append((time.perf_counter() - began) * 1000)
        assert result.result == number + 1
    return statistics.median(took_ms)


if __name__ == "__main__":
    main()
