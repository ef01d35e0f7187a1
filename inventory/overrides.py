"""What people set by call or page on top of inventory.yml. Pure: a Machine and overrides in, a Machine out.

An override holds until the file's own value for that key changes: whoever edits the file has the last word.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from inventory import fields
from inventory.machine import Machine

#: Keys as in the file that can be overridden.
KEYS: Final = ("name", "tag", "limit_process", "paused", "closed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """One key of one machine. Values are JSON text; ``file_value`` is what the file said when this was set."""

    machine_id: str
    key: str
    value: str
    file_value: str


def make(machine: Machine, key: str, value: Any) -> Override:
    """An override of what the file says now. Raises FieldInvalid for a bad key or value."""
    if key not in KEYS:
        raise fields.FieldInvalid(f"{key!r} cannot be changed here", "one of " + ", ".join(KEYS))
    parsed = fields.parse(key, value)
    return Override(machine_id=machine.machine_id, key=key, value=_text(parsed), file_value=_text(_said(machine, key)))


def apply(machine: Machine, overrides: Iterable[Override]) -> Machine:
    """The machine as it counts now. ``machine`` is what the file says."""
    changes = {
        fields.KEYS[override.key][0]: fields.parse(override.key, json.loads(override.value))
        for override in overrides
        if holds(machine, override)
    }
    return replace(machine, **changes) if changes else machine


def holds(machine: Machine, override: Override) -> bool:
    """Whether the file still says what it said when this was set; one that does not hold can be forgotten."""
    return (
        override.machine_id == machine.machine_id
        and override.key in KEYS
        and override.file_value == _text(_said(machine, override.key))
    )


def _said(machine: Machine, key: str) -> Any:
    return getattr(machine, fields.KEYS[key][0])


def _text(value: Any) -> str:
    plain = sorted(value) if isinstance(value, frozenset) else value
    return json.dumps(plain, ensure_ascii=False)
