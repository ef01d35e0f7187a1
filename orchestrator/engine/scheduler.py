"""Choose a machine for each waiting job. Pure: values in, a Plan out; no store, no clock, no SSH.

Order is the manual's: priority first, then oldest. Jobs come as *lanes*, one per (job type, tag), each already in
order; a lane that no machine can serve costs one comparison, however long it is.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from jobs.model import Candidate, Pick
from orchestrator.engine.feed import Appetite

#: (job type, version)
VersionKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Head:
    """The first waiting jobs of one lane, best first; a window of them, not all."""

    lane_id: int
    job_type: str
    tag: str
    jobs: Sequence[Candidate]
    #: Machines its jobs must not go to.
    avoid: frozenset[str] = frozenset()


@dataclass(slots=True)
class Seat:
    """What the choice needs to know of a machine that may take work. ``held`` and ``held_s`` grow while planning."""

    machine_id: str
    tags: frozenset[str]
    slots: int
    #: Jobs claimed for it and not ended yet, and the seconds of work they are thought to be.
    held: int
    held_s: float
    #: (job type, version) whose folder is on the machine.
    ready: AbstractSet[VersionKey]
    #: The same, on its way there.
    coming: AbstractSet[VersionKey] = frozenset()
    #: The same, which could not be brought there just now.
    failed: AbstractSet[VersionKey] = frozenset()
    #: Job types it must not get, and those of which it may get one, to see how that goes. They change while planning.
    shut: set[str] = field(default_factory=set)
    trial: set[str] = field(default_factory=set)
    #: It may get one job in all, for the same reason.
    single: bool = False

    def fill(self) -> float:
        return self.held / self.slots

    def closed_to(self, job_type: str) -> bool:
        """Whether it must not get (another) job of this type."""
        return job_type in self.shut or (self.single and self.held > 0)

    def take(self, job_type: str, job_s: float) -> None:
        """One more job is meant for it."""
        self.held += 1
        self.held_s += job_s
        if job_type in self.trial:
            self.trial.discard(job_type)
            self.shut.add(job_type)


class Wanted(NamedTuple):
    """A version folder that a machine should have before it can take jobs of the type."""

    machine_id: str
    job_type: str
    version: int


class Plan(NamedTuple):
    picks: list[Pick]
    #: Lanes that picks came from.
    lanes: set[int]
    wanted: list[Wanted]


def plan(
    heads: Iterable[Head],
    seats: Sequence[Seat],
    versions: Mapping[str, int],
    appetites: Mapping[str, Appetite],
    limit: int,
) -> Plan:
    """At most ``limit`` picks, and the folders to send so that what is left over can be picked next time.

    ``versions``: the newest version of each job type. ``appetites``: how far ahead a machine may be fed with jobs of a
    type. The seats' ``held`` are changed: they are the caller's working copies.
    """
    queues = [_Queue(lane, seats, versions[lane.job_type]) for lane in heads if lane.jobs and lane.job_type in versions]
    queues = [queue for queue in queues if queue.seats or queue.unready]
    picks = _pick(queues, appetites, limit)
    lanes = {queue.lane.lane_id for queue in queues if queue.next}
    return Plan(picks, lanes, [wanted for queue in queues for wanted in queue.wanted()])


class _Queue:
    """A lane on its way through one plan: its cursor, and the machines it can go to, emptiest first."""

    def __init__(self, lane: Head, seats: Sequence[Seat], version: int) -> None:
        self.lane = lane
        self.version = version
        self.next = 0
        key = (lane.job_type, version)
        able = [seat for seat in seats if _suits(seat, lane) and key not in seat.failed]
        self.seats = [(seat.fill(), number, seat) for number, seat in enumerate(able) if key in seat.ready]
        heapq.heapify(self.seats)
        self.unready = [seat for seat in able if key not in seat.ready]
        slots = sum(seat.slots for seat in able)
        self._share = len(lane.jobs) / slots if slots else 0.0
        self._given: Counter[str] = Counter()

    def head(self) -> tuple[int, int]:
        job = self.lane.jobs[self.next]
        return job.rank, job.job_id

    def seat_for(self, job: Candidate, appetite: Appetite) -> Seat | None:
        """The emptiest machine that may take the job now; counts it there. Full machines leave the queue."""
        while self.seats:
            fill, number, seat = self.seats[0]
            if seat.fill() != fill:  # another lane filled it meanwhile
                heapq.heapreplace(self.seats, (seat.fill(), number, seat))
                continue
            if not self._has_room(seat, appetite):
                heapq.heappop(self.seats)
                continue
            if seat.held >= seat.slots and job.limit_count == 0:
                return None  # its only start is not put at risk by waiting on a machine
            seat.take(self.lane.job_type, appetite.job_s)
            self._given[seat.machine_id] += 1
            heapq.heapreplace(self.seats, (seat.fill(), number, seat))
            return seat
        return None

    def _has_room(self, seat: Seat, appetite: Appetite) -> bool:
        """A free slot, or room to be fed ahead: never more than its share of what waits, so that others get theirs."""
        if seat.closed_to(self.lane.job_type):
            return False
        if seat.held < seat.slots:
            return True
        share = self._share * seat.slots
        return self._given[seat.machine_id] < share and appetite.takes(seat.slots, seat.held, seat.held_s)

    def wanted(self) -> list[Wanted]:
        """Machines to prepare for the jobs that found no place, and no more of them than those jobs can use."""
        key = (self.lane.job_type, self.version)
        left = len(self.lane.jobs) - self.next
        left -= sum(max(0, seat.slots - seat.held) for seat in self.unready if key in seat.coming)
        out = []
        for seat in sorted(self.unready, key=Seat.fill):
            free = seat.slots - seat.held
            if left <= 0 or free <= 0:
                break
            if key not in seat.coming:
                out.append(Wanted(seat.machine_id, *key))
                left -= free
        return out


def _suits(seat: Seat, lane: Head) -> bool:
    if (lane.tag and lane.tag not in seat.tags) or seat.machine_id in lane.avoid:
        return False
    return not seat.closed_to(lane.job_type)


def _pick(queues: Sequence[_Queue], appetites: Mapping[str, Appetite], limit: int) -> list[Pick]:
    heads = [(queue.head(), number) for number, queue in enumerate(queues) if queue.seats]
    heapq.heapify(heads)
    picks: list[Pick] = []
    while heads and len(picks) < limit:
        _, number = heads[0]
        queue = queues[number]
        lane = queue.lane
        job = lane.jobs[queue.next]
        seat = queue.seat_for(job, appetites[lane.job_type])
        if seat is None:  # nobody has room for this lane, or not for a job that must not wait at a machine
            heapq.heappop(heads)
            continue
        picks.append(Pick(job.job_id, seat.machine_id, queue.version))
        queue.next += 1
        if queue.next < len(lane.jobs):
            heapq.heapreplace(heads, (queue.head(), number))
        else:
            heapq.heappop(heads)
    return picks
