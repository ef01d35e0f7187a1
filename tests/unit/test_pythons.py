"""jobs.pythons and what follows from it and from benches for a waiting job. Pure."""

from typing import Any

import pytest

from jobs.model import MachineState, MachineView, WaitCode
from jobs.pythons import suits
from jobs.waiting import Wish, because

NOW = 1000.0


@pytest.mark.parametrize(
    ("wanted", "yes", "no"),
    [
        ("", ["2.7.18", "3.6.8", ""], []),
        (">=3.9", ["3.9.0", "3.10.4", "3.13.0rc1"], ["3.8.18", "3.6.8", "2.7.18", "", "unknown"]),
        (">3.9", ["3.10.0"], ["3.9.0", "3.9.18"]),
        ("==3.11", ["3.11.0", "3.11.9"], ["3.12.0", "3.1.1"]),
        ("==3.11.2", ["3.11.2"], ["3.11.3"]),
        ("!=3.9", ["3.8.1", "3.10.1"], ["3.9.5"]),
        ("<=3.9", ["3.9.18", "3.6.8"], ["3.10.0"]),
        ("~=3.8", ["3.8.0", "3.12.1"], ["3.7.9"]),
        ("~=3.8.2", ["3.8.2", "3.8.10"], ["3.8.1", "3.9.0"]),
        (">=3.8, <3.12", ["3.8.0", "3.11.9"], ["3.7.9", "3.12.0"]),
        ("==3", ["3.6.8", "3.13.1"], ["2.7.18"]),
    ],
)
def test_versions_in_a_range(wanted: str, yes: list[str], no: list[str]) -> None:
    assert [version for version in yes if not suits(wanted, version)] == []
    assert [version for version in no if suits(wanted, version)] == []


def a_machine(name: str = "m1", **more: Any) -> MachineView:
    return MachineView(machine_id=name, **{"state": MachineState.READY, "python": "3.11.2", **more})


def code(*machines: MachineView, python: str = "") -> WaitCode:
    return because(Wish("crawl", "", None), machines, NOW, known=True, python=python).code


def test_no_machine_has_the_python_that_is_asked_for() -> None:
    assert code(a_machine(), python=">=3.12") == WaitCode.NO_PYTHON
    assert code(a_machine(), a_machine("m2", python="3.12.0"), python=">=3.12") == WaitCode.NEXT
    assert code(a_machine(python=""), python=">=3.12") == WaitCode.NEXT


def test_all_machines_are_benched_for_it() -> None:
    benched = a_machine(benched={"crawl": "the last 5 failed"})
    whole = a_machine("m2", benched={"": "everything dies"})
    assert code(benched, whole) == WaitCode.ALL_BENCHED
    assert code(benched, a_machine("m2", benched={"scan": "x"})) == WaitCode.NEXT
    words = because(Wish("crawl", "", None), [benched, whole], NOW, known=True).text
    assert "m1: the last 5 failed" in words
