"""Many machines on one: each an address 127.0.x.y with a root of its own; sixteen addresses share an sshd.

What the server knows of them is read from its SQLite database, so that looking costs it nothing.
"""

import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from bench._stage import SLOTS, USUAL
from tests.support import hosts as ssh_hosts
from tests.support import wait
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

#: sshd listens on no more addresses.
AN_SSHD: Final = 16


@contextmanager
def many(count: int, **settings: object) -> Iterator[tuple[RunningServer, Hosts]]:
    """A server that is not started yet, and so many machines for it."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory(prefix="mj-bench-") as folder, ssh_hosts.running() as hosts:
        lines = ["defaults: {", f"  limit_process: {SLOTS}, user: {hosts.user()}, identity_file: {hosts.identity}", "}"]
        lines.append("machines:")
        for number, (address, port) in enumerate(_addresses(hosts, count), 1):
            lines.append(f"  m{number}: {{host: {address}, port: {port}, root: {hosts.folder}/m{number}}}")
        server = RunningServer(Path(folder), "\n".join(lines) + "\n", **{**USUAL, "linger_s": 60, **settings})
        (server.home / "known_hosts").write_text((hosts.home / "known_hosts").read_text())
        try:
            yield server, hosts
        finally:
            server.stop()


def _addresses(hosts: Hosts, count: int) -> Iterator[tuple[str, int]]:
    """Address and port of each machine, sixteen to an sshd."""
    every = [f"127.0.{number // 250 + 1}.{number % 250 + 1}" for number in range(count)]
    for start in range(0, count, AN_SSHD):
        own = every[start : start + AN_SSHD]
        host = hosts.start(f"sshd-{start}", address=own[0], lines=[f"ListenAddress {address}" for address in own[1:]])
        kind, key, *_ = (host.folder / "host_key.pub").read_text().split()
        with (hosts.home / "known_hosts").open("a") as known:
            known.writelines(f"[{address}]:{host.port} {kind} {key}\n" for address in own[1:])
        yield from ((address, host.port) for address in own)


def until_ready(server: RunningServer, count: int) -> float:
    """Start it; how long it takes until all machines are ready, by what the database says."""
    began, began_at = time.perf_counter(), time.time()
    server.start()
    wait.until(lambda: ready(server, began_at) == count, what=f"{count} machines ready", timeout_s=600, pause_s=0.2)
    return time.perf_counter() - began


def ready(server: RunningServer, since: float = 0.0) -> int:
    """Machines that can be given jobs, and have answered since then."""
    ready = "json_extract(view, '$.state') = 'ready' AND json_extract(view, '$.contact_at') >= ?"
    [(count,)] = ask(server, f"SELECT count(*) FROM machines WHERE {ready}", since)  # noqa: S608 - a constant
    return int(count)


def polls(server: RunningServer) -> dict[str, float]:
    """When each machine answered last."""
    return dict(ask(server, "SELECT machine_id, coalesce(json_extract(view, '$.contact_at'), 0.0) FROM machines"))


def ask(server: RunningServer, question: str, *said: float) -> list[Any]:
    with closing(sqlite3.connect(f"file:{server.home}/multijob.db?mode=ro", uri=True, timeout=30)) as conn:
        return conn.execute(question, said).fetchall()
