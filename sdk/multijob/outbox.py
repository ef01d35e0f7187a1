"""What is to be sent: jobs in their order, and maps that still find out how many of their calls one job should make.

Pure, but for the futures it hands on. Whoever holds it keeps threads apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from statistics import median
from typing import Any, NamedTuple

from . import payload
from .future import FunctionFuture
from .values import Input, Result

#: What one request carries at most, the first job in it excepted.
SEND_JOBS = 1000
SEND_BYTES = 3 * 1024 * 1024
#: So many calls of a map go one a job before they are known to be short, and twice as many each time that so much has
#: passed: more than machines take meanwhile.
FIRST_CALLS = 200
HOLD_S = 0.5
#: So many jobs have to have told how long their calls took, and of no more than the last of those the middle counts.
MEASURED_JOBS = 8
REMEMBERED_JOBS = 64
#: Calls that take less travel together, as many as take about so long, as many as this, and no more bytes.
SHORT_S = 0.01
TOGETHER_S = 0.02
TOGETHER_CALLS = 256
TOGETHER_BYTES = 128 * 1024
#: About how many that is of calls of a millisecond.
SHORT_CALLS = 16

_SENT = Input((), {})


def fewest_jobs(calls: int) -> int:
    """How many jobs a map of so many calls may well come down to; by that its function travels apart or not."""
    return calls if calls <= FIRST_CALLS else max(FIRST_CALLS, calls // SHORT_CALLS)


class Call(NamedTuple):
    """A call of a map: who waits for it, and its arguments, pickled."""

    future: FunctionFuture
    data: bytes


class Order(NamedTuple):
    """A job, and who waits for it. ``calls``: those that one job makes for a map; empty for any other job."""

    job_type: str
    item: Input
    futures: Sequence[FunctionFuture]
    course: Course | None = None
    calls: Sequence[Call] = ()

    def sent(self) -> Order:
        """What has to be kept of it: inputs may be large, and only calls that share a job can come back unmade."""
        return self._replace(item=_SENT, calls=self.calls if len(self.calls) > 1 else ())

    def without(self, back: AbstractSet[FunctionFuture]) -> list[Order]:
        """What is left of it when these do not wait any more."""
        if back.isdisjoint(self.futures):
            return [self]
        return self.course.without(self, back) if self.course else []

    def settle(self, row: Result) -> list[Order]:
        """Tell who waits what became of it. Answers what is to be sent again: calls the job has not come to."""
        if self.course is None:
            self.futures[0].finished(row)
            return []
        return self.course.settle(self, row)


class Course:
    """The calls of one map on their way.

    The first go one a job. Where those turn out to be short, the others share jobs; a job gives back what it has not
    come to after a quarter of a second or an exception, and that goes one a job.
    """

    def __init__(self, job_type: str, head: Mapping[str, Any], calls: Iterable[Call]) -> None:
        self._job_type = job_type
        self._head = head
        self._waiting = deque(calls)
        self._next_at_s = 0.0
        self._next_calls = FIRST_CALLS
        #: How long a call took, of the jobs that told it last.
        self._took_s: deque[float] = deque(maxlen=REMEMBERED_JOBS)

    def due_at_s(self) -> float | None:
        """When the next are to be sent at the latest; None where nothing waits."""
        if not self._waiting:
            return None
        return self._next_at_s if self._together() == 1 else 0.0

    def next(self, now_s: float) -> list[Order]:
        """What is sent now: all of it where calls are short, else one a job what is to be sent before the next look."""
        most = self._together()
        if most > 1:
            waiting, self._waiting = self._waiting, deque()
            return [self._order(group) for group in _groups(waiting, most)]
        calls = [self._waiting.popleft() for _ in range(min(self._next_calls, len(self._waiting)))]
        self._next_calls *= 2
        self._next_at_s = now_s + HOLD_S
        return self._apart(calls)

    def take_back(self, wanted: AbstractSet[FunctionFuture]) -> set[FunctionFuture]:
        """Forget these of what waits; answers which those were."""
        back = {call.future for call in self._waiting if call.future in wanted}
        if back:
            self._waiting = deque(call for call in self._waiting if call.future not in back)
        return back

    def without(self, order: Order, back: AbstractSet[FunctionFuture]) -> list[Order]:
        """What is left of an order of this course."""
        return self._apart(call for call in order.calls if call.future not in back)

    def settle(self, order: Order, row: Result) -> list[Order]:
        """Tell each of the job's calls what came of it; answers those it has not come to, to be sent again."""
        told = payload.answers_of(row, len(order.futures))
        if told is None or (row.ok and not told.answers):
            for future in order.futures:
                future.finished(row)
            return []
        for future, answer in zip(order.futures, told.answers):
            future.answered(answer)
        made = len(told.answers)
        if row.ok:
            self._took_s.append(told.took_s / made)
        elif made < len(order.futures):
            order.futures[made].finished(row)
            made += 1
        return self._apart(call for call in order.calls[made:] if not call.future.dropped())

    def _together(self) -> int:
        """How many calls one job should make, for all that is known."""
        each_s = median(self._took_s) if len(self._took_s) >= MEASURED_JOBS else SHORT_S
        return 1 if each_s >= SHORT_S else min(TOGETHER_CALLS, int(TOGETHER_S / max(each_s, 1e-6)))

    def _apart(self, calls: Iterable[Call]) -> list[Order]:
        return [self._order([call]) for call in calls]

    def _order(self, calls: Sequence[Call]) -> Order:
        item = payload.group(self._head, [call.data for call in calls])
        return Order(self._job_type, item, [call.future for call in calls], self, calls)


def _groups(calls: Iterable[Call], most: int) -> Iterator[list[Call]]:
    """The calls in lists of so many, shorter where their arguments are long."""
    group: list[Call] = []
    size = 0
    for call in calls:
        if group and (len(group) == most or size + len(call.data) > TOGETHER_BYTES):
            yield group
            group, size = [], 0
        group.append(call)
        size += len(call.data)
    if group:
        yield group


class Outbox:
    """What waits to be sent."""

    def __init__(self) -> None:
        self._orders: deque[Order] = deque()
        self._courses: list[Course] = []

    def __bool__(self) -> bool:
        return bool(self._orders) or self.due_at_s() is not None

    def put(self, orders: Iterable[Order]) -> None:
        """Behind what is there."""
        self._orders.extend(orders)

    def put_course(self, course: Course) -> None:
        """A map's calls, each when it is due."""
        self._courses.append(course)

    def is_due(self, now_s: float) -> bool:
        """Whether something is to be sent now."""
        for course in list(self._courses):
            due_at_s = course.due_at_s()
            if due_at_s is None:
                self._courses.remove(course)
            elif due_at_s <= now_s:
                self._orders.extend(course.next(now_s))
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

    def take_back(self, wanted: AbstractSet[FunctionFuture]) -> set[FunctionFuture]:
        """Forget what these wait for; answers which of them did."""
        back = {future for order in self._orders for future in order.futures if future in wanted}
        if back:
            self._orders = deque(kept for order in self._orders for kept in order.without(back))
        return back.union(*(course.take_back(wanted) for course in self._courses))
