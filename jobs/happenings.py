"""The door for who wants to know what changes: numbered events from one table, whichever process wrote them.

Nobody is pushed to: a follower remembers a number and asks what came after it. ``wait`` returns soon after something
came: at once where it happened in this process and its bell rang, else at the next look, which all followers share.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from jobs.bell import LOOK_S, Bell
from jobs.store import Store, events, home
from jobs.views import Totals

KINDS: Final = events.KINDS
JOBS: Final = events.JOBS
INVENTORY: Final = events.INVENTORY
#: Who is further behind than this may have missed something.
KEPT: Final = events.KEPT


class News(NamedTuple):
    """What changed after a number, up to a newer one: kind → subjects; the empty subject means the kind as a whole."""

    number: int
    kinds: Mapping[str, Sequence[str]]


class Happenings:
    """Safe to use from any thread; has no thread of its own."""

    def __init__(self, store: Store, bell: Bell) -> None:
        self._store = store
        self._bell = bell
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._seen = 0
        self._totals: tuple[int, Totals] | None = None

    def newest(self) -> int:
        """The latest number there is now."""
        with self._store.read() as conn:
            return events.newest(conn)

    def since(self, number: int) -> News:
        """What changed after this number."""
        with self._store.read() as conn:
            changes = events.since(conn, number)
        kinds: dict[str, list[str]] = {}
        for change in changes:
            kinds.setdefault(change.kind, []).append(change.subject)
        return News(max((change.number for change in changes), default=number), kinds)

    def wait(self, number: int, timeout_s: float) -> None:
        """Until something came after this number, or the time is up."""
        seen = self._bell.count
        if self.newest() <= number:
            self._bell.wait(seen, timeout_s, lambda: self._look() > number)

    def _look(self) -> int:
        """The latest number, at most one look old: a hundred followers cost what one does."""
        with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_S / 2:
                self._seen = self.newest()
                self._looked_at = time.monotonic()
            return self._seen

    def note(self, kind: str, subject: str = "") -> None:
        """Something changed that is not in the store, such as the inventory; nobody has to wait for it."""
        self._store.submit_write(lambda tx: tx.happened(kind, subject))

    def totals(self) -> Totals:
        """All jobs by status; counted once for all who ask between two changes."""
        number = self.newest()
        with self._lock:
            if self._totals is None or self._totals[0] != number:
                with self._store.read() as conn:
                    self._totals = (number, home.totals(conn))
            return self._totals[1]

    def expire(self) -> None:
        """Forget what nobody can still be waiting for."""
        self._store.write(lambda tx: events.expire(tx.conn))
