"""inbox.Inbox: which events wake the engine, and in which order they are taken."""

from orchestrator.engine.inbox import Inbox
from orchestrator.node.events import Beat, Down, Event, Loaded, Told
from tests.support.samples import a_load


def loaded(machine_id: str = "m1") -> Event:
    return Told(1, Loaded(machine_id, a_load()))


def test_a_measured_load_wakes_nobody_and_is_taken_with_the_next_tick() -> None:
    inbox = Inbox()
    first, second = loaded(), loaded("m2")
    inbox.put(first)
    inbox.put(second)
    assert inbox._calls.empty()
    inbox.put(Beat())
    assert inbox.take() == [first, second, Beat()]
    assert inbox.pop_all() == []


def test_everything_is_taken_in_the_order_it_was_put() -> None:
    inbox = Inbox()
    measured, down = loaded(), Told(1, Down("m1", "unreachable", "gone"))
    inbox.put(Beat())
    inbox.put(measured)
    inbox.put(down)
    assert inbox.take() == [Beat(), measured, down]


def test_all_there_is_can_be_taken_without_waiting() -> None:
    inbox = Inbox()
    assert inbox.pop_all() == []
    measured = loaded()
    inbox.put(Beat())
    inbox.put(measured)
    assert inbox.pop_all() == [Beat(), measured]
    assert inbox.take() == []  # called by what was taken before: a beat with nothing to take
