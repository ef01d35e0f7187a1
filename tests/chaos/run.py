"""``python -m tests.chaos.run --seconds N --seed S --database sqlite|mariadb|postgresql``: the ledger test, any length.

Faults from a printed seed hit real nodes, a real server and a real database under load; then everything is healed, the
work runs to its end, and the ledger has to balance. Prints one JSON line; where it does not balance also what, and
where the evidence is kept.
"""

import argparse
import contextlib
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos import ledger
from tests.chaos.faults import FAULTS, Fault, Scene, all_ends
from tests.chaos.ledger import Balance
from tests.chaos.load import Load
from tests.chaos.world import World, world
from tests.support import databases, wait

#: How long the work may take to come to its end once everything is healed.
END_S: Final = 300.0
#: How long runners may take to leave.
LEAVE_S: Final = 90.0
#: A run may take so many times what was asked for, until each fault has been seen.
PATIENCE: Final = 3.0
#: Which faults follow one another, and how long at most a lane rests between two; the lanes run side by side. The last
#: is that of the thread that owns the databases.
LANES: Final = {"sessions": 1.5, "machines": 1.5, "server": 1.5, "home": 8.0}


@dataclass
class Outcome:
    """How a run ended."""

    seed: int
    database: str
    seconds: float = 0.0
    jobs: int = 0
    starts: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    balance: Balance = field(default_factory=Balance)
    strays: list[str] = field(default_factory=list)
    #: Faults that this machine does not allow.
    impossible: list[str] = field(default_factory=list)

    @property
    def balances(self) -> bool:
        return bool(self.balance) and not self.strays

    def line(self) -> str:
        """The one line."""
        found = self.balance
        counts = {"lost": len(found.lost), "twice": len(found.twice), "wrong": len(found.wrong)}
        faults = dict(sorted(self.faults.items()))
        facts = {"jobs": self.jobs, "starts": self.starts, "faults": faults, **counts, "strays": len(self.strays)}
        more = {"impossible": self.impossible} if self.impossible else {}
        when = {"seconds": round(self.seconds, 1), "seed": self.seed, "database": self.database}
        return json.dumps({**facts, **more, **when})

    def words(self) -> str:
        """What does not agree."""
        groups = {"lost": self.balance.lost, "twice": self.balance.twice, "wrong": self.balance.wrong}
        return "\n".join(f"{name}: {one}" for name, group in {**groups, "stray": self.strays}.items() for one in group)


class Lane:
    """Faults one after the other: each of its own once, in random order, then again and again."""

    def __init__(
        self,
        scene: Scene,
        faults: Sequence[Fault],
        rest_s: float,
        locks: dict[str, threading.Lock],
        over: threading.Event,
    ) -> None:
        self._scene = scene
        self._rest_s = rest_s
        self._faults = faults
        self._locks = locks
        self._over = over
        self.errors: list[BaseException] = []

    def run(self) -> None:
        try:
            while self._faults and not self._over.is_set():
                round_ = [one for one in self._faults for _ in range(one.times)]
                for one in self._scene.chance.sample(round_, len(round_)):
                    if not self._over.wait(self._scene.chance.random() * self._rest_s):
                        self._play(one)
        except BaseException as error:  # noqa: BLE001  (raised again by the main thread)
            self.errors.append(error)
            self._over.set()

    def _play(self, one: Fault) -> None:
        with contextlib.ExitStack() as stack:
            for name in sorted(one.holds):
                stack.enter_context(self._locks[name])
            hold_s = self._scene.chance.uniform(*one.hold_s)
            with one.act(self._scene):
                time.sleep(hold_s)


def chaos(
    seconds: float, seed: int, kind: str, folder: Path, only: Callable[[Fault], bool] = lambda _: True
) -> Outcome:
    """One run; everything but the folder is gone after it."""
    began_s = time.monotonic()
    chance = random.Random(seed)  # noqa: S311  (no secret)
    outcome = Outcome(seed, kind)
    with world(folder, kind) as here:
        try:
            load = Load(here, chance)
            load.start()
            try:
                _play(here, load, chance, seconds, outcome, only)
            finally:
                here.server.stand_up()
                load.stop()
            finish(here, load, outcome)
        finally:
            if not outcome.jobs or not outcome.balances:
                _keep(here)
    outcome.seconds = time.monotonic() - began_s
    return outcome


def _play(
    here: World, load: Load, chance: random.Random, seconds: float, outcome: Outcome, only: Callable[[Fault], bool]
) -> None:
    over = threading.Event()
    possible = [one for one in FAULTS if one.possible(here) and only(one)]
    outcome.impossible = [one.name for one in FAULTS if one not in possible and only(one)]
    locks = {name: threading.Lock() for one in FAULTS for name in one.holds}
    lanes = []
    for name, rest_s in LANES.items():
        own = random.Random(chance.random())  # noqa: S311  (as above)
        scene = Scene(here, load, own, all_ends(chance))
        lanes.append(Lane(scene, [one for one in possible if _lane_of(one) == name], rest_s, locks, over))
    threads = [threading.Thread(target=lane.run, name="lane") for lane in lanes[:-1]]
    for thread in threads:
        thread.start()
    ender = threading.Thread(target=_end_it, args=(here, [one.name for one in possible], seconds, over), name="ender")
    ender.start()
    lanes[-1].run()
    ender.join()
    for thread in threads:
        thread.join()
    for lane in lanes:
        for error in lane.errors:
            raise error


def _end_it(here: World, names: Sequence[str], seconds: float, over: threading.Event) -> None:
    """After that time; on a busy machine only when every fault has been seen, within reason."""
    began_s = time.monotonic()
    over.wait(seconds)
    while not all(here.seen[name] for name in names) and time.monotonic() - began_s < seconds * PATIENCE:
        if over.wait(0.5):
            return
    over.set()


def _lane_of(one: Fault) -> str:
    """The last of the lanes that a fault holds something of."""
    return [name for name in LANES if name in one.holds][-1]


def finish(here: World, load: Load, outcome: Outcome) -> None:
    """All work comes to its end, all runners leave; then the books are compared."""
    with contextlib.suppress(AssertionError):  # what is left is told by the balance
        wait.until(lambda: not here.unfinished(), what="the end of all jobs", timeout_s=END_S, pause_s=0.2)
        client = here.client()
        for node in here.nodes:  # the next runner on each node clears up after those that were killed
            load.send(client, load.parcel("quick", 1, tag=node.name))
        wait.until(lambda: not here.unfinished(), what="the last jobs", timeout_s=END_S, pause_s=0.2)
    odd_files = _files_left(here)
    jobs, attempts = here.rows()
    side = ledger.read_side(here.side.read_text())
    evidence = [line for line in here.evidence() if line.startswith("report ")]
    here.seen.update(evidence)
    load.note_reported()
    outcome.jobs, outcome.starts = len(jobs) + len(load.book.deleted), side.count
    outcome.faults = dict(here.seen)
    outcome.balance = ledger.balance(load.book, side, jobs, attempts)
    here.server.stop()
    outcome.strays = [*odd_files, *_processes_left(here)]


def _files_left(here: World) -> list[str]:
    """What lies on the nodes and should not, when runners and sweeps had their time."""

    def left() -> list[str]:
        return [f"{node.name}: {path}" for node in here.nodes for path in node.stray_files()]

    with contextlib.suppress(AssertionError):
        wait.until(lambda: not left(), what="nothing but what may stay", timeout_s=LEAVE_S, pause_s=0.5)
    return left()


def _processes_left(here: World) -> list[str]:
    """What still runs when the server has ended and runners had their time."""
    with contextlib.suppress(AssertionError):
        wait.until(lambda: not here.stray_processes(), what="the runners' leave", timeout_s=LEAVE_S, pause_s=0.5)
    return here.stray_processes()


def _keep(here: World) -> None:
    """Copy what tells the story into the folder, before the disks are unmounted."""
    with contextlib.suppress(OSError):
        here.server.kill()
        shutil.copy(here.side, here.folder / "side")
        shutil.copytree(here.server.home, here.folder / "evidence", symlinks=True, ignore_dangling_symlinks=True)
    for node in here.nodes:
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copy(node.host.folder / "sshd.log", here.folder / f"{node.name}.sshd.log")
            shutil.copytree(node.root, here.folder / node.name, symlinks=True)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311
    parser.add_argument("--database", choices=databases.KINDS, default="sqlite")
    said = parser.parse_args(words)
    print(f"seed {said.seed}", file=sys.stderr)
    lacks = databases.missing(said.database)
    if lacks:
        print(f"this machine lacks {', '.join(lacks)}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="mj-chaos-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    try:
        outcome = chaos(said.seconds, said.seed, said.database, folder)
    except BaseException:
        print(f"the evidence is in {folder}", file=sys.stderr)
        raise
    finally:
        databases.stop_all()
    print(outcome.line(), flush=True)
    if outcome.balances:
        shutil.rmtree(folder)
        return 0
    print(outcome.words(), file=sys.stderr)
    print(f"the evidence is in {folder}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
