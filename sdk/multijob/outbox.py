"""What is to be sent: jobs in their order, and maps that still find out how many of their calls one job should make.

Pure, but for the futures and calls it hands on. Whoever holds it keeps threads apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, NamedTuple

from . import payload
from .future import Awaited, Call
from .values import Input, Result

if TYPE_CHECKING:
    from .course import Course

#: What one request carries at most, the first job in it excepted.
SEND_JOBS = 1000
SEND_BYTES = 3 * 1024 * 1024
_SENT = Input((), {})


class Order(NamedTuple):
    """A job, and who waits for it. ``calls``: the same, where it makes calls for a map that can go otherwise too."""

    job_type: str
    item: Input
    futures: Sequence[Awaited]
    course: Course | None = None
    calls: Sequence[Call] = ()
    #: Others of its map go when enough such are back.
    is_scout: bool = False

    def sent(self, job_id: int) -> Order:
        """What has to be kept of it: inputs may be large, and only calls that share a job can come back unmade."""
        for future in self.futures:
            future.job_id = job_id
        if len(self.calls) == 1:
            self.calls[0].data = b""
        return self._replace(item=_SENT)

    def without(self, back: AbstractSet[Awaited]) -> list[Order]:
        """What is left of it when these do not wait any more."""
        if back.isdisjoint(self.futures):
            return [self]
        return self.course.without(self, back) if self.course else []

    def failed_with(self, error: BaseException) -> None:
        """It could not be sent, or cannot be followed."""
        self._ended(lambda future: future.failed_with(error))

    def cancelled_by_us(self) -> None:
        """It will not run."""
        self._ended(lambda future: future.cancelled_by_us())

    def _ended(self, tell: Callable[[Awaited], None]) -> None:
        if self.course is not None:
            self.course.ended(self)
        for future in self.futures:
            tell(future)

    def settle(self, row: Result) -> list[Order]:
        """Tell who waits what became of it. Answers what is to be sent again: calls the job has not come to."""
        if self.course is None:
            self.futures[0].finished(row)
            return []
        return self.course.settle(self, row)


class Outbox:
    """What waits to be sent."""

    def __init__(self) -> None:
        self._orders: deque[Order] = deque()
        self._courses: list[Course] = []

    def __bool__(self) -> bool:
        return bool(self._orders) or any(course.waits for course in self._courses)

    @property
    def is_learning(self) -> bool:
        """Whether what comes back decides how the rest goes."""
        return any(course.is_learning for course in self._courses)

    def hurry(self) -> None:
        """Hold nothing back for what is still out."""
        for course in self._courses:
            course.hurry()

    def put(self, orders: Iterable[Order]) -> None:
        """Behind what is there."""
        self._orders.extend(orders)

    def put_course(self, course: Course) -> None:
        """A map's calls, each when it is due; more of them may come."""
        self._courses.append(course)

    def awaited(self) -> list[Awaited]:
        """Who waits for what is here."""
        ordered = [future for order in self._orders for future in order.futures]
        return ordered + [call for course in self._courses for call in course.waiting]

    def is_due(self, now_s: float) -> bool:
        """Whether something is to be sent now."""
        for course in list(self._courses):
            due_at_s = course.due_at_s()
            if due_at_s is not None and due_at_s <= now_s:
                self._orders.extend(course.next(now_s))
            if course.is_over:
                self._courses.remove(course)
        return bool(self._orders)

    def due_at_s(self) -> float | None:
        """When something is to be sent though nothing happens."""
        return min((at_s for at_s in (course.due_at_s() for course in self._courses) if at_s is not None), default=None)

    def take(self) -> list[Order]:
        """What fits one request: jobs of one type."""
        taken: list[Order] = []
        size = 0
        while self._orders and len(taken) < SEND_JOBS:
            first = self._orders[0]
            size += payload.size_of(first.item)
            if taken and (size > SEND_BYTES or first.job_type != taken[0].job_type):
                break
            taken.append(self._orders.popleft())
        return taken

    def take_back(self, wanted: AbstractSet[Awaited]) -> set[Awaited]:
        """Forget what these wait for; answers which of them did."""
        back = {future for order in self._orders for future in order.futures if future in wanted}
        if back:
            self._orders = deque(kept for order in self._orders for kept in order.without(back))
        return back.union(*(course.take_back(wanted) for course in self._courses))
