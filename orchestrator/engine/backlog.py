"""The engine's window onto the queue: for each lane, its first waiting jobs. A cache; the store stays the truth.

It is refilled only for lanes that somebody could serve now, so a million jobs for nobody are never read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from jobs.model import Candidate, Lane
from orchestrator.engine.scheduler import Head

#: Jobs held in memory: of a lane at most so many, of all lanes together about so many.
WINDOW: Final = 4000
ALL_WINDOWS: Final = 40_000
#: However many lanes there are, a window is no smaller and is read again in time: what a beat picks must come from the
#: windows, or a job of less priority in another lane would go first.
LEAST: Final = 1000
#: A lane is read again when less than this part of its window is left.
LOW_WATER: Final = 0.25
LEAST_LEFT: Final = 500

#: (lane ids, how many of each) -> lane id -> its first waiting jobs, best first
FetchHeads = Callable[[Sequence[int], int], Mapping[int, Sequence[Candidate]]]


@dataclass(slots=True)
class _Window:
    job_type: str
    tag: str
    avoid: frozenset[str] = frozenset()
    jobs: list[Candidate] = field(default_factory=list)
    #: The window holds every waiting job of the lane.
    whole: bool = False
    #: Something that belongs in the middle of the window was submitted.
    stale: bool = True

    def wants_refill(self, size: int) -> bool:
        return self.stale or (not self.whole and len(self.jobs) < _left(size))


class Backlog:
    """Owned by the engine's thread."""

    def __init__(self, fetch_lanes: Callable[[], Iterable[Lane]], fetch_heads: FetchHeads) -> None:
        self._fetch_lanes = fetch_lanes
        self._fetch_heads = fetch_heads
        self._windows: dict[int, _Window] = {}
        #: There may be lanes in the store that are not among the windows.
        self._unknown = True
        #: So many may be picked from the heads given last, and none that others should go before.
        self.reach = LEAST_LEFT

    def look_again(self) -> None:
        """Jobs may wait that nobody told of: another process wrote, or a word was lost."""
        self._unknown = True
        for window in self._windows.values():
            window.whole = False

    def submitted(self, best_ranks: Mapping[int, int]) -> None:
        """Jobs were added to these lanes; the best rank among them decides whether the window must be read anew."""
        self._unknown = self._unknown or any(lane not in self._windows for lane in best_ranks)
        for lane, rank in best_ranks.items():
            window = self._windows.get(lane)
            if window is None:
                continue
            if window.jobs and rank < window.jobs[-1].rank:
                window.stale = True
            window.whole = False

    def is_empty(self) -> bool:
        """Nothing waits, whoever could serve it, and nothing calls for another look."""
        return not self._unknown and not any(w.jobs or w.stale or not w.whole for w in self._windows.values())

    def heads(self, servable: Callable[[str, str], bool]) -> list[Head]:
        """The windows of all lanes for which ``servable(job type, tag)`` holds and something waits."""
        self._learn_lanes()
        mine = {lane: window for lane, window in self._windows.items() if servable(window.job_type, window.tag)}
        size = max(LEAST, min(WINDOW, ALL_WINDOWS // max(1, len(mine))))
        self._refill({lane: window for lane, window in mine.items() if window.wants_refill(size)}, size)
        self.reach = _left(size)
        return [Head(lane, w.job_type, w.tag, w.jobs, w.avoid) for lane, w in mine.items() if w.jobs]

    def taken(self, lane_ids: Iterable[int], job_ids: Iterable[int]) -> None:
        """These jobs are claimed, or turned out not to be claimable: out of the windows."""
        gone = set(job_ids)
        for lane in set(lane_ids):
            window = self._windows[lane]
            window.jobs = [job for job in window.jobs if job.job_id not in gone]

    def _learn_lanes(self) -> None:
        if self._unknown:
            for lane in self._fetch_lanes():
                self._windows.setdefault(lane.lane_id, _Window(lane.job_type, lane.tag, lane.avoid))
            self._unknown = False

    def _refill(self, windows: Mapping[int, _Window], size: int) -> None:
        if not windows:
            return
        heads = self._fetch_heads(list(windows), size)
        for lane, window in windows.items():
            window.jobs = list(heads.get(lane, ()))
            window.whole = len(window.jobs) < size
            window.stale = False


def _left(size: int) -> int:
    """How many jobs a window of this size holds at least, unless it holds all there are."""
    return max(LEAST_LEFT, int(size * LOW_WATER))
