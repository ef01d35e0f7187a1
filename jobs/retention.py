"""The door for retention: removes finished jobs by rule, in pieces, from a thread of the engine's timers.

Off by default. Waiting, running and returning jobs are never touched; the audit log and the history by the hour stay.
"""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

from jobs.store import Store, retention

log = logging.getLogger(__name__)

DAY_S = 86400.0


class Rule(NamedTuple):
    """What is kept; 0: everything."""

    #: Finished jobs whose latest move is longer ago are removed.
    days: float = 0.0
    #: Of more finished jobs than this, those with the smallest ids are removed.
    jobs: int = 0


class Retention:
    """See the module. ``stopping`` ends it between two pieces."""

    def __init__(
        self, store: Store, rule: Rule, clock: Callable[[], float], stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._store = store
        self._rule = rule
        self._clock = clock
        self._stopping = stopping

    def apply(self) -> int:
        """Remove what is past its time; how many jobs."""
        removed = sum(self._remove(ids) for ids in self._pieces())
        if removed:
            log.info("retention removed %d finished jobs", removed)
        return removed

    def _remove(self, ids: list[int]) -> int:
        return self._store.write(lambda tx: retention.remove(tx, ids))

    def _pieces(self) -> Iterator[list[int]]:
        if self._rule.days > 0:
            yield from self._walk(None, self._clock() - self._rule.days * DAY_S)
        if self._rule.jobs > 0:
            with self._store.read() as conn:
                surplus = retention.finished(conn) - self._rule.jobs
            yield from self._walk(max(0, surplus), None)

    def _walk(self, most: int | None, before: float | None) -> Iterator[list[int]]:
        """Ids in pieces, at most so many of them."""
        after = -1
        while not self._stopping() and most != 0:
            limit = retention.PIECE if most is None else min(retention.PIECE, most)
            with self._store.read() as conn:
                ids = retention.oldest(conn, after, limit, before)
            if not ids:
                return
            yield ids
            after = ids[-1]
            most = None if most is None else most - len(ids)
