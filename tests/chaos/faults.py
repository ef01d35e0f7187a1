"""What goes wrong in the ledger test. A fault is a value: a name, what it needs, how it is injected, and how healed.

Injecting and healing are the two halves of one ``with``. A fault adds to ``world.seen`` only when it has seen itself
happen: processes that died, a link that carries nothing, a disk without a byte left, a submit that was refused. Faults
that hold the same thing never overlap.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos import disks
from tests.chaos.dying_server import AFTER, BEFORE
from tests.chaos.load import Load
from tests.chaos.world import Node, World
from tests.support import hosts, wait
from tests.support.processes import processes_below

#: Writes of the server in the order in which they are hard to meet: it is killed before and after each.
WRITES: Final = (
    "lose",
    "give_back",
    "died",
    "mark_unreachable",
    "superseded",
    "close_runner",
    "step",
    "begin",
    "act",
    "open_runner",
    "due",
    "take_returns",
    "answer_returns",
    "renew",
    "put_machines",
    "submit",
    "claim",
    "take_report",
)
#: Met all the time: killed at one of the next so many.
OFTEN: Final = frozenset(WRITES[WRITES.index("due") :])
OFTEN_WITHIN: Final = 15
#: How long a server is waited for to meet its end at a write, before it is killed anyhow.
MEETING_S: Final = 12.0
#: How long a fault waits for something to strike.
VICTIM_S: Final = 8.0


@dataclass(frozen=True)
class Fault:
    """See the module. ``act`` injects, lets the ``with`` run for ``hold_s``, heals."""

    name: str
    #: What it has to itself meanwhile.
    holds: frozenset[str]
    #: From and to, in seconds.
    hold_s: tuple[float, float]
    act: "Act"
    #: Whether it can be done in this world.
    possible: Callable[[World], bool]
    #: How often in each round.
    times: int


@dataclass
class Scene:
    """What a fault works on."""

    world: World
    load: Load
    chance: random.Random
    #: "claim before" and the like: ends that the server has still to meet.
    ends: dict[str, int]


Act = Callable[[Scene], AbstractContextManager[None]]
FAULTS: Final[list[Fault]] = []


def fault(
    name: str,
    *holds: str,
    hold_s: tuple[float, float] = (0.0, 0.0),
    possible: Callable[[World], bool] = lambda _: True,
    times: int = 1,
) -> Callable[[Callable[[Scene], Iterator[None]]], Act]:
    """Add a generator as a fault: what comes before its ``yield`` injects, what comes after heals."""

    def add(generator: Callable[[Scene], Iterator[None]]) -> Act:
        act = contextmanager(generator)
        FAULTS.append(Fault(name, frozenset(holds), hold_s, act, possible, times))
        return act

    return add


def all_ends(chance: random.Random) -> dict[str, int]:
    """Every write, before and after its commit: at the how-manieth from now the server ends."""
    return {
        f"{name} {when}": chance.randint(1, OFTEN_WITHIN) if name in OFTEN else 1
        for name in WRITES
        for when in (BEFORE, AFTER)
    }


# -------------------------------------------------------------------------------------------------------------- links


def _kill(pids: list[int]) -> int:
    """How many of these really ended."""
    killed = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


@fault("SSH session cut", "sessions")
def session_cut(scene: Scene) -> Iterator[None]:
    nodes = _shuffled(scene)
    victims = _as_soon_as(lambda: next((pids for node in nodes if (pids := node.sessions())), []))
    scene.world.seen["SSH session cut"] += bool(_kill(victims))
    yield


def _kill_one(scene: Scene, name: str, *titles: str) -> None:
    """One of our processes on some node."""
    nodes = _shuffled(scene)
    found = _as_soon_as(lambda: [pid for node in nodes for title in titles for pid in node.named(title)])
    if found:
        scene.world.seen[name] += _kill([scene.chance.choice(found)])


def _shuffled(scene: Scene) -> list[Node]:
    return scene.chance.sample(scene.world.nodes, len(scene.world.nodes))


def _as_soon_as(look: Callable[[], list[int]]) -> list[int]:
    """The first victims there are; none, when there are none for a while."""
    with contextlib.suppress(AssertionError):
        return wait.until(look, what="a victim", timeout_s=VICTIM_S, pause_s=0.05)
    return []


@fault("runner killed", "sessions")
def runner_killed(scene: Scene) -> Iterator[None]:
    _kill_one(scene, "runner killed", "mj-runner")
    yield


@fault("worker killed", "sessions")
def worker_killed(scene: Scene) -> Iterator[None]:
    _kill_one(scene, "worker killed", "mj-worker", "mj-executor")
    yield


@fault("courier killed", "sessions")
def courier_killed(scene: Scene) -> Iterator[None]:
    _kill_one(scene, "courier killed", "mj-courier")
    yield


def _silent(world: World) -> bool:
    return world.namespace is not None


@fault("link silent", "machines", hold_s=(7.0, 12.0), possible=_silent)
def link_silent(scene: Scene) -> Iterator[None]:
    """Longer than a machine may be out of reach before its attempts are given up."""
    link, host = scene.world.namespace, scene.world.nodes[-1].host
    assert link is not None
    link.cut()
    try:
        scene.world.seen["link silent"] += _says_nothing(host.address, host.port)
        yield
    finally:
        link.mend()


def _says_nothing(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except TimeoutError:
        return True
    except OSError:
        return False
    return False


# ----------------------------------------------------------------------------------------------------------- machines


def _node_dies(scene: Scene, name: str, *, reboot: bool) -> Iterator[None]:
    node = scene.chance.choice(scene.world.nodes)
    scene.world.seen[name] += bool(node.kill(reboot=reboot))
    try:
        yield
    finally:
        node.back()


@fault("node killed and back", "machines", "sessions", hold_s=(0.0, 4.0))
def node_killed(scene: Scene) -> Iterator[None]:
    yield from _node_dies(scene, "node killed and back", reboot=False)


@fault("node rebooted", "machines", "sessions", hold_s=(0.5, 9.0), possible=lambda _: os.geteuid() == 0)
def node_rebooted(scene: Scene) -> Iterator[None]:
    yield from _node_dies(scene, "node rebooted", reboot=True)


@fault("node's disk full", "machines", hold_s=(2.0, 5.0), possible=lambda world: world.small_disk is not None)
def node_disk_full(scene: Scene) -> Iterator[None]:
    node = scene.world.small_disk
    assert node is not None
    ballast = disks.Ballast(node.root.parent)
    ballast.fill()
    try:
        scene.world.seen["node's disk full"] += os.statvfs(node.root.parent).f_bavail == 0
        yield
    finally:
        ballast.drop()


# ------------------------------------------------------------------------------------------------------------- server


@fault("server killed", "server")
def server_killed(scene: Scene) -> Iterator[None]:
    """At a moment that nobody chose."""
    time.sleep(scene.chance.random() * 1.5)
    scene.world.seen["server killed"] += scene.world.server.is_alive
    scene.world.server.kill()
    yield
    scene.world.server.stand_up()


@fault("server stopped in order", "server")
def server_stopped(scene: Scene) -> Iterator[None]:
    scene.world.seen["server stopped in order"] += scene.world.server.is_alive
    scene.world.server.stop()
    yield
    scene.world.server.stand_up()


@fault("server killed at a write", "server", times=5)
def server_killed_at_a_write(scene: Scene) -> Iterator[None]:
    """Whichever of the ends that are left it meets first."""
    world, plan = scene.world, scene.world.dying / "plan"
    if not scene.ends:
        scene.ends.update(all_ends(scene.chance))
    known = len(world.evidence())
    plan.with_suffix(".part").write_text(json.dumps(scene.ends))
    plan.with_suffix(".part").rename(plan)
    ends_at = time.monotonic() + MEETING_S
    while world.server.is_alive and time.monotonic() < ends_at:
        time.sleep(0.02)
    plan.unlink()
    world.server.kill()
    for line in world.evidence()[known:]:
        if line.startswith("died "):
            world.seen[f"server killed at a write: {line[5:]}"] += 1
            world.seen["server killed at a write"] += 1
            scene.ends.pop(line[5:], None)
    yield
    world.server.stand_up()


@fault("power of the server lost", "server", "home", possible=lambda world: world.image is not None)
def power_lost(scene: Scene) -> Iterator[None]:
    """What was not synced is gone; what was acknowledged must have been."""
    world = scene.world
    assert world.image is not None
    copy = world.folder / "power.img"
    if not world.server.is_alive:
        world.server.stand_up()
    os.kill(world.server.pid, signal.SIGSTOP)
    wait.until(lambda: world.image and world.image.snapshot(copy), what="a copy of one moment", timeout_s=60)
    lose_all_of_the_server(world)
    world.image.replace(copy)
    world.seen["power of the server lost"] += 1
    yield
    world.server.stand_up()


def lose_all_of_the_server(world: World) -> None:
    """The server, and whatever it started."""
    world.server.kill()

    def gone() -> bool:
        left = processes_below(world.server.home)
        _kill(left)
        return not left

    wait.until(gone, what="the end of what the server started")


# ----------------------------------------------------------------------------------------------------------- database

_HOLD: Final = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
conn.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def _is_sqlite(world: World) -> bool:
    return world.database.kind == "sqlite"


def _is_served(world: World) -> bool:
    return world.database.server is not None


@fault("database locked", "home", "server", hold_s=(0.0, 1.0), possible=_is_sqlite)
def database_locked(scene: Scene) -> Iterator[None]:
    path = scene.world.server.home / "multijob.db"
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        if other.stdout.readline().strip() == "held":
            ends_at = time.monotonic() + 30
            scene.world.seen["database locked"] += scene.load.refused(lambda: time.monotonic() > ends_at)
        yield
        other.kill()


@fault("disk of the database full", "home", "server", possible=lambda world: world.image is not None)
def database_disk_full(scene: Scene) -> Iterator[None]:
    assert scene.world.image is not None
    ballast = disks.Ballast(scene.world.image.at)
    ballast.fill()
    try:
        ends_at = time.monotonic() + 30
        full = scene.load.refused(lambda: time.monotonic() > ends_at, padding=200_000)
        scene.world.seen["disk of the database full"] += full
        yield
    finally:
        ballast.drop()


@fault("database stopped and continued", "home", hold_s=(2.0, 6.0), possible=_is_served)
def database_stopped(scene: Scene) -> Iterator[None]:
    server = scene.world.database.server
    assert server is not None
    pids = [server.pid, *hosts._descendants(server.pid)]  # type: ignore[attr-defined]  # both kinds have a process
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
        scene.world.seen["database stopped and continued"] += all(_is_stopped(pid) for pid in pids)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@fault("database killed and back", "home", hold_s=(0.5, 3.0), possible=_is_served)
def database_killed(scene: Scene) -> Iterator[None]:
    server = scene.world.database.server
    assert server is not None
    server.stop(signal.SIGKILL)
    scene.world.seen["database killed and back"] += 1
    try:
        yield
    finally:
        server.start()
