"""What the engine knows of each machine: its state, what it holds, whether it may take more. No connection, no store.

Owned by the engine's thread. A member changes only by the named steps below, each the answer to one event.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from inventory.machine import Machine
from jobs.model import AttemptKey, MachineState
from jobs.pythons import suits
from orchestrator.engine.benching import WHOLE, Bench
from orchestrator.engine.equipment import Equipment
from orchestrator.engine.scheduler import Seat, VersionKey
from orchestrator.node.events import Down, RunnerUp
from orchestrator.node.health import Contact, Load

#: How long a mark that keeps being told of stays without being told again.
MARK_S: Final = 30.0
_ENDS_AT_LOGOUT: Final = (
    "work ends with the connection: the system ends what a login leaves behind; as its administrator, "
    "run: loginctl enable-linger {user}"
)


class Held(NamedTuple):
    """What is thought of an attempt a machine holds."""

    job_type: str
    #: Seconds of work it is expected to be.
    job_s: float


@dataclass(slots=True)
class Member:
    """One machine of the inventory, or one that left it and still holds work."""

    machine: Machine
    state: MachineState = MachineState.CONNECTING
    text: str = ""
    #: The host key it shows, while that is not trusted.
    fingerprint: str = ""
    contact: Contact | None = None
    load: Load | None = None
    #: Wall time of its last answer, for people.
    contact_at: float | None = None
    #: Monotonic time since when nobody answers for its attempts; None while somebody does.
    silent_since_s: float | None = None
    #: Its attempts are shown as unreachable.
    shown_unreachable: bool = False
    removed: bool = False
    #: Its last runner did not start: nothing is claimed for it before one has answered.
    unproven: bool = False
    #: What its runner said when it answered; None once that was compared with ``held``, and while none is there.
    greeting: RunnerUp | None = None
    #: The stream whose runner was compared; None: nothing was sent to a runner since the last one went.
    stream: int | None = None
    #: Attempts claimed for it and not ended.
    held: dict[AttemptKey, Held] = field(default_factory=dict)
    held_s: float = 0.0
    running: set[AttemptKey] = field(default_factory=set)
    ready: set[VersionKey] = field(default_factory=set)
    coming: set[VersionKey] = field(default_factory=set)
    #: Versions that could not be sent, and the monotonic time to try again; how often in a row that was so.
    failed: dict[VersionKey, float] = field(default_factory=dict)
    failures: Counter[VersionKey] = field(default_factory=Counter)
    #: The packages it has, gets or could not get.
    equipment: Equipment = field(default_factory=Equipment)
    #: How often in a row jobs of a type could not be begun here.
    refusals: Counter[str] = field(default_factory=Counter)
    #: Folder names on the machine by job type, as first contact found them and as we added to them.
    present: dict[str, set[str]] = field(default_factory=dict)
    next_poll_s: float = 0.0
    next_sweep_s: float = 0.0
    #: Job types for which it is benched ("": for all), and those whose time there is over: one job may try.
    benches: Mapping[str, Bench] = field(default_factory=dict)
    tried: frozenset[str] = frozenset()
    #: Job types whose newest version asks for another Python.
    unsuited: frozenset[str] = frozenset()
    #: What cannot be mended from here, and until when (monotonic) it is shown; None: as long as the connection lasts.
    marks: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    #: A person wants all that is ours removed from it.
    purging: bool = False
    #: What a person should know though it takes work, and until when (monotonic) it takes none because of something.
    note: str = ""
    resting: str = ""
    resting_until_s: float = 0.0
    changed: bool = True

    # what happened

    def connected(self, contact: Contact, now: float) -> None:
        self.contact, self.load = contact, contact.load
        self.contact_at = now
        self.fingerprint = ""
        if not self.unproven:
            self.state, self.text = MachineState.READY, ""
        if not self.held:
            self.silent_since_s = None
        self.present = {job_type: set(names) for job_type, names in contact.versions.items()}
        self.ready, self.coming, self.failed = set(), set(), {}
        self.equipment.doubt()
        self.greeting = self.stream = None
        self.note = self.resting = ""
        self.marks = {"logout": (_ENDS_AT_LOGOUT.format(user=contact.user), None)} if contact.ends_at_logout else {}
        self.changed = True

    def runner_up(self, up: RunnerUp) -> None:
        self.greeting, self.stream = up, None
        self.state, self.text = MachineState.READY, ""
        self.silent_since_s, self.unproven = None, False
        self.changed = True

    def compared(self) -> None:
        """What its runner holds is settled, and it may be fed."""
        if self.greeting is not None:
            self.stream, self.greeting = self.greeting.stream, None

    def runner_gone(self, stream: int) -> bool:
        """Whether it was the one that could be fed."""
        if self.greeting is not None and self.greeting.stream == stream:
            self.greeting = None
        fed = self.stream == stream
        if fed:
            self.stream = None
        return fed

    def down(self, event: Down, now_s: float) -> None:
        # connected, and then unfit: it was the runner that did not start
        self.unproven = self.unproven or (event.state == "unfit" and self.state is MachineState.READY)
        self.state, self.text = MachineState(event.state), event.text
        self.fingerprint = event.fingerprint
        if self.silent_since_s is None:
            self.silent_since_s = now_s
        self.coming = set()
        self.equipment.doubt()
        self.greeting = self.stream = None
        self.changed = True

    def loaded(self, load: Load, now: float) -> None:
        self.load, self.contact_at = load, now
        self.changed = True

    def connecting(self) -> None:
        self.state, self.text = MachineState.CONNECTING, ""
        self.fingerprint = ""
        self.unproven, self.failures = False, Counter()
        self.load = None
        self.present, self.ready, self.coming = {}, set(), set()
        self.greeting = self.stream = None
        self.changed = True

    def away(self) -> None:
        self.state, self.text = MachineState.CLOSED, ""
        self.fingerprint = ""
        self.silent_since_s = None
        self.coming = set()
        self.greeting = self.stream = None
        self.changed = True

    def deployed(self, key: VersionKey, name: str) -> None:
        self.coming.discard(key)
        self.ready.add(key)
        self.present.setdefault(key[0], set()).add(name)
        del self.failures[key]
        self.note = ""
        self.changed = True

    def deploy_failed(self, key: VersionKey, text: str, until_s: float) -> None:
        """Not tried again before then."""
        self.coming.discard(key)
        self.ready.discard(key)
        self.failures[key] += 1
        self.failed[key] = until_s
        self.note = f"{key[0]}@{key[1]} could not be sent: {text}"
        self.changed = True

    def refused(self, key: VersionKey, until_s: float) -> None:
        """Its runner could not begin jobs of this version; it gets none before then."""
        self.refusals[key[0]] += 1
        self.failed[key] = until_s
        self.note = self.note or f"jobs of {key[0]} could not be begun here"
        self.changed = True

    def judged(self, benches: Mapping[str, Bench]) -> None:
        """Where it stands, compared with others."""
        self.benches = benches
        self.tried = self.tried & benches.keys()
        self.changed = True

    def mark(self, kind: str, text: str, until_s: float | None) -> None:
        """Show that something cannot be mended from here."""
        self.marks[kind] = (text, until_s)
        self.changed = True

    def fit_versions(self, pythons: Mapping[str, str]) -> None:
        """``pythons``: the versions of Python that the newest version of each job type takes."""
        have = self.contact.python_version if self.contact else ""
        self.unsuited = frozenset(kind for kind, wanted in pythons.items() if have and not suits(wanted, have))

    def rest(self, why: str, until_s: float) -> None:
        """Take nothing new for a while, because of something a later look may find mended."""
        self.resting, self.resting_until_s = why, until_s
        self.changed = True

    def time_passed(self, now_s: float) -> None:
        self.failed = {key: retry_s for key, retry_s in self.failed.items() if retry_s > now_s}
        self.equipment.time_passed(now_s)
        if self.resting and self.resting_until_s <= now_s:
            self.resting = ""
            self.changed = True
        tried = frozenset(job_type for job_type, bench in self.benches.items() if bench.until_s <= now_s)
        marks = {kind: mark for kind, mark in self.marks.items() if mark[1] is None or mark[1] > now_s}
        if tried != self.tried or len(marks) != len(self.marks):
            self.tried, self.marks = tried, marks
            self.changed = True

    def hold(self, key: AttemptKey, held: Held) -> None:
        self.held[key] = held
        self.held_s += held.job_s
        self.changed = True

    def started(self, key: AttemptKey) -> None:
        if key in self.held:
            self.running.add(key)
            self.changed = True

    def let_go(self, keys: Iterable[AttemptKey]) -> list[Held | None]:
        """These ended; what was thought of each, None for those it does not hold."""
        gone = [self.held.pop(key, None) for key in keys]
        self.running.difference_update(keys)
        self.held_s = self.held_s - sum(held.job_s for held in gone if held is not None) if self.held else 0.0
        self.changed = True
        return gone

    # what follows from it

    @property
    def gate(self) -> str:
        """Why it takes nothing new, in words for people; empty: it does."""
        for closed, words in self._gates():
            if closed:
                return words
        return ""

    def _gates(self) -> Iterable[tuple[bool, str]]:
        machine, load = self.machine, self.load
        yield self.state is not MachineState.READY, self.text or str(self.state)
        yield self.removed, "removed from the inventory"
        yield machine.closed, "closed in the inventory"
        yield machine.paused, "paused in the inventory"
        yield self.purging, "all that is ours is being removed from it"
        yield bool(self.resting), self.resting
        yield self._benched_whole, f"benched: {self.words(WHOLE)}"
        if load is None:
            return
        yield load.end_file, "an End file lies in its folder"
        yield load.pause_file, "a Pause file lies in its folder"
        if machine.max_load is not None and self.contact is not None:
            per_core = load.load1 / max(1, self.contact.cores)
            yield per_core > machine.max_load, f"load {per_core:.1f} per core is above max_load {machine.max_load}"
        free = load.memory_free_mb * 2**20
        yield 0 < machine.min_free_memory_bytes > free, "less free memory than min_free_memory"
        free = load.disk_free_mb * 2**20
        yield 0 < machine.min_free_disk_bytes > free, "less free disk than min_free_disk"

    @property
    def wants_empty(self) -> bool:
        """Unstarted work should come back, because a person said so (not because of a load that passes)."""
        load = self.load
        by_file = load is not None and (load.pause_file or load.end_file)
        return self.removed or self.machine.closed or self.machine.paused or by_file or self.purging

    @property
    def wants_away(self) -> bool:
        """To be disconnected when nothing is left on it."""
        if self.purging:
            return False
        return self.removed or self.machine.closed or (self.load is not None and self.load.end_file)

    def seat(self) -> Seat:
        """A working copy for the scheduler."""
        packages = self.equipment
        return Seat(
            machine_id=self.machine.machine_id,
            tags=self.machine.tags,
            slots=self.machine.limit_process,
            held=len(self.held),
            held_s=self.held_s,
            ready=self.ready - packages.lacking() if packages.asked else self.ready,
            coming=self.coming | packages.coming() if packages.asked else self.coming,
            failed=self.failed.keys() | packages.resting() if packages.asked else self.failed.keys(),
            shut=self._shut(),
            trial=set(self.tried - {WHOLE}) - self._held_types(),
            single=WHOLE in self.benches,
        )

    @property
    def is_connecting(self) -> bool:
        """It has not answered yet, and is wanted."""
        return self.state is MachineState.CONNECTING and not self.removed and not self.machine.paused

    @property
    def _benched_whole(self) -> bool:
        """It is benched for everything; when its time is over one job may try, while it holds no other."""
        return WHOLE in self.benches and (WHOLE not in self.tried or bool(self.held))

    def _shut(self) -> set[str]:
        benched = self.benches.keys() - {WHOLE}
        return set(self.unsuited) | (benched - self.tried) | (benched & self._held_types())

    def _held_types(self) -> set[str]:
        """Asked for only where something is benched: it looks at all that is held."""
        return {held.job_type for held in self.held.values()} if self.benches else set()

    def words(self, job_type: str) -> str:
        """Why it is benched for this type; empty: it is not."""
        bench = self.benches.get(job_type)
        if bench is None:
            return ""
        return bench.why + ("; one job may try it now" if job_type in self.tried else "")

    @property
    def life(self) -> str:
        return self.contact.life if self.contact else ""

    def same_life(self, known: str | None) -> bool:
        """Whether nothing that was sent before can have run unseen: nothing was ever sent, or it is the life still."""
        return known is None or (known == self.life and bool(known))

    def in_doubt(self, known_to_runner: AbstractSet[AttemptKey], unsent: AbstractSet[AttemptKey]) -> list[AttemptKey]:
        """Held attempts that the runner does not know of, though they were sent, or may have been."""
        return [key for key in self.held if key not in known_to_runner and key not in unsent]
