"""inbox.Inbox: which events wake the engine, and in which order they are taken."""

from orchestrator.events import Beat, Down, Event, Loaded, Told
from orchestrator.inbox import Inbox
from tests.support.samples import a_load


def loaded(machine_id: str = "m1") -> Event:
    return Told(1, Loaded(machine_id, a_load()))


def test_a_measured_load_wakes_nobody_and_is_taken_with_the_next_tick() -> None:
    inbox = Inbox()
    first, second = loaded(), loaded("m2")
    inbox.put(first)
    inbox.put(second)
    assert inbox._pressing.empty()
    inbox.put(Beat())
    assert inbox.take() == [first, second, Beat()]
    assert inbox.rest() == []


def test_a_load_is_taken_before_its_session_is_known_to_be_down() -> None:
    inbox = Inbox()
    measured, down = loaded(), Told(1, Down("m1", "unreachable", "gone"))
    inbox.put(Beat())
    inbox.put(measured)
    inbox.put(down)
    assert inbox.take() == [measured, Beat(), down]


def test_all_there_is_can_be_taken_without_waiting() -> None:
    inbox = Inbox()
    assert inbox.rest() == []
    measured = loaded()
    inbox.put(Beat())
    inbox.put(measured)
    assert inbox.rest() == [measured, Beat()]
