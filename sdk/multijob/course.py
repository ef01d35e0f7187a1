"""The calls of one map on their way. Pure, but for the calls it settles; whoever holds it keeps threads apart."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from . import payload
from .future import Awaited, Call
from .grouping import SCOUTS, Measured, Scouts, Trial, taken, together
from .outbox import Order
from .values import Result

#: While the map's arguments are still being read, calls wait so long for others: to be sent one a job, or together.
ALONG_S = 0.005
TOGETHER_ALONG_S = 0.05


class Course:
    """Takes a map's calls while its arguments are read, and says what is to be sent when.

    The first go one a job. Where those turn out to be short, the others share jobs; a job gives back what it has not
    come to after a quarter of a second or an exception, and that goes one a job.
    """

    def __init__(self, job_type: str, head: Mapping[str, Any]) -> None:
        self._job_type = job_type
        self._head = head
        self._waiting: deque[Call] = deque()
        #: Since when the first of them has waited.
        self._since_s = 0.0
        #: There will be no more.
        self._is_whole = False
        self._measured = Measured()
        self._trial = Trial()
        self._scouts = Scouts()
        self._hurries = False

    def add(self, call: Call, now_s: float) -> bool:
        """Another call; answers whether that changes when something is due."""
        self._waiting.append(call)
        if len(self._waiting) == 1:
            self._since_s = now_s
        return len(self._waiting) in (1, self._trial.calls)

    def close(self) -> None:
        """There are no more calls."""
        self._is_whole = True

    def hurry(self) -> None:
        """Nobody may be there later to send what waits for others to come back."""
        self._hurries = True

    @property
    def waiting(self) -> Iterable[Call]:
        """The calls that were not sent yet."""
        return self._waiting

    @property
    def waits(self) -> bool:
        """Whether calls are there that were not sent yet."""
        return bool(self._waiting)

    @property
    def is_over(self) -> bool:
        """Whether there are no more of them, and will be none."""
        return self._is_whole and not self._waiting

    @property
    def is_learning(self) -> bool:
        """Whether what comes back decides how the others go."""
        return self.waits and not self._room()

    def due_at_s(self) -> float | None:
        """When the next are to be sent at the latest; None where nothing waits."""
        if not self._waiting:
            return None
        if self._room():
            return 0.0 if self._is_whole else self._since_s + TOGETHER_ALONG_S
        is_enough = self._is_whole or len(self._waiting) >= self._trial.calls
        along_s = 0.0 if is_enough else self._since_s + ALONG_S
        return max(self._trial.from_s, self._scouts.late_at_s(), along_s)

    def next(self, now_s: float) -> list[Order]:
        """What is sent now: several calls a job where they are short, else one; no more than before the next look."""
        if room := self._room():
            return self._together(room, now_s)
        calls = [self._waiting.popleft() for _ in range(min(self._trial.calls, len(self._waiting)))]
        self._trial.sent(len(calls), now_s)
        return self._apart(calls)

    def take_back(self, wanted: AbstractSet[Awaited]) -> set[Awaited]:
        """Forget these of what waits; answers which those were."""
        back: set[Awaited] = {call for call in self._waiting if call in wanted}
        if back:
            self._waiting = deque(call for call in self._waiting if call not in back)
        return back

    def without(self, order: Order, back: AbstractSet[Awaited]) -> list[Order]:
        """What is left of an order of this course that was not sent."""
        self.ended(order)
        return self._apart(call for call in order.calls if call not in back)

    def settle(self, order: Order, row: Result) -> list[Order]:
        """Tell each of the job's calls what came of it; answers those it has not come to, to be sent again."""
        self.ended(order)
        told = payload.answers_of(row, len(order.calls))
        if told is None or (row.ok and not told.answers):
            for call in order.calls:
                call.finished(row)
            return []
        for call, answer in zip(order.calls, told.answers):
            call.answered(answer)
        made = len(told.answers)
        if row.ok:
            self._measured.add(told.took_s, made)
        elif made < len(order.calls):
            order.calls[made].finished(row)
            made += 1
        return self._apart(call for call in order.calls[made:] if not call.dropped())

    def ended(self, order: Order) -> None:
        """However it ended, others may go in its place."""
        if order.is_scout:
            self._scouts.back()

    def _room(self) -> int:
        """How many jobs of several calls may go now."""
        if self._measured.each_s() is None:
            return 0
        return sys.maxsize if self._hurries else self._scouts.room()

    def _together(self, room: int, now_s: float) -> list[Order]:
        each_s, scouts = self._measured.each_s() or 0.0, room == SCOUTS
        most = together(len(self._waiting), each_s, scouts=scouts)
        orders: list[Order] = []
        while self._waiting and len(orders) < room:
            orders.append(self._order(taken(self._waiting, most))._replace(is_scout=scouts))
        self._scouts.sent(len(orders), now_s)
        return orders

    def _apart(self, calls: Iterable[Call]) -> list[Order]:
        return [self._order([call]) for call in calls]

    def _order(self, calls: list[Call]) -> Order:
        item = payload.group(self._head, [call.data for call in calls])
        return Order(self._job_type, item, calls, self, calls)
