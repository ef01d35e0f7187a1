"""An engine whose beats are taken by hand, on a real store, with sessions that do nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from inventory.file import Inventory
from inventory.machine import Machine
from jobs.errors import StoreUnavailable
from jobs.model import MachineView
from orchestrator.engine import benching
from orchestrator.engine.beat import Engine
from orchestrator.engine.pace import Timing
from orchestrator.engine.roster import Member
from orchestrator.node import deploy
from orchestrator.node.events import Beat, Event, InventoryChanged, KillAsked, Published, ReportStored, Submitted
from tests.support.fake_session import FakeSession
from tests.support.store_kit import Room

LOST_AFTER_S = 100.0
BENCH = benching.Rule(after=3, first_s=60.0, longest_s=600.0)
END_LOOK_S = Timing().end_look_s


class HandClock:
    """Both clocks stand still until told."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.now_s = 1000.0

    def time(self) -> float:
        return self._room.clock.now

    def monotonic(self) -> float:
        return self.now_s

    def forward(self, seconds: float) -> None:
        self.now_s += seconds
        self._room.clock.forward(seconds)


class Stage:
    """An engine whose beats are taken by hand."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.clock = HandClock(room)
        self.made: list[FakeSession] = []
        self.machines: dict[str, Machine] = {}
        self.begin()

    def begin(self, **machines: dict[str, Any]) -> None:
        """A new engine on the same store, as after a restart; its threads are not started."""
        self.made.clear()
        timing = Timing(poll_s=30.0, lost_after_s=LOST_AFTER_S, grace_s=10.0, bench=BENCH)
        self.engine = Engine(self.room.service, self._session, timing, self.clock)  # type: ignore[arg-type]
        service, tell = self.room.service, self.engine.tell
        service.on_submitted = lambda lanes: tell(Submitted({lane: -first for lane, first in lanes.items()}))
        service.on_reported = lambda machine_id, items: tell(ReportStored(machine_id, items))
        service.on_kill = lambda machine_id, keys: tell(KillAsked(machine_id, keys))
        service.on_published = lambda *_: tell(Published())
        self.machines = {name: Machine(machine_id=name, **facts) for name, facts in machines.items()}
        fleet = self.engine._fleet
        fleet.learn_versions(service.current_versions())
        fleet.take_over(Inventory(self.machines), service.open_attempts(), service.benches())

    def _session(self, machine: Machine, tell: Any) -> FakeSession:
        self.made.append(FakeSession(machine, tell))
        return self.made[-1]

    def session(self, name: str = "m1") -> FakeSession:
        """The machine's newest session."""
        return [session for session in self.made if session.machine.machine_id == name][-1]

    def member(self, name: str = "m1") -> Member:
        return self.engine._fleet.members[name]

    def change(self, name: str = "m1", **facts: Any) -> None:
        """Edit a line of the inventory."""
        self.machines[name] = replace(self.machines.get(name, Machine(machine_id=name)), **facts)
        self.engine.tell(InventoryChanged(Inventory(dict(self.machines))))
        self.beat()

    def remove(self, name: str = "m1") -> None:
        del self.machines[name]
        self.engine.tell(InventoryChanged(Inventory(dict(self.machines))))
        self.beat()

    def beat(self, *events: Event) -> None:
        """Everything that has been told, until nothing is left to be taken."""
        for event in events:
            self.engine.tell(event)
        while told := self.engine._inbox.pop_all():
            self.engine.beat(told)

    def tick(self, seconds: float = 1.0) -> None:
        """So much time goes by, with a beat at least every few seconds, as long as we are awake."""
        while seconds > 0:
            self.clock.forward(min(seconds, 5.0))
            self.beat(Beat())
            seconds -= 5.0

    def sleep(self, seconds: float) -> None:
        """So much time goes by in which nothing of us ran."""
        self.clock.forward(seconds)
        self.beat(Beat())

    def ready(self, name: str = "m1") -> FakeSession:
        """The machine connects, has all folders, and its runner answers and is compared."""
        session = self.session(name)
        versions = self.room.service.current_versions().values()
        session.connected(
            versions={one.job_type: frozenset({deploy.version_name(one.version, one.node_digest)}) for one in versions}
        )
        session.runner_up(len(self.made) * 100)
        self.beat()
        return session

    def views(self) -> list[MachineView]:
        """The machines as people see them at the next beat."""
        self.room.store.write(lambda _: None)  # what was on its way has arrived
        self.tick()
        self.room.store.write(lambda _: None)
        return self.room.service.machines()

    def open(self) -> list[int]:
        return [attempt.job_id for attempt in self.room.service.open_attempts()]


@contextmanager
def store_away(stage: Stage) -> Iterator[None]:
    """The database can be read and not written, and refuses at once."""
    writer = stage.room.store._writer
    right = writer._engine

    class Away:
        def connect(self) -> Any:
            raise StoreUnavailable("a test said so")

    writer.submit(lambda _: None).result()  # nothing is on its way
    writer._disconnect()
    writer._engine = Away()  # type: ignore[assignment]
    try:
        yield
    finally:
        writer._engine = right
