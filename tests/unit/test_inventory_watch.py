"""Changes of inventory.yml: told once, whole, and only when good."""

from pathlib import Path

import pytest

from inventory import watch
from inventory.file import Inventory, InventoryInvalid
from inventory.watch import Watch
from tests.support import wait


class Told:
    def __init__(self, path: Path) -> None:
        self.good: list[list[str]] = []
        self.bad: list[str] = []
        self.watch = Watch(path, self._good, self._bad)

    def _good(self, inventory: Inventory) -> None:
        self.good.append(sorted(inventory.machines))

    def _bad(self, error: InventoryInvalid) -> None:
        self.bad.append(str(error))

    def look(self, times: int = 2) -> None:
        for _ in range(times):
            self.watch.look()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "inventory.yml"
    made.write_text("machines:\n  a: {host: h}\n")
    return made


def test_the_first_look_answers(path: Path) -> None:
    told = Told(path)
    first = told.watch.first()
    assert first is not None
    assert list(first.machines) == ["a"]
    told.look()
    assert told.good == []


def test_a_change_is_told_once(path: Path) -> None:
    told = Told(path)
    told.watch.first()
    path.write_text("machines:\n  b: {host: h}\n")
    told.look(5)
    assert told.good == [["b"]]


def test_a_file_half_written_is_not_taken(path: Path) -> None:
    told = Told(path)
    told.watch.first()
    path.write_text("")
    told.look(1)
    path.write_text("machines:\n  a: {host: h}\n  b: {host: h}\n")
    told.look(2)
    assert told.good == [["a", "b"]]


def test_a_bad_edit_is_told_once_and_the_way_back_too(path: Path) -> None:
    told = Told(path)
    told.watch.first()
    path.write_text("machines: [\n")
    told.look(4)
    path.write_text("machines:\n  a: {host: h}\n")
    told.look(4)
    assert len(told.bad) == 1
    assert told.good == [["a"]]


def test_a_bad_start_is_told(path: Path) -> None:
    path.write_text("machines: [\n")
    told = Told(path)
    assert told.watch.first() is None
    assert len(told.bad) == 1


def test_a_folder_in_its_place_is_told_once(path: Path) -> None:
    path.unlink()
    path.mkdir()
    told = Told(path)
    assert told.watch.first() is None
    told.look(4)
    assert len(told.bad) == 1


def test_the_thread_looks_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PERIOD_S", 0.01)
    told = Told(path)
    told.watch.first()
    told.watch.start()
    path.write_text("machines:\n  b: {host: h}\n")
    wait.until(lambda: told.good, what="the change")
    told.watch.stop()
    assert told.good == [["b"]]
