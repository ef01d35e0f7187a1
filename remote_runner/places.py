"""The workers there are: who is idle, who may be hired, who has to go. Keeps to the limit."""

import os
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Set

from remote_runner import marks, progress
from remote_runner.folder import remove
from remote_runner.outbox import Outbox
from remote_runner.processes import descendants, kill_all, reap
from remote_runner.protocol import Version
from remote_runner.station import Finish, Say, Station
from remote_runner.stream import Loop

IDLE_WORKER_S = 60.0
KILL_S = 5.0
#: From the loss of a worker to the next hiring: where none can live, none is made again and again at once.
REHIRE_S = 0.5

Tools = NamedTuple(
    "Tools",
    [
        ("loop", Loop),
        ("run", str),
        ("marks", int),  # the file of marks
        ("outbox", Outbox),
        ("trouble", Callable[[str, str], None]),
        ("forget", Callable[[], None]),  # what a fork must do before job code may load in it
        ("others", Callable[[], Set[int]]),  # children of the runner that are no workers
    ],
)


class Places:
    """All workers of a runner, by number."""

    def __init__(self, tools: Tools, limit: int, on_finish: Finish, on_say: Say) -> None:
        self.limit = limit
        self.stations: Dict[int, Station] = {}
        self.checked: Set[str] = set()  # versions whose digest was right
        self._hire_after = 0.0
        self._tools = tools
        self._on_finish = on_finish
        self._on_say = on_say

    def is_full(self) -> bool:
        """Whether as many workers are at work as may be."""
        return sum(1 for each in self.stations.values() if each.handed or each.is_ending) >= self.limit

    def find(self, version: Version, ref: str) -> Optional[Station]:
        """An idle worker for a version: one there is, or a new one. None: not now. Raises OSError: none can be made."""
        mine = [each for each in self.stations.values() if each.ref == ref and not each.is_leaving]
        mine = [each for each in mine if each.version == version or each.handed]
        for station in mine:
            if not station.handed and not station.is_ending:
                return station
        if mine and ref not in self.checked:
            return None  # the first one is still comparing the digest
        if time.monotonic() < self._hire_after:
            return None
        self._make_room()
        return self._hire(version, ref)

    def _make_room(self) -> None:
        """Let the longest idle worker go when there are as many as may run."""
        present = [each for each in self.stations.values() if not each.is_leaving]
        idle = [each for each in present if not each.handed and not each.is_ending]
        if len(present) >= self.limit and idle:
            min(idle, key=lambda each: each.idle_since).leave()

    def _hire(self, version: Version, ref: str) -> Station:
        number = next(at for at in range(len(self.stations) + 1) if at not in self.stations)
        page = marks.add_page(self._tools.marks, number)
        station = Station(self._tools.loop, number, page, ref, version, self._tools.run, self._on_finish, self._on_say)
        station.open(ref not in self.checked, self._tools.forget)
        self.stations[number] = station
        return station

    def let_spare_go(self, now: float, has_queue: bool) -> None:
        """Idle workers above the limit, or idle for long, end."""
        spare = len([each for each in self.stations.values() if not each.is_leaving]) - self.limit
        for station in self.stations.values():
            if station.handed or station.is_leaving or station.is_ending:
                continue
            if spare > 0 or (not has_queue and now - station.idle_since > IDLE_WORKER_S):
                spare -= 1
                station.leave()

    def forget(self, station: Station) -> None:
        """Its supervisor is gone. Asked to, it has ended all below it; killed, that is left to us."""
        del self.stations[station.number]
        if not station.is_leaving:
            self._hire_after = time.monotonic() + REHIRE_S
            self._end_orphans()

    def clear(self, station: Station) -> None:
        """Close what a worker that is gone had open, and remove its folder."""
        station.close()
        remove(os.path.join(self._tools.run, "workers", str(station.number)))
        remove(progress.path_of(self._tools.run, station.number))

    def _end_orphans(self) -> None:
        left = kill_all(self._orphans, time.monotonic() + KILL_S)
        if left:
            self._tools.trouble("unkillable", "%d processes of a job cannot be ended" % len(left))

    def _orphans(self) -> Set[int]:
        """All our descendants that are neither workers, nor below one, nor the courier."""
        reap()
        found = descendants(os.getpid()) - self._tools.others()
        for station in self.stations.values():
            found -= descendants(station.pid) | {station.pid}
        return found

    def busy(self) -> List[Station]:
        """Those that were handed something."""
        return [each for each in self.stations.values() if each.handed]

    def dismiss(self) -> None:
        """Let go of every worker; each supervisor ends all below it and then itself."""
        for station in self.stations.values():
            station.close()
        self.stations.clear()
