"""How fast this machine is against the one on which the design was measured: a factor by which to read targets.

The figures of that machine stand here. What is measured is what bounds us, without any of our code: an interpreter at
work, rows into SQLite with every commit on the disk, a process for a job. The factor is the middle one of the ratios:
0.5 is a machine half as fast, or one on which others work meanwhile.
"""

import os
import socket
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from bench._rows import show

#: That machine when nothing else ran on it; the loop is what one such core has done since.
BASE: Final = {"sqlite_rows_per_s": 187_000.0, "forks_per_s": 1_700.0, "sqlite_commits_per_s": 3_500.0}
TIMES: Final = 5


def main() -> None:
    figures = {
        "python_loops_per_s": _best(_loops),
        "loopback_trips_per_s": _best(_trips),
        "forks_per_s": _best(_forks),
        "sqlite_rows_per_s": _best(lambda: _rows(1000, 100)),
        "sqlite_commits_per_s": _best(lambda: _rows(1, 1000)),
        "fsyncs_per_s": _best(_fsyncs),
    }
    ratios = {name: round(figures[name] / base, 2) for name, base in BASE.items()}
    show(
        "box",
        None,
        cores=os.cpu_count(),
        load1=os.getloadavg()[0],
        **{name: round(rate) for name, rate in figures.items()},
        fsync_ms=round(1000 / figures["fsyncs_per_s"], 3),
        ratios=ratios,
        factor=statistics.median(ratios.values()),
    )


def _best(rate: Callable[[], float]) -> float:
    """The best of some: what the machine can do, less what others took from it."""
    return max(rate() for _ in range(TIMES))


def _loops() -> float:
    n, total, began = 2_000_000, 0, time.perf_counter()
    for number in range(n):
        total += number & 7
    return n / (time.perf_counter() - began)


def _forks() -> float:
    """A child for each job that ends at once; one at a time, as a worker that is made afresh."""
    n, began = 300, time.perf_counter()
    for _ in range(n):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
    return n / (time.perf_counter() - began)


def _rows(a_commit: int, commits: int) -> float:
    """Rows of a job's size, with every commit on the disk; rows a second."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "db")) as conn:
        conn.execute("PRAGMA journal_mode=WAL")
        conn.execute("PRAGMA synchronous=FULL")
        conn.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, lane INTEGER, status INTEGER, input TEXT, at REAL)")
        conn.execute("CREATE INDEX jobs_lane ON jobs (lane, status, id)")
        rows = [(7, 0, '{"args":[1,2],"kwargs":{}}', 1.5)] * a_commit
        began = time.perf_counter()
        for _ in range(commits):
            conn.executemany("INSERT INTO jobs (lane, status, input, at) VALUES (?, ?, ?, ?)", rows)
            conn.commit()
        return a_commit * commits / (time.perf_counter() - began)


def _fsyncs() -> float:
    n = 300
    with tempfile.TemporaryFile() as file:
        began = time.perf_counter()
        for _ in range(n):
            os.write(file.fileno(), b"x" * 4096)
            os.fdatasync(file.fileno())
        return n / (time.perf_counter() - began)


def _trips() -> float:
    """One byte there and back over the loopback, to another process."""
    n = 3000
    with socket.create_server(("127.0.0.1", 0)) as server:
        pid = os.fork()
        if not pid:
            with socket.create_connection(server.getsockname()) as there:
                while data := there.recv(1):
                    there.sendall(data)
            os._exit(0)
        here, _ = server.accept()
        with here:
            began = time.perf_counter()
            for _ in range(n):
                here.sendall(b"x")
                here.recv(1)
            rate = n / (time.perf_counter() - began)
        os.waitpid(pid, 0)
        return rate


if __name__ == "__main__":
    main()
