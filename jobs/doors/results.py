"""The door for results as they finish: a cursor stream, read at once or waited for."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from jobs import submitting
from jobs.doors.desk import Desk
from jobs.model import ResultPage
from jobs.store import results

#: Who waits for more results than a few gets them in pages: no sooner after the question than so long for each job that
#: is unfinished, and at most so long. Where results are rarer than that, each is given at once.
FEW: Final = 16
GATHER_EACH_S: Final = 0.0001
GATHER_LONGEST_S: Final = 0.05


class Results(Desk):
    """The stream of finished jobs."""

    def results(
        self,
        cursor: int = 0,
        *,
        batch: str | None = None,
        ranges: Sequence[Sequence[int]] | None = None,
        limit: int = 1000,
    ) -> ResultPage:
        """Jobs that finished after the cursor, in the order they finished; by batch, by ranges of ids, or all."""
        wanted = submitting.check_wanted(cursor, batch, ranges, limit)
        with self._store.read() as conn:
            return results.page(conn, wanted, thorough=True)

    def wait_results(
        self,
        cursor: int = 0,
        *,
        batch: str | None = None,
        ranges: Sequence[Sequence[int]] | None = None,
        limit: int = 1000,
        timeout_s: float = 25.0,
    ) -> ResultPage:
        """As ``results``, but an empty page is given only when nothing is unfinished or the time is over."""
        wanted = submitting.check_wanted(cursor, batch, ranges, limit)
        asked_s = time.monotonic()
        deadline = asked_s + timeout_s
        while True:
            seen = self._bell.count
            left_s = deadline - time.monotonic()
            with self._store.read() as conn:
                page = results.page(conn, wanted, thorough=left_s <= 0)
            if page.rows or page.pending == 0 or left_s <= 0:
                return page
            wanted = wanted._replace(cursor=page.cursor)
            self._bell.wait(seen, left_s, self._done_since(page.cursor))
            time.sleep(max(0.0, asked_s + gather_s(page.pending) - time.monotonic()))

    def _done_since(self, cursor: int) -> Callable[[], bool]:
        def done() -> bool:
            with self._store.read() as conn:
                return results.last_done(conn) > cursor

        return done


def gather_s(pending: int | None) -> float:
    """How long after the question results are gathered for one who waits for so many (None: more than were counted)."""
    if pending is None:
        return GATHER_LONGEST_S
    return 0.0 if pending <= FEW else min(pending * GATHER_EACH_S, GATHER_LONGEST_S)
