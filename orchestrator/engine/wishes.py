"""What counts for each machine: what inventory.yml says, and on top of it what people set by call or page.

The file stays the truth about which machines exist; whoever edits a key of it has the last word on that key
(inventory.overrides). Reads and tidies the overrides in the store; tells the outcome as a whole inventory.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import replace

from inventory import overrides
from inventory.fields import FieldInvalid
from inventory.file import Inventory
from inventory.machine import Machine
from inventory.overrides import Override
from jobs.model import MachineOverride
from jobs.service import JobService


class Wishes:
    """Safe from every thread; not from within a transaction of the store."""

    def __init__(self, service: JobService, inventory: Inventory) -> None:
        self._service = service
        self._file = inventory
        self._lock = threading.Lock()

    def file_changed(self, inventory: Inventory, listener: Callable[[Inventory], None]) -> None:
        """The file says something new; hand on what counts now."""
        with self._lock:
            self._file = inventory
            listener(self._counting())

    def tell(self, listener: Callable[[Inventory], None]) -> None:
        """Hand on what counts now."""
        with self._lock:
            listener(self._counting())

    def _counting(self) -> Inventory:
        set_by: dict[str, list[Override]] = {}
        for row in self._service.overrides():
            held = self._held(row)
            if held is not None:
                set_by.setdefault(row.machine_id, []).append(held)
        machines = {
            machine_id: overrides.apply(machine, set_by.get(machine_id, ()))
            for machine_id, machine in self._file.machines.items()
        }
        return replace(self._file, machines=machines)

    def _held(self, row: MachineOverride) -> Override | None:
        """The override, if it still holds; one that does not is forgotten, one just set is tied to the file's value."""
        machine = self._file.machines.get(row.machine_id)
        held = None if machine is None else self._tied(machine, row)
        if held is None:
            self._service.drop_override(row.machine_id, row.key)
        return held

    def _tied(self, machine: Machine, row: MachineOverride) -> Override | None:
        if row.file_value is None:
            try:
                made = overrides.make(machine, row.key, json.loads(row.value))
            except FieldInvalid:
                return None
            self._service.pin_override(replace(row, file_value=made.file_value))
            return made
        held = Override(machine_id=row.machine_id, key=row.key, value=row.value, file_value=row.file_value)
        return held if overrides.holds(machine, held) else None
