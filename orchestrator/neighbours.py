"""What further web processes on the same database wrote, told to this one by the hooks that its own writes ring.

Follows the numbered events, so it costs next to nothing while nothing happens. What this process wrote itself comes by
as well; hearing of it twice is harmless to the engine.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final

from jobs.errors import StoreUnavailable
from jobs.model import AttemptKey, MachineOverride
from jobs.service import JobService
from jobs.store import events
from jobs.submitting import PRIORITY_LIMIT

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
#: Under load, what happens meanwhile is heard together.
GATHER_S: Final = 0.5
#: How long a job from elsewhere may go behind less important ones, where others as important as it wait before it.
EXACT_S: Final = 30.0


class Neighbours:
    """``start`` once, ``stop`` once."""

    def __init__(self, service: JobService) -> None:
        self._service = service
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="neighbours", daemon=True)
        self._number = 0
        self._overrides: list[MachineOverride] = []
        self._kills: frozenset[AttemptKey] = frozenset()
        self._best: Mapping[int, int] = {}
        self._exact_at = 0.0

    def start(self) -> None:
        """From now on; what was before the engine's own start reads."""
        self._number = self._service.happenings.newest()
        self._overrides = self._service.overrides()
        self._thread.start()

    def stop(self) -> None:
        """Harmless when it was never started."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(GATHER_S):
            try:
                self._service.happenings.wait(self._number, LOOK_S)
                news = self._service.happenings.since(self._number)
                self._hear(news.kinds)
                self._number = news.number
            except StoreUnavailable as error:
                log.debug("the store does not answer: %s", error)

    def _hear(self, kinds: Collection[str]) -> None:
        if events.JOBS in kinds:
            self._tell_lanes()
            self._tell_kills()
        if events.JOB_TYPE in kinds:
            self._service.on_published("", 0)
        if events.MACHINE in kinds:
            self._tell_overrides()

    def _tell_lanes(self) -> None:
        heads = self._service.heads(None, 1)
        best = {lane: -waiting[0].rank for lane, waiting in heads.items() if waiting}
        exact = time.monotonic() - self._exact_at >= EXACT_S
        told = best if exact else risen(self._best, best)
        if exact:
            self._exact_at = time.monotonic()
        self._best = best
        if told:
            self._service.on_submitted(told)

    def _tell_kills(self) -> None:
        """Each once; should a machine not hear of it, the engine asks again when it answers."""
        asked = [one for one in self._service.open_attempts() if one.kill_requested]
        fresh: defaultdict[str, list[AttemptKey]] = defaultdict(list)
        for one in asked:
            if (one.job_id, one.attempt) not in self._kills:
                fresh[one.machine_id].append((one.job_id, one.attempt))
        self._kills = frozenset((one.job_id, one.attempt) for one in asked)
        for machine_id, keys in fresh.items():
            self._service.on_kill(machine_id, keys)

    def _tell_overrides(self) -> None:
        now = self._service.overrides()
        if now != self._overrides:
            self._overrides = now
            self._service.on_override(sorted({one.machine_id for one in now}))


def risen(before: Mapping[int, int], best: Mapping[int, int]) -> dict[int, int]:
    """{lane: the priority to tell}: the best one where it is better than before, else only that jobs wait there.

    A lane whose best priority is told is read anew. Told at each look, lanes with jobs of several priorities would be
    read again and again.
    """
    return {lane: one if one > before.get(lane, -PRIORITY_LIMIT) else -PRIORITY_LIMIT for lane, one in best.items()}
