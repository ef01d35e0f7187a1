"""Attempts that wait for a worker: one queue a version, each in the order of assignment. Values only."""

from collections import deque
from typing import Deque, Dict, Iterable, List, Optional, Set, Tuple

from remote_runner.attempt import Attempt
from remote_runner.marks import IDLE

Key = Tuple[int, int]


class Queues:
    """A version without waiting attempts has no queue."""

    def __init__(self) -> None:
        self._queues: Dict[str, Deque[Attempt]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __contains__(self, ref: str) -> bool:
        return ref in self._queues

    def add(self, attempt: Attempt) -> None:
        """Wait at the end."""
        queue = self._queues.get(attempt.ref)
        if queue is None:
            queue = self._queues[attempt.ref] = deque()
        queue.append(attempt)

    def oldest(self, but: Set[str]) -> Optional[str]:
        """The version whose first attempt has waited longest, of those not in ``but``."""
        best: Optional[str] = None
        for ref, queue in self._queues.items():
            if ref not in but and (best is None or queue[0].order < self._queues[best][0].order):
                best = ref
        return best

    def first(self, ref: str) -> Attempt:
        """The attempt whose turn it is."""
        return self._queues[ref][0]

    def leave(self, ref: str) -> None:
        """The first one need not wait any more."""
        queue = self._queues[ref]
        queue.popleft()
        if not queue:
            del self._queues[ref]

    def drop(self, ref: str) -> Iterable[Attempt]:
        """Take out all of a version."""
        return self._queues.pop(ref, ())

    def put_back(self, attempts: List[Attempt]) -> None:
        """Attempts that were handed out but have not begun wait again, where they did."""
        for attempt in attempts:
            attempt.worker, attempt.entry = None, IDLE
        for ref in {each.ref for each in attempts}:
            back = [each for each in attempts if each.ref == ref]
            self._queues[ref] = deque(sorted([*back, *self._queues.get(ref, ())], key=lambda each: each.order))

    def take(self, keys: Optional[Set[Key]]) -> List[Attempt]:
        """Take out those named, or all."""
        found: List[Attempt] = []
        for ref, queue in list(self._queues.items()):
            wanted = [each for each in queue if keys is None or each.key in keys]
            if not wanted:
                continue
            found += wanted
            taken = set(wanted)
            left = deque(each for each in queue if each not in taken)
            if left:
                self._queues[ref] = left
            else:
                del self._queues[ref]
        return found
