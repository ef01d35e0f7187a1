"""One transaction of the writer: the connection, numbers to give out, counters to move, bells to ring after the commit.

What many operations of a transaction have in common (sequences, counters) is read once and written once, at the end.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, select, update

from jobs.store import counters, events, schema
from jobs.store.bulk import Bulk
from jobs.store.driver import Query

_READ = Query(
    select(schema.sequences.c.next).where(schema.sequences.c.name == bindparam("which")).with_for_update(), ("which",)
)
_WRITE = Bulk(
    update(schema.sequences)
    .where(schema.sequences.c.name == bindparam("which"))
    .values({schema.sequences.c.next: bindparam("upto")}),
    ("upto", "which"),
)

T = TypeVar("T")


class Later:
    """Stands for the answer of an operation that is done at the end of the transaction, with others of its kind."""

    answer: Any = None


class Tx:
    """Handed to every operation of ``Store.write``. An operation may be run again in another transaction."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.deltas = counters.Deltas()
        #: (job type, tag, machines to avoid) → lane id, of lanes looked up or made in this transaction.
        self.new_lanes: dict[tuple[str, str, frozenset[str]], int] = {}
        self._next: dict[str, int] = {}
        self._happened: set[tuple[str, str]] = set()
        self._after: list[Callable[[], object]] = []
        self._joined: defaultdict[Callable[[Tx, list[Any]], Sequence[Any]], list[tuple[Any, Later]]] = defaultdict(list)

    def join(self, act: "Callable[[Tx, list[T]], Sequence[Any]]", item: T) -> Later:
        """Do this for the item together with all others of the transaction: ``act`` answers for each, in order."""
        later = Later()
        self._joined[act].append((item, later))
        return later

    def take_numbers(self, sequence: str, count: int) -> int:
        """The first of ``count`` numbers that nobody else gets; they are contiguous, and visible in this order."""
        first = self.next_number(sequence)
        self._next[sequence] = first + count
        return first

    def next_number(self, sequence: str) -> int:
        """The number that would be given out next. From here to the commit no other writer gets one."""
        if sequence not in self._next:
            self._next[sequence] = int(_READ.first(self.conn, sequence))
        return self._next[sequence]

    def happened(self, kind: str, subject: str = "") -> None:
        """Whoever follows the events of this kind is to hear of it once this is committed."""
        self._happened.add((kind, subject))

    def after(self, act: Callable[[], object]) -> None:
        """Call this once the transaction is committed; not at all if it is not."""
        self._after.append(act)

    def flush(self) -> None:
        """Write what was put together over the transaction; the writer calls it just before the commit."""
        for act, joined in self._joined.items():
            answers = act(self, [item for item, _ in joined])
            for (_, later), answer in zip(joined, answers, strict=True):
                later.answer = answer
        _WRITE.run(self.conn, [(upto, sequence) for sequence, upto in self._next.items()])
        if self.deltas:
            self.happened(events.JOBS)
        self.deltas.flush(self.conn)
        events.write(self.conn, self._happened)

    def committed(self) -> list[Callable[[], object]]:
        """What is to be called now."""
        return self._after
