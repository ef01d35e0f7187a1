"""Many machines: a thousand that only stay connected and are polled, two hundred that work. JSON lines.

N is how many machines. What the nodes' own processes and the sshds use is told apart: elsewhere it would be on other
computers.
"""

import time
from typing import Final

from bench._many import many, polls, ready, until_ready
from bench._rows import how_many, show, wanted
from bench._stage import NOOP, SLOTS, Spent, cpu_s, resident_mb, run, tree_cpu_s
from tests.support.server import RunningServer

ROWS: Final = ("machines_1000", "machines_200")
POLL_S: Final = 30
IDLE_S: Final = 60
#: First polls, and a first look for what is old there, come all at once after the connecting; what counts is later.
SETTLE_S: Final = POLL_S + 15
SECOND: Final = "import time\ndef work(x, y):\n    time.sleep(1)\n    return x + y\n"
#: Jobs that each slot gets: so long does it take, in seconds, if nothing is lost.
ROUNDS: Final = 40


def main() -> None:
    if wanted("machines_1000"):
        idle(how_many(1000))
    if wanted("machines_200"):
        busy(how_many(200))


def idle(count: int) -> None:
    """From the start of the server until all are ready; then what they cost while nothing happens."""
    with many(count, poll_s=POLL_S) as (server, hosts):
        sshds = [host.process.pid for host in hosts.hosts if host.process]
        before_s = tree_cpu_s(sshds)
        first_s = until_ready(server, count)
        first_cpu_s, first_nodes_s = cpu_s(server.pid), tree_cpu_s(sshds) - before_s
        server.stop()
        before_s = tree_cpu_s(sshds)
        again_s = until_ready(server, count)
        again_cpu_s, again_nodes_s = cpu_s(server.pid), tree_cpu_s(sshds) - before_s
        time.sleep(SETTLE_S)
        polled, spent = polls(server), Spent(server, hosts)
        used_s, began = cpu_s(server.pid), time.perf_counter()
        time.sleep(IDLE_S)
        wall_s, used_s = time.perf_counter() - began, cpu_s(server.pid) - used_s
        figures: dict[str, object] = {
            "ready_s": round(first_s, 1),
            "ready_cpu_s": round(first_cpu_s, 1),
            "ready_nodes_cpu_ms_each": round(first_nodes_s * 1000 / count, 1),
            "ready_again_s": round(again_s, 1),
            "ready_again_cpu_s": round(again_cpu_s, 1),
            "ready_again_nodes_cpu_ms_each": round(again_nodes_s * 1000 / count, 1),
            "idle_core_share": round(used_s / wall_s, 3),
            "cpu_ms_per_poll": round(used_s * 1000 / (count * wall_s / POLL_S), 2),
            "polled": sum(at > polled[machine] for machine, at in polls(server).items()),
            "rss_mb": resident_mb(server.pid),
            "peak_mb": resident_mb(server.pid, peak=True),
            "cores": spent.cores(wall_s),
        }
        assert ready(server) == count, "machines were lost meanwhile"
        _work_on_some(server, min(count, 40))
    targets = {"ready_s": ("<=", 25.0), "idle_core_share": ("<=", 0.1), "rss_mb": ("<=", 400.0)}
    show("machines_1000", targets, n=count, idle_s=round(wall_s), poll_s=POLL_S, **figures)


def busy(count: int) -> None:
    """Jobs of one second on two slots each: the share of what would be if nothing were lost."""
    with many(count) as (server, hosts):
        until_ready(server, count)
        client = server.client()
        server.job("second", main=SECOND)
        client.register("second")
        run(client, "second", count * SLOTS * 2)
        n = count * SLOTS * ROUNDS
        spent, began = Spent(server, hosts), time.perf_counter()
        run(client, "second", n)
        wall_s = time.perf_counter() - began
        show(
            "machines_200",
            {"share_of_ideal": (">=", 0.9)},
            n=n,
            machines=count,
            jobs_per_s=round(n / wall_s, 1),
            share_of_ideal=round(n / wall_s / (count * SLOTS), 3),
            wall_s=round(wall_s, 1),
            rss_mb=resident_mb(server.pid),
            cores=spent.cores(wall_s),
        )


def _work_on_some(server: RunningServer, n: int) -> None:
    """They are not only connected: jobs run."""
    client = server.client()
    server.job("noop", main=NOOP)
    client.register("noop")
    run(client, "noop", n)


if __name__ == "__main__":
    main()
