"""What all doors share: the store, the clock, the library, and the bells that are rung after a commit."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path

from jobs.bell import Bell
from jobs.commands import Commands
from jobs.happenings import Happenings
from jobs.insight import Insight
from jobs.library import Library
from jobs.live import Live
from jobs.model import AttemptKey, Reported
from jobs.people import People
from jobs.rules import Backoff
from jobs.store import Store, Tx
from jobs.store.closing import Settled


def _silent(*_: object) -> None:
    """A hook nobody has set."""


class Desk:
    """The base of every door. Hooks are called after the commit and must be quick."""

    def __init__(
        self,
        store: Store,
        home_jobs: Path,
        cache: Path,
        clock: Callable[[], float] = time.time,
        timezone: tzinfo = UTC,
    ) -> None:
        self._store = store
        self._clock = clock
        self._timezone = timezone
        self._library = Library(store, home_jobs, cache)
        self._bell = Bell()
        #: How long failed tries wait; the entrance sets what the settings say.
        self.backoff = Backoff()
        #: Doors of their own.
        self.commands = Commands(store, clock)
        self.live = Live(self.commands, clock)
        self.people = People(store, clock)
        self.insight = Insight(store, clock)
        self.happenings = Happenings(store, self._bell)
        #: {lane id: highest priority} that got work: from submit, rerun, copy, back-off over, given back.
        self.on_submitted: Callable[[Mapping[int, int]], None] = _silent
        #: (machine id, records accepted); also after lose, give_back and dispatch_failed.
        self.on_reported: Callable[[str, Sequence[Reported]], None] = _silent
        #: Jobs wait for their return_main.
        self.on_returning: Callable[[], None] = _silent
        #: (machine id, attempts to end there).
        self.on_kill: Callable[[str, Sequence[AttemptKey]], None] = _silent
        #: (job type, its new version).
        self.on_published: Callable[[str, int], None] = _silent
        #: (machine ids) for which people set something on top of the inventory.
        self.on_override: Callable[[Sequence[str]], None] = _silent

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock(), self._timezone).strftime("%Y-%m-%d")

    def _tell_lanes(self, tx: Tx, lanes: Mapping[int, int]) -> None:
        if lanes:
            tx.after(lambda: self.on_submitted(lanes))

    def _tell_settled(self, tx: Tx, reported: Mapping[str, Sequence[Reported]], settled: Settled) -> None:
        """Of attempts that moved, by machine: of each some, or nothing moved at all."""
        if not any(reported.values()):
            return
        tx.after(self._bell.ring)
        for machine_id, records in reported.items():
            tx.after(partial(self.on_reported, machine_id, records))
        if settled.returning:
            tx.after(self.on_returning)
        self._tell_lanes(tx, settled.lanes)
