"""Actions on many jobs, as operations that outlive a restart: a door of its own.

An operation is about the jobs there are when it begins (up to the highest id then). It is carried on in chunks, each of
which commits together with the cursor behind it: whatever dies, no chunk is done twice and none is left out. Whoever
waits for an operation carries it on; ``orchestrator.bulk`` carries on what nobody waits for.
"""

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from jobs import submitting
from jobs.bell import Bell
from jobs.errors import Conflict, InvalidInput, NotFound, StoreUnavailable
from jobs.model import Action, ActionResult, JobFilter, Operation, OperationState
from jobs.store import Store, Tx, actions, browse, operations

#: Operations that may run at once: each takes its turn, and people can wait.
RUNNING_LIMIT: Final = 100
#: So many jobs are done in the time that an answer may take.
SMALL: Final = 50
#: Ended operations are kept for people to look at.
KEPT_S: Final = 30 * 86400.0
#: How long those wait who were promised the end.
PATIENCE_S: Final = 25.0
STORE_AWAY_S: Final = 0.2

#: (transaction, action, ids, elsewhere, priority) → (what was done, ids of what was made)
Perform = Callable[[Tx, Action, Sequence[int], bool, int | None], tuple[ActionResult, Sequence[int]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Author:
    """Who began it, from where."""

    who: str = ""
    source: str = ""


def named(which: Sequence[int] | JobFilter) -> JobFilter:
    """What an action is about: never everything there is."""
    chosen = which if isinstance(which, JobFilter) else JobFilter(ids=list(which))
    if chosen.empty:
        raise InvalidInput("filter", "at least one condition is needed")
    submitting.check_ids(chosen.ids)
    return chosen


class Operations:
    """See the module. Safe from every thread and process."""

    def __init__(self, store: Store, clock: Callable[[], float], perform: Perform) -> None:
        self._store = store
        self._clock = clock
        self._perform = perform
        self._bell = Bell()
        self._lock = threading.Lock()
        #: Operations that a thread of this process carries on now.
        self._taken: set[int] = set()
        #: Ids an operation names, read once.
        self._named: dict[int, list[int]] = {}
        #: An operation began or moved: called after the commit, must be quick.
        self.on_moved: Callable[[int], None] = lambda _: None

    # ----------------------------------------------------------------------------------------------------------- begin

    def begin(
        self,
        action: Action,
        which: Sequence[int] | JobFilter,
        *,
        elsewhere: bool = False,
        priority: int | None = None,
        total: int | None = None,
        author: Author | None = None,
    ) -> Operation:
        """Write it down. Durable when this returns. Raises InvalidInput, Conflict."""
        with self._store.read() as conn:
            if len(operations.running(conn)) >= RUNNING_LIMIT:
                raise Conflict(f"{RUNNING_LIMIT} operations run already; wait for some of them, or stop some")
        return self._store.write(
            lambda tx: self.begin_in(
                tx, action, which, elsewhere=elsewhere, priority=priority, total=total, author=author
            )
        )

    def begin_in(
        self,
        tx: Tx,
        action: Action,
        which: Sequence[int] | JobFilter,
        *,
        elsewhere: bool = False,
        priority: int | None = None,
        total: int | None = None,
        author: Author | None = None,
    ) -> Operation:
        """As ``begin``, together with what else the transaction does."""
        author = author or Author()
        chosen = named(which)
        wanted = operations.Wanted(
            action=action,
            filter=chosen,
            elsewhere=elsewhere,
            priority=priority,
            upto=browse.last_id(tx.conn),
            total=total if chosen.ids is None else len(set(chosen.ids)),
            who=author.who,
            source=author.source,
        )
        begun = operations.begin(tx, wanted, self._clock())
        tx.after(lambda: self._moved(begun.operation_id))
        return begun

    # ------------------------------------------------------------------------------------------------------------ look

    def one(self, operation_id: int) -> Operation:
        """How far it is. Raises NotFound."""
        with self._store.read() as conn:
            found = operations.one(conn, operation_id)
        if found is None:
            raise NotFound(f"there is no operation {operation_id}; ended ones are kept {KEPT_S / 86400:.0f} days")
        return found

    def page(self, size: int = 50, after: int | None = None, state: OperationState | None = None) -> list[Operation]:
        """A part of the list, newest first."""
        submitting.check_page(size, after)
        with self._store.read() as conn:
            return operations.page(conn, size, after, state)

    def running(self) -> list[int]:
        """The numbers of those that have not ended, oldest first."""
        with self._store.read() as conn:
            return operations.running(conn)

    # ------------------------------------------------------------------------------------------------------------- act

    def stop(self, operation_id: int) -> Operation:
        """Do no further chunk; what is done stays done. An ended one stays as it is. Raises NotFound."""
        self.one(operation_id)
        self._end(operation_id, OperationState.STOPPED, "")
        return self.one(operation_id)

    def carry_on(self, begun: Operation, wait_s: float = PATIENCE_S) -> Operation:
        """Go on with it, or wait for whoever does, until it ends or the time is over; how far it is then.

        Where the store goes away meanwhile, that is told as it was last seen: it began, and will go on.
        """
        return self._until_end(begun, wait_s, self.step)

    def answer_within(self, begun: Operation, wait_s: float) -> Operation:
        """How far it is after ``wait_s`` at the latest.

        One that is surely small is carried on here. How long a chunk of another takes nobody knows before, so it is
        left to those who carry on what nobody waits for, and watched.
        """
        small = begun.total is not None and begun.total <= SMALL
        return self._until_end(begun, wait_s, self.step if small else _leave)

    def _until_end(self, begun: Operation, wait_s: float, step: Callable[[Operation], bool]) -> Operation:
        deadline = time.monotonic() + wait_s
        found = begun
        while found.state == OperationState.RUNNING and (left_s := deadline - time.monotonic()) > 0:
            seen = self._bell.count
            try:
                if not step(found):
                    self._bell.wait(seen, left_s, partial(self._moved_on, found))
                found = self.one(found.operation_id)
            except StoreUnavailable:
                time.sleep(min(left_s, STORE_AWAY_S))
        return found

    def step(self, found: Operation) -> bool:
        """Do its next chunk; False: another thread is at it. Raises StoreUnavailable."""
        with self._lock:
            if found.operation_id in self._taken:
                return False
            self._taken.add(found.operation_id)
        try:
            self._do_chunk(found)
        except StoreUnavailable:
            raise
        except Exception as error:
            self._end(found.operation_id, OperationState.FAILED, f"{type(error).__name__}: {error}"[:1000])
            raise
        finally:
            with self._lock:
                self._taken.discard(found.operation_id)
            self._moved(found.operation_id)
        return True

    def _do_chunk(self, found: Operation) -> None:
        ids, chosen = self._next_ids(found)
        last = len(ids) <= actions.PIECE
        ids = ids[: actions.PIECE]
        cursor = found.upto if last else ids[-1]

        def do(tx: Tx) -> None:
            now = self._clock()
            if not operations.move(tx, found, cursor, now):
                return
            still = browse.still(tx.conn, chosen, ids)
            result, made = self._perform(tx, found.action, still, found.elsewhere, found.priority)
            operations.count(tx, _after(found, result, made, now if last else None))

        self._store.write(do)
        if last:
            self._named.pop(found.operation_id, None)

    def _next_ids(self, found: Operation) -> tuple[list[int], JobFilter]:
        """(the jobs of the next chunk and one behind it if there is one, the filter they must still fit)."""
        with self._store.read() as conn:
            if found.named is None:
                ids = browse.ids_between(conn, found.filter, found.cursor, found.upto, actions.PIECE + 1)
                return ids, found.filter
            if found.operation_id not in self._named:
                self._named[found.operation_id] = operations.ids_of(conn, found.operation_id)
        ids = self._named[found.operation_id]
        at = bisect_right(ids, found.cursor)
        return [one for one in ids[at : at + actions.PIECE + 1] if one <= found.upto], found.filter

    def _end(self, operation_id: int, state: OperationState, why: str) -> None:
        self._store.write(lambda tx: operations.end(tx, operation_id, state, why, self._clock()))
        self._moved(operation_id)

    def _moved(self, operation_id: int) -> None:
        self._bell.ring()
        self.on_moved(operation_id)

    def _moved_on(self, found: Operation) -> bool:
        now = self.one(found.operation_id)
        return (now.cursor, now.state) != (found.cursor, found.state)

    def expire(self) -> None:
        """Forget those that ended long ago."""
        self._store.write(lambda tx: operations.expire(tx, self._clock() - KEPT_S))


def _leave(_: Operation) -> bool:
    return False


def _after(found: Operation, result: ActionResult, made: Sequence[int], ended_at: float | None) -> Operation:
    """The operation with one chunk more."""
    done = actions.add(ActionResult(found.matched, found.changed, dict(found.skipped)), result)
    ranges = [*found.made, *([(made[0], made[-1])] if made else [])]
    return replace(
        found,
        matched=done.matched,
        changed=done.changed,
        skipped=done.skipped,
        made=submitting.merged(ranges),
        state=found.state if ended_at is None else OperationState.DONE,
        ended_at=ended_at,
    )
