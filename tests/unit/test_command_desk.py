"""The engine's side of the table of commands: taken, done, answered, also when something goes wrong."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jobs.model import Command
from orchestrator.commands import HANDS, CommandDesk, Say
from orchestrator.errors import NodeUnreachable
from tests.support import wait
from tests.support.store_kit import Room, a_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as room:
        yield room


def answered(room: Room, number: int) -> Command:
    return wait.until(lambda: (found := room.service.commands.command(number)).ended and found, what="the answer")


def test_what_is_asked_is_done_and_answered(room: Room, leak_check: None) -> None:
    def doctor(command: Command, say: Say) -> Mapping[str, Any]:
        say({"step": "one"})
        return {"about": command.machine_id}

    earlier = room.service.commands.ask("doctor", "lab-0", who="me")
    desk = CommandDesk(room.service.commands, {"doctor": doctor})
    desk.start()
    try:
        assert answered(room, earlier).answer == {"about": "lab-0"}
        found = answered(room, room.service.commands.ask("doctor", "lab-1", who="me"))
    finally:
        desk.stop()
    assert (found.state, found.answer, found.progress) == ("done", {"about": "lab-1"}, [{"step": "one"}])


@pytest.mark.parametrize(
    ("error", "said"),
    [(NodeUnreachable("lab-1: no answer"), "lab-1: no answer"), (ValueError("secret detail"), "something went wrong")],
)
def test_what_goes_wrong_is_said_without_a_story(room: Room, error: Exception, said: str) -> None:
    def broken(_command: Command, _say: Say) -> Mapping[str, Any]:
        raise error

    desk = CommandDesk(room.service.commands, {"doctor": broken})
    desk.start()
    try:
        found = answered(room, room.service.commands.ask("doctor", "lab-1", who="me"))
        unknown = answered(room, room.service.commands.ask("log", "lab-1", who="me"))
    finally:
        desk.stop()
    assert found.state == "failed"
    assert said in (found.answer or {})["error"]
    assert "secret" not in str(found.answer)
    assert (unknown.answer or {})["error"] == "this server cannot do log"


def test_only_so_many_are_done_at_once_and_all_are_done(room: Room) -> None:
    inside, most, go = 0, 0, threading.Event()
    lock = threading.Lock()

    def slow(_command: Command, _say: Say) -> Mapping[str, Any]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        go.wait(20)
        with lock:
            inside -= 1
        return {}

    desk = CommandDesk(room.service.commands, {"doctor": slow})
    desk.start()
    try:
        numbers = [room.service.commands.ask("doctor", f"lab-{n}", who="me") for n in range(HANDS + 3)]
        wait.until(lambda: inside == HANDS, what="busy hands")
        go.set()
        assert [answered(room, number).state for number in numbers] == ["done"] * len(numbers)
    finally:
        desk.stop()
    assert most == HANDS
