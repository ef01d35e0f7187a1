"""main.py is found and compiled beforehand, runs only where it is imported, and is then a module like any other."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_runner import foresight


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """First on sys.path; what is imported from it is forgotten afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_its_code_runs_when_it_is_loaded(folder: Path) -> None:
    (folder / "foreseen_a.py").write_text("import sys\nsys.foreseen_ran = True\ndef work():\n    return __name__\n")
    found = foresight.foresee(str(folder), "foreseen_a")
    assert found is not None
    assert not hasattr(sys, "foreseen_ran")
    module = found.load()
    del sys.foreseen_ran  # type: ignore[attr-defined]  # as the code above put it there
    assert module.work() == "foreseen_a"
    assert sys.modules["foreseen_a"] is module
    assert module.__file__ == str(folder / "foreseen_a.py")
    assert module.__spec__ is not None


def test_without_work_it_is_refused_as_ever(folder: Path) -> None:
    (folder / "foreseen_b.py").write_text("x = 1\n")
    found = foresight.foresee(str(folder), "foreseen_b")
    assert found is not None
    with pytest.raises(AttributeError, match="no function work"):
        found.load()


@pytest.mark.parametrize("text", ["def work(:\n", "\0", "x = 'ü'"])
def test_what_cannot_be_compiled_is_left_to_the_import(folder: Path, text: str) -> None:
    (folder / "foreseen_c.py").write_bytes(text.encode("latin-1"))
    assert foresight.foresee(str(folder), "foreseen_c") is None


def test_only_a_file_of_the_folder_will_do(folder: Path) -> None:
    assert foresight.foresee(str(folder), "json") is None
    assert foresight.foresee(str(folder), "foreseen_nowhere") is None
