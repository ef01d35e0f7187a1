"""What the benchmarks of the whole walk share: a server on private machines, jobs run and checked, who uses what."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from multijob import Client
from tests.support import hosts as ssh_hosts
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

SLOTS: Final = 2
NOOP: Final = "def work(x, y):\n    return x + y\n"
#: As people run it, unlike tests, but that runners leave sooner.
USUAL: Final = {"poll_s": 30, "linger_s": 20}
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@contextmanager
def a_server(machines: int, slots: int = SLOTS, **settings: object) -> Iterator[tuple[RunningServer, Hosts]]:
    """A server on that many fresh machines, each an sshd of its own."""
    with tempfile.TemporaryDirectory(prefix="mj-bench-") as folder, ssh_hosts.running() as hosts:
        for _ in range(machines):
            hosts.start()
        server = RunningServer(Path(folder), hosts.inventory(limit_process=slots), **{**USUAL, **settings})
        (server.home / "known_hosts").write_text((hosts.home / "known_hosts").read_text())
        server.start()
        try:
            yield server, hosts
        finally:
            server.stop()


def run(client: Client, name: str, n: int) -> None:
    """Submit all, read all, check all."""
    jobs = client.submit_many(name, ((number, 1) for number in range(n)), chunk=2000)
    results = {result.id: result.result for result in client.results(jobs)}
    wrong = [job for number, job in enumerate(jobs) if results.get(job) != number + 1]
    if wrong:
        sys.exit(f"{name}: {len(wrong)} results are wrong or missing, first: job {wrong[0]}")


def resident_mb(pid: int, *, peak: bool = False) -> int:
    """Memory of a process, now or at its highest."""
    name = "VmHWM:" if peak else "VmRSS:"
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) // 1024


def cpu_s(pid: int) -> float:
    """Processor time of one process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def tree_cpu_s(roots: Iterable[int]) -> float:
    """Processor time of these processes and all below them, with that of children which have ended there."""
    stats: dict[int, list[str]] = {}
    below: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                stats[int(folder.name)] = fields = (folder / "stat").read_text().rpartition(")")[2].split()
                below.setdefault(int(fields[1]), []).append(int(folder.name))
    ticks, waiting = 0, [pid for pid in roots if pid in stats]
    while waiting:
        pid = waiting.pop()
        ticks += sum(map(int, stats[pid][11:15]))
        waiting += below.get(pid, [])
    return ticks / _TICKS


class Spent:
    """Processor time by who spends it: the server, this bench, the sshds, the nodes' own processes, a database."""

    def __init__(self, server: RunningServer, hosts: Hosts) -> None:
        self._server, self._nodes = server.pid, str(hosts.folder)
        self._before = self._now()

    def cores(self, wall_s: float) -> dict[str, float]:
        """Cores that each has kept busy since the beginning."""
        return {who: round(spent_s / wall_s, 2) for who, spent_s in self.seconds().items()}

    def seconds(self) -> dict[str, float]:
        """Since the beginning, without those of processes that have ended."""
        spent = dict.fromkeys(("server", "bench", "sshd", "nodes", "database"), 0.0)
        for pid, (who, used_s) in self._now().items():
            spent[who] += used_s - self._before.get(pid, (who, 0.0))[1]
        return spent

    def _now(self) -> dict[int, tuple[str, float]]:
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    who = self._who(folder)
                    if who:
                        found[int(folder.name)] = who, cpu_s(int(folder.name))
                except OSError:
                    continue
        return found

    def _who(self, folder: Path) -> str:
        if int(folder.name) == self._server:
            return "server"
        if int(folder.name) == os.getpid():
            return "bench"
        name = (folder / "comm").read_text()
        if name.startswith("sshd"):
            return "sshd"
        if name.startswith(("mariadbd", "postgres")):
            return "database"
        return "nodes" if str((folder / "cwd").readlink()).startswith(self._nodes) else ""
