"""What is asked of the engine: from asked to answered, and what ends it when nobody answers."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import commands
from jobs.errors import InvalidInput, NotFound, TooMuch
from jobs.model import CommandState
from tests.support.store_kit import Room, a_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as room:
        yield room


def test_a_command_goes_from_asked_to_answered(room: Room) -> None:
    door = room.service.commands
    number = door.ask("doctor", "lab-1", {"deep": True}, who="me")
    asked = door.command(number)
    assert (asked.state, asked.machine_id, asked.args, asked.asked_by) == ("waiting", "lab-1", {"deep": True}, "me")
    [taken] = door.take(5)
    assert taken.state is CommandState.RUNNING
    assert door.take(5) == []
    door.tell(number, {"step": "resolve"})
    door.tell(number, {"step": "tcp"})
    door.end(number, {"ok": True})
    answered = door.command(number)
    assert (answered.state, answered.answer) == ("done", {"ok": True})
    assert [line["step"] for line in answered.progress] == ["resolve", "tcp"]


def test_the_last_word_stands(room: Room) -> None:
    door = room.service.commands
    number = door.ask("doctor", "lab-1", who="me")
    door.take(1)
    door.end(number, {"error": "no"}, failed=True)
    door.end(number, {"ok": True})
    door.tell(number, "too late")
    assert (door.command(number).state, door.command(number).answer) == ("failed", {"error": "no"})
    assert door.command(number).progress == []


def test_what_the_engine_before_had_begun_ends_at_the_next_start(room: Room) -> None:
    door = room.service.commands
    begun = door.ask("doctor", "lab-1", who="me")
    door.take(1)
    old = door.ask("doctor", "lab-2", who="me")
    room.clock.forward(commands.STALE_S + 1)
    new = door.ask("doctor", "lab-3", who="me")
    assert door.end_stale() == 2
    assert door.command(begun).answer == {"error": commands.RESTARTED}
    assert door.command(old).answer == {"error": commands.NOT_TAKEN}
    assert [command.command_id for command in door.take(5)] == [new]


def test_unknown_kinds_and_long_arguments_are_refused(room: Room) -> None:
    with pytest.raises(InvalidInput, match="kind"):
        room.service.commands.ask("format", "lab-1", who="me")
    with pytest.raises(InvalidInput, match="args"):
        room.service.commands.ask("doctor", "lab-1", {"x": "y" * commands.ARGS_LIMIT_BYTES}, who="me")
    with pytest.raises(NotFound):
        room.service.commands.command(1)


def test_only_so_many_wait_at_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "OPEN_LIMIT", 3)
    for _ in range(3):
        room.service.commands.ask("doctor", "lab-1", who="me")
    with pytest.raises(TooMuch):
        room.service.commands.ask("doctor", "lab-1", who="me")


def test_progress_and_answers_are_bounded(room: Room) -> None:
    door = room.service.commands
    number = door.ask("log", "lab-1", who="me")
    door.take(1)
    door.tell(number, "x" * commands.LINE_LIMIT_BYTES)
    for line in range(commands.LINES_LIMIT + 5):
        door.tell(number, line)
    assert door.command(number).progress == list(range(commands.LINES_LIMIT))
    door.end(number, {"text": "x" * commands.ANSWER_LIMIT_BYTES})
    assert door.command(number).state == "failed"


def test_waiting_ends_with_the_next_line(room: Room) -> None:
    door = room.service.commands
    number = door.ask("doctor", "lab-1", who="me")
    door.take(1)
    teller = threading.Timer(0.05, lambda: door.tell(number, "a line"))
    teller.start()
    assert door.wait(number, seen=0, timeout_s=20).progress == ["a line"]
    teller.join()
    assert door.wait(number, seen=1, timeout_s=0.01).state is CommandState.RUNNING
    door.end(number, {})
    assert door.wait(number, seen=1, timeout_s=20).state is CommandState.DONE


def test_the_bell_rings_when_something_is_asked(room: Room) -> None:
    rung: list[bool] = []
    room.service.commands.on_asked = lambda: rung.append(True)
    room.service.commands.ask("doctor", "lab-1", who="me")
    assert rung == [True]


def test_old_answers_are_forgotten(room: Room) -> None:
    door = room.service.commands
    number = door.ask("doctor", "lab-1", who="me")
    door.end(number, {})
    assert [command.command_id for command in door.newest(10, machine_id="lab-1")] == [number]
    assert door.newest(10, kind="purge") == []
    room.clock.forward(commands.KEPT_S + 1)
    room.service.housekeeping()
    with pytest.raises(NotFound):
        door.command(number)
