"""roster.Member: gates, what is held, and what a runner's silence about an attempt means."""

from dataclasses import replace

import pytest

from inventory.machine import Machine
from jobs.model import MachineState
from orchestrator.engine import looks
from orchestrator.engine.roster import Held, Member
from orchestrator.node.events import Down
from tests.support.samples import a_contact, a_load

HELD = Held("crawl", 0.5)


def ready(**changes: object) -> Member:
    member = Member(replace(Machine(machine_id="lab"), **changes))  # type: ignore[arg-type]
    member.connected(a_contact(), now=1000.0)
    return member


def test_a_connected_machine_takes_work() -> None:
    assert ready().gate == ""
    assert looks.view(ready(), 1000.0).state is MachineState.READY


@pytest.mark.parametrize(
    ("changes", "load", "words"),
    [
        ({"paused": True}, {}, "paused"),
        ({"closed": True}, {}, "closed"),
        ({"max_load": 1.0}, {"load1": 9.0}, "max_load"),
        ({"min_free_memory_bytes": 2**30}, {"memory_free_mb": 1000}, "min_free_memory"),
        ({"min_free_disk_bytes": 2**30}, {"disk_free_mb": 1000}, "min_free_disk"),
        ({}, {"pause_file": True}, "Pause file"),
        ({}, {"end_file": True}, "End file"),
    ],
)
def test_gates_say_why(changes: dict[str, object], load: dict[str, object], words: str) -> None:
    member = ready(**changes)
    member.loaded(a_load(**load), now=1001.0)
    assert words in member.gate


def test_a_machine_that_is_down_takes_nothing_and_says_why() -> None:
    member = ready()
    member.down(Down("lab", "refused", "no key was accepted"), now_s=5.0)
    assert member.gate == "no key was accepted"
    assert member.silent_since_s == 5.0
    member.down(Down("lab", "unreachable", "still nothing"), now_s=9.0)
    assert member.silent_since_s == 5.0
    member.connected(a_contact(), now=1000.0)
    assert member.silent_since_s is None


def test_the_key_of_an_untrusted_machine_is_shown_until_it_is_trusted() -> None:
    member = ready()
    member.down(Down("lab", "untrusted", "the host key is unknown", "SHA256:abc"), now_s=5.0)
    assert looks.view(member, 1000.0).fingerprint == "SHA256:abc"
    member.connected(a_contact(), now=1000.0)
    assert looks.view(member, 1000.0).fingerprint == ""


def test_what_it_holds_adds_up() -> None:
    member = ready()
    member.hold((1, 1), HELD)
    member.hold((2, 1), HELD)
    member.started((1, 1))
    view = looks.view(member, 1000.0)
    assert (view.running, view.assigned, member.held_s) == (1, 1, 1.0)
    member.let_go([(1, 1), (1, 1), (7, 7)])
    assert (len(member.held), member.held_s, member.running) == (1, 0.5, set())


def test_in_doubt_is_what_was_sent_and_the_runner_does_not_know() -> None:
    member = ready()
    for job in (1, 2, 3):
        member.hold((job, 1), HELD)
    assert member.in_doubt(known_to_runner={(1, 1)}, unsent={(3, 1)}) == [(2, 1)]


def test_closing_drains_first() -> None:
    member = ready(closed=True)
    member.hold((1, 1), HELD)
    assert looks.view(member, 1000.0).state is MachineState.DRAINING
    member.let_go([(1, 1)])
    assert looks.view(member, 1000.0).state is MachineState.CLOSED
