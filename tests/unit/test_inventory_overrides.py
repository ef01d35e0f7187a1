"""Overrides hold until the file changes its mind."""

from dataclasses import replace
from typing import Any

import pytest

from inventory import overrides
from inventory.fields import FieldInvalid
from inventory.machine import Machine

MACHINE = Machine(machine_id="a", host="h", name="A", tags=frozenset({"x", "y"}), limit_process=4)


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("name", "B", "name", "B"),
        ("tag", ["数据"], "tags", frozenset({"数据"})),
        ("tag", "p,q", "tags", frozenset({"p", "q"})),
        ("limit_process", 8, "limit_process", 8),
        ("paused", True, "paused", True),
        ("closed", True, "closed", True),
    ],
)
def test_each_key_can_be_overridden(key: str, value: Any, field: str, expected: Any) -> None:
    changed = overrides.apply(MACHINE, [overrides.make(MACHINE, key, value)])
    assert getattr(changed, field) == expected
    assert replace(changed, **{field: getattr(MACHINE, field)}) == MACHINE


def test_it_holds_while_the_file_says_the_same_of_that_key() -> None:
    override = overrides.make(MACHINE, "limit_process", 8)
    edited = replace(MACHINE, name="other", tags=frozenset({"y", "x", "z"}))
    assert overrides.apply(edited, [override]).limit_process == 8


def test_it_ends_when_the_file_says_otherwise() -> None:
    override = overrides.make(MACHINE, "limit_process", 8)
    edited = replace(MACHINE, limit_process=5)
    assert overrides.apply(edited, [override]) is edited
    assert not overrides.holds(edited, override)


def test_it_is_one_machines() -> None:
    assert not overrides.holds(replace(MACHINE, machine_id="b"), overrides.make(MACHINE, "paused", True))


@pytest.mark.parametrize(("key", "value"), [("host", "x"), ("limit_process", 0), ("paused", "yes"), ("tag", ["a,b"])])
def test_bad_ones_are_refused(key: str, value: Any) -> None:
    with pytest.raises(FieldInvalid):
        overrides.make(MACHINE, key, value)
