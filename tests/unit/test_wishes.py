"""wishes.Wishes: an override holds over edits of other keys, and ends with an edit of its own."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.file import Inventory
from inventory.machine import Machine
from jobs.model import MachineOverride, MachineView
from orchestrator.engine.wishes import Wishes
from tests.support.store_kit import Room, a_room

LAB = Machine(machine_id="lab", name="Lab", limit_process=4)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as room:
        room.service.put_machines([MachineView(machine_id="lab")]).result()
        yield room


def file(**changes: object) -> Inventory:
    return Inventory({"lab": replace(LAB, **changes)})  # type: ignore[arg-type]


def override(room: Room, key: str, value: object) -> None:
    room.service.override([MachineOverride(machine_id="lab", key=key, value=json.dumps(value))])


def counting(wishes: Wishes) -> Machine:
    told: list[Inventory] = []
    wishes.tell(told.append)
    return told[0].machines["lab"]


def edit(wishes: Wishes, inventory: Inventory) -> None:
    wishes.file_changed(inventory, lambda _: None)


def test_without_overrides_the_file_counts(room: Room) -> None:
    assert counting(Wishes(room.service, file())) == LAB


def test_an_override_counts_over_an_edit_of_another_key(room: Room) -> None:
    wishes = Wishes(room.service, file())
    override(room, "limit_process", 9)
    assert counting(wishes).limit_process == 9
    edit(wishes, file(name="Lab, left"))
    assert (counting(wishes).limit_process, counting(wishes).name) == (9, "Lab, left")


def test_an_edit_of_its_own_key_ends_it(room: Room) -> None:
    wishes = Wishes(room.service, file())
    override(room, "limit_process", 9)
    assert counting(wishes).limit_process == 9
    edit(wishes, file(limit_process=2))
    assert counting(wishes).limit_process == 2
    edit(wishes, file(limit_process=4))
    assert counting(wishes).limit_process == 4
    assert room.service.overrides() == []


def test_it_outlives_a_restart_and_leaves_with_its_machine(room: Room) -> None:
    override(room, "paused", True)
    assert counting(Wishes(room.service, file())).paused
    again = Wishes(room.service, file())
    assert counting(again).paused
    edit(again, Inventory({}))
    assert room.service.overrides() == []
