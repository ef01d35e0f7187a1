"""A million no-op jobs: whether the last are as fast as the first, and how large the server gets. One JSON line.

The long one: minutes. N is how many. What is finished when is read from the database, so it is on SQLite only.
"""

import itertools
import sqlite3
import threading
import time
from contextlib import closing
from typing import Final, Self

from bench._rows import busy_s, how_many, show
from bench._stage import NOOP, Spent, a_server, resident_mb, run
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

ROWS: Final = ("million",)
MACHINES: Final = 4


def main() -> None:
    with a_server(MACHINES) as (server, hosts):
        million(server, hosts, how_many(1_000_000))


def million(server: RunningServer, hosts: Hosts, n: int) -> None:
    """The rate at which the first and the last tenth finish, by what the database holds; memory of the server.

    The first tenth finishes while the others are still being submitted, which costs it something: so the rate of as
    many on an empty queue is measured before, and the last tenth is held against the better of the two.
    """
    part, client = n // 10, server.client()
    server.job("noop", main=NOOP)
    client.register("noop")
    run(client, "noop", 2000)
    started = time.perf_counter()
    run(client, "noop", part)
    alone_per_s = part / (time.perf_counter() - started)
    before, busy, spent = _finished(server), busy_s(), Spent(server, hosts)
    with _Curve(server) as curve:
        started = time.perf_counter()
        run(client, "noop", n)
        wall_s = time.perf_counter() - started
    cpu_ms = (busy_s() - busy) * 1000 / n
    first = curve.rate(before, before + part)
    last = curve.rate(before + n - part, before + n)
    show(
        "million",
        {"last_ratio": (">=", 0.8), "peak_mb": ("<=", 300)},
        n=n,
        jobs_per_s=round(n / wall_s),
        wall_s=round(wall_s, 1),
        cpu_ms_per_job=round(cpu_ms, 4),
        cpu_us_per_job_by={who: round(used_s * 1e6 / n, 1) for who, used_s in spent.seconds().items()},
        alone_per_s=round(alone_per_s),
        first_per_s=round(first),
        last_per_s=round(last),
        last_ratio=round(last / max(first, alone_per_s), 2),
        rss_mb=resident_mb(server.pid),
        peak_mb=resident_mb(server.pid, peak=True),
    )


def _finished(server: RunningServer) -> int:
    """The number that the job which finished last got."""
    with closing(sqlite3.connect(f"file:{server.home}/multijob.db?mode=ro", uri=True)) as conn:
        return int(conn.execute("SELECT coalesce(max(done_seq), 0) FROM jobs").fetchone()[0])


class _Curve:
    """How many have finished at which time, looked at from outside twice a second."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._seen = [(time.perf_counter(), _finished(server))]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def rate(self, first: int, last: int) -> float:
        """Jobs a second between two counts."""
        return (last - first) / (self._at(last) - self._at(first))

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            self._seen.append((time.perf_counter(), _finished(self._server)))
        self._seen.append((time.perf_counter(), _finished(self._server)))

    def _at(self, count: int) -> float:
        """When so many had finished, on the line between two looks; the end of it may be a little late."""
        for (early_s, fewer), (late_s, more) in itertools.pairwise(self._seen):
            if more >= count > fewer:
                return early_s + (late_s - early_s) * (count - fewer) / (more - fewer)
        return self._seen[0][0]


if __name__ == "__main__":
    main()
