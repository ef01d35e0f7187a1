"""The door for what people do to jobs: kill, rerun, copy, delete, clear, and what they would do.

One job is acted on at once; more become an operation (``jobs.operations``) that survives whatever dies meanwhile.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jobs import submitting
from jobs.doors.desk import Desk
from jobs.model import Action, ActionResult, Copied, JobFilter, Operation
from jobs.operations import PATIENCE_S, Author, Operations, named
from jobs.status import Reason
from jobs.store import Store, Tx, actions, browse


class Acted(NamedTuple):
    """What an action did; ``operation`` where it was on several jobs, and may still go on."""

    result: ActionResult
    #: Of copies.
    ids: list[int]
    operation: Operation | None

    @classmethod
    def of(cls, found: Operation) -> "Acted":
        """What an operation has done so far."""
        return cls(ActionResult(found.matched, found.changed, dict(found.skipped)), found.made_ids, found)


class Actions(Desk):
    """Actions on the jobs a filter means."""

    def __init__(
        self,
        store: Store,
        home_jobs: Path,
        cache: Path,
        clock: Callable[[], float] = time.time,
        timezone: tzinfo = UTC,
    ) -> None:
        super().__init__(store, home_jobs, cache, clock, timezone)
        self.operations = Operations(store, clock, self._perform)

    def kill(self, which: Sequence[int] | JobFilter) -> ActionResult:
        """End waiting jobs at once (T9), ask running ones to end (T10); others are skipped."""
        return self.act(Action.KILL, which).result

    def rerun(self, which: Sequence[int] | JobFilter, *, elsewhere: bool = False) -> ActionResult:
        """Finished jobs wait again with a fresh budget (T15); waiting, running and returning ones are skipped.

        ``elsewhere``: they avoid the machines that failed them.
        """
        return self.act(Action.RERUN, which, elsewhere=elsewhere).result

    def copy(self, which: Sequence[int] | JobFilter) -> Copied:
        """New waiting jobs with the same input and wishes, without history (T16)."""
        done = self.act(Action.COPY, which)
        return Copied(done.result.matched, done.ids)

    def delete(self, which: Sequence[int] | JobFilter) -> ActionResult:
        """Forget jobs and their history; running ones, and those whose return_main runs, are skipped (T17)."""
        return self.act(Action.DELETE, which).result

    def clear(self, which: Sequence[int] | JobFilter) -> ActionResult:
        """Empty the results and keep the rest; unfinished jobs are skipped."""
        return self.act(Action.CLEAR, which).result

    def prioritise(self, which: Sequence[int] | JobFilter, priority: int) -> ActionResult:
        """Waiting jobs get this priority; others are skipped. Raises InvalidInput."""
        return self.act(Action.PRIORITY, which, priority=submitting.check_priority(priority)).result

    def act(
        self,
        action: Action,
        which: Sequence[int] | JobFilter,
        *,
        elsewhere: bool = False,
        priority: int | None = None,
        author: Author | None = None,
        wait_s: float = PATIENCE_S,
    ) -> Acted:
        """Do it, and wait for its end; beyond ``wait_s`` it goes on by itself, and what is done so far is told."""
        chosen = named(which)
        if chosen.ids is not None and len(set(chosen.ids)) <= 1:
            result, made = self._store.write(lambda tx: self._on_one(tx, action, chosen, elsewhere, priority))
            return Acted(result, list(made), None)
        begun = self.operations.begin(action, chosen, elsewhere=elsewhere, priority=priority, author=author)
        return Acted.of(self.operations.carry_on(begun, wait_s))

    def _on_one(
        self, tx: Tx, action: Action, chosen: JobFilter, elsewhere: bool, priority: int | None
    ) -> tuple[ActionResult, Sequence[int]]:
        ids = browse.still(tx.conn, chosen, list(chosen.ids or ()))
        return self._perform(tx, action, ids, elsewhere, priority)

    def _perform(
        self, tx: Tx, action: Action, ids: Sequence[int], elsewhere: bool, priority: int | None
    ) -> tuple[ActionResult, Sequence[int]]:
        """Do it to these; (what was done, the ids of copies)."""
        if action == Action.COPY:
            return self._copy(tx, ids)
        if action == Action.PRIORITY:
            result, lanes = actions.prioritise(tx, ids, priority or 0)
            self._tell_lanes(tx, lanes)
            return result, ()
        return self._changed(tx, action, ids, elsewhere), ()

    def _copy(self, tx: Tx, ids: Sequence[int]) -> tuple[ActionResult, Sequence[int]]:
        made, lanes = actions.copy(tx, ids, self._clock())
        self._tell_lanes(tx, lanes)
        return ActionResult(len(made), len(made), {}), made

    def _changed(self, tx: Tx, action: Action, ids: Sequence[int], elsewhere: bool) -> ActionResult:
        now = self._clock()
        match action:
            case Action.KILL:
                return self._kill(tx, ids, now)
            case Action.RERUN:
                result, lanes = actions.rerun(tx, ids, now, elsewhere=elsewhere)
                self._tell_lanes(tx, lanes)
                return result
            case Action.DELETE:
                return actions.delete(tx, ids)
            case Action.CLEAR:
                return actions.clear(tx, ids, now)
            case Action.END_TYPE:
                tx.after(self._bell.ring)
                return actions.end_waiting(tx, ids, Reason.TYPE_DELETED, now)
            case _:
                raise ValueError(action)

    def _kill(self, tx: Tx, ids: Sequence[int], now: float) -> ActionResult:
        result, running = actions.kill(tx, ids, now)
        for machine_id, keys in running.items():
            tx.after(partial(self.on_kill, machine_id, keys))
        tx.after(self._bell.ring)
        return result

    def foresee(self, action: Action, which: Sequence[int] | JobFilter) -> ActionResult:
        """What an action would do to these jobs now, without doing it."""
        chosen = named(which)
        with self._store.read() as conn:
            if chosen.on_counters:
                return actions.foresee(action, [browse.census(conn, chosen)])
            pieces = [browse.count(conn, piece) for piece in actions.pieces(chosen)]
        return actions.foresee(action, pieces)
