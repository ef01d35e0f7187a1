"""Connection cycles without end: a session connects, starts a runner, does a job's worth of talking, and is cut.

What must not grow with their number: threads, descriptors, child processes, memory of ours; processes and files on the
machine. ``soak`` runs so many cycles against a real sshd and answers what there was before and after; the test runs few
of them, ``CYCLES=2000 python -m bench soak`` as many as one likes.
"""

import gc
import json
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from jobs.model import ReportAnswer
from orchestrator.node.events import Connected, Down, MachineEvent, RunnerGone, RunnerUp
from orchestrator.node.pace import Pace
from orchestrator.node.session import Session, Surroundings
from orchestrator.node.stream import StreamTerms
from orchestrator.node.workshop import Workshop
from remote_runner import bundle
from tests.support import hosts, wait
from tests.support.hosts import Host, Hosts, own_children
from tests.support.processes import processes_below

#: The first cycles fill caches and pools.
WARM_UP = 4
CYCLE_S = 60.0


class Level(NamedTuple):
    """What one process, and the machine it talks to, hold at a moment."""

    threads: int
    descriptors: int
    children: int
    resident_kb: int
    #: On the machine: files of ours, and processes that work below our folder.
    node_files: int
    node_processes: int


class Soak(NamedTuple):
    cycles: int
    before: Level
    after: Level

    @property
    def grown_kb(self) -> int:
        """Memory that is held now and was not before."""
        return self.after.resident_kb - self.before.resident_kb


def soak(cycles: int) -> Soak:
    """Connect, attach and break so often."""
    with hosts.running() as made, tempfile.TemporaryDirectory() as folder, _session(made, Path(folder)) as life:
        for _ in range(WARM_UP):
            life.cycle()
        before = life.level()
        for _ in range(cycles):
            life.cycle()
        return Soak(cycles, before, life.level())


class _Life:
    """One session that is cut again and again."""

    def __init__(self, made: Hosts, host: Host) -> None:
        self.heard: set[type[MachineEvent]] = set()
        self.trouble: Down | None = None
        #: Then a runner is asked for as an engine would, again and again.
        self.has_work = True
        self.session: Session
        self._root = Path(made.root_of(host))
        self._host = host

    def hear(self, event: MachineEvent) -> None:
        self.heard.add(type(event))
        if isinstance(event, Down):
            self.trouble = event
            self.heard -= {Connected, RunnerUp}
        if isinstance(event, (Connected, RunnerGone)) and self.has_work:
            self.session.ensure_runner()

    def cycle(self) -> None:
        """Once connected and attached, end it: as a lost connection does."""
        self._wait_for(RunnerUp)
        self.session.poll()
        self.heard.clear()
        for pid in self._host.connections():  # and no waiting until there is none: the next one comes at once
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._wait_for(Down)

    def _wait_for(self, kind: type[MachineEvent]) -> None:
        try:
            wait.until(lambda: kind in self.heard, what=kind.__name__, timeout_s=CYCLE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last trouble was {self.trouble}") from None

    def level(self) -> Level:
        """With everything of the last cycle gone, and the next one connected and at rest."""
        self._wait_for(RunnerUp)
        self.has_work = False
        wait.until(lambda: not processes_below(self._root), what="the runner to leave", timeout_s=CYCLE_S)
        gc.collect()
        seen = self._level()
        self.heard.discard(RunnerUp)
        self.has_work = True
        self.session.ensure_runner()
        return seen

    def _level(self) -> Level:
        return Level(
            threads=threading.active_count(),
            descriptors=len(list(Path("/proc/self/fd").iterdir())),
            children=len(own_children()),
            resident_kb=_resident_kb(),
            node_files=sum(1 for path in self._root.rglob("*") if path.is_file()),
            node_processes=len(processes_below(self._root)),
        )


@contextmanager
def _session(made: Hosts, folder: Path) -> Iterator[_Life]:
    host = made.start()
    life = _Life(made, host)
    pools = [ThreadPoolExecutor(2), ThreadPoolExecutor(2)]
    numbers = iter(range(10**9))
    around = Surroundings(
        server_id="soak",
        connect=made.transports(),
        hands=pools[0],
        polls=pools[1],
        builders=pools[0],
        shop=Workshop(cache=folder, wheels=folder / "wheels"),
        bundle=bundle.build(folder),
        terms=StreamTerms(
            server_id="soak",
            linger_s=0.2,
            orphan_s=0.2,
            new_runner=lambda _: (f"r{next(numbers)}", b"k" * 32),
            runner_up=lambda *_: None,
            runner_left=lambda *_: None,
            take_records=lambda *_: ReportAnswer(0, []),
            take_live=lambda *_: None,
        ),
        report_port=1,
        report_url=None,
        pace=Pace(retry_first_s=0.01, retry_longest_s=0.05, retry_refused_s=0.05),
    )
    life.session = Session(made.machine(host, report="drain"), around, life.hear)
    life.session.start()
    try:
        yield life
    finally:
        life.session.stop()
        life.session.join(20)
        for pool in pools:
            pool.shutdown()


def main() -> None:
    """As many cycles as CYCLES says."""
    seen = soak(int(os.environ.get("CYCLES", "50")))
    line = {"bench": "soak", "cycles": seen.cycles, "grown_kb": seen.grown_kb}
    print(json.dumps(line | {"before": seen.before._asdict(), "after": seen.after._asdict()}))


def _resident_kb() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


if __name__ == "__main__":
    main()
