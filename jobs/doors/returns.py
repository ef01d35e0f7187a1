"""The door for return_main: which calls are due, and how they ended."""

import random
from collections.abc import Sequence

from jobs.doors.desk import Desk
from jobs.model import PendingReturn, ReturnAnswer, ReturnOutcome
from jobs.store import Tx, returns


class Returns(Desk):
    """Calls of return_main."""

    def take_returns(self, limit: int, *, but: Sequence[str] = ()) -> list[PendingReturn]:
        """Take return_main calls that are due; each counts as tried from now on and must be answered.

        None of the job types in ``but``: those have as many calls taken as they may.
        """
        now = self._clock()
        with self._store.read() as conn:
            if not returns.any_due(conn, now, but):
                return []
        return self._store.write(lambda tx: returns.take(tx, now, limit, but))

    def answer_returns(self, told: Sequence[ReturnAnswer]) -> int:
        """How taken calls ended: done (T12), again (T13) or -2 (T14). How many counted; repeats do not."""

        def settle(tx: Tx) -> int:
            tx.after(self._bell.ring)
            return returns.answer(tx, told, self._clock(), random.random, self.backoff)

        return self._store.write(settle) if told else 0

    def recover_returns(self) -> int:
        """At start: every call taken and never answered was interrupted; how many."""
        with self._store.read() as conn:
            taken = returns.taken(conn)
        return self.answer_returns([ReturnAnswer(*key, ReturnOutcome.INTERRUPTED) for key in taken])
