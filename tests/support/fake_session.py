"""A Session that does nothing: it remembers what the engine asked, and says what a test lets it say."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from inventory.machine import Machine
from jobs.model import AttemptKey
from orchestrator.node.events import Connected, Down, MachineEvent, RunnerGone, RunnerUp
from remote_runner import protocol
from tests.support.samples import a_contact


class FakeSession:
    """As Session, for the engine; ``sent`` is what reached the runner."""

    def __init__(self, machine: Machine, tell: Callable[[MachineEvent], None]) -> None:
        self.machine = machine
        self.tell = tell
        self.started = self.stopped = False
        self.outbox: list[protocol.Assignment] = []
        self.sent: list[AttemptKey] = []
        self.exclusive: set[str] = set()
        self.killed: list[AttemptKey] = []
        self.agreed: list[int] = []
        self.recalls = self.wanted_runner = self.polls = self.sweeps = self.purges = 0
        self.deploys: list[tuple[str, int]] = []
        self.equips: list[str] = []

    # what the engine asks

    def start(self) -> None:
        self.started = True

    @property
    def running(self) -> bool:
        return self.started and not self.stopped

    @property
    def alive(self) -> bool:
        return self.running

    def stop(self) -> None:
        self.stopped = True

    def join(self, timeout_s: float) -> None:
        pass

    def assign(
        self, jobs: Sequence[protocol.Assignment], versions: Iterable[protocol.Version], exclusive: Iterable[str] = ()
    ) -> None:
        self.outbox += jobs
        self.exclusive |= set(exclusive)
        if self.agreed:
            self.carry()

    def unsent(self) -> set[AttemptKey]:
        return {(job.job, job.attempt) for job in self.outbox}

    def withdraw_unsent(self) -> list[AttemptKey]:
        taken, self.outbox = self.outbox, []
        return [(job.job, job.attempt) for job in taken]

    def ensure_runner(self) -> None:
        self.wanted_runner += 1

    def go_on(self, stream: int) -> None:
        self.agreed.append(stream)
        self.carry()

    def recall(self) -> None:
        self.recalls += 1

    def kill(self, attempts: Sequence[AttemptKey], grace_s: float) -> None:
        self.killed += attempts

    def reconfigure(self, machine: Machine) -> None:
        self.machine = machine

    def send_version(
        self, job_type: str, version: int, digest: str, source: Callable[[], Path], present: Iterable[str]
    ) -> None:
        self.deploys.append((job_type, version))

    def equip(self, digest: str, lines: Callable[[], Sequence[str]]) -> None:
        self.equips.append(digest)

    def poll(self) -> None:
        self.polls += 1

    def sweep(self) -> None:
        self.sweeps += 1

    def purge(self) -> None:
        self.purges += 1

    # what a test makes happen

    def carry(self) -> None:
        """The stream takes what waits."""
        self.sent += [(job.job, job.attempt) for job in self.outbox]
        self.outbox = []

    def connected(self, **contact: object) -> None:
        self.tell(Connected(self.machine.machine_id, a_contact(**contact)))

    def down(self, state: str = "unreachable") -> None:
        self.agreed = []
        self.tell(Down(self.machine.machine_id, state, "a test said so"))  # type: ignore[arg-type]

    def runner_up(self, stream: int, *held: AttemptKey, unread: bool = False) -> None:
        self.agreed = []
        self.tell(RunnerUp(self.machine.machine_id, stream, frozenset(held), unread))

    def runner_gone(self, stream: int, *, left: bool) -> None:
        self.tell(RunnerGone(self.machine.machine_id, stream, left))
