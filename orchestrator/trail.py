"""What happens without a call of the API, written into the audit log: edits of inventory.yml, accepted host keys."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from inventory.file import Inventory
from jobs.errors import StoreUnavailable
from jobs.model import AuditEntry

log = logging.getLogger(__name__)

#: Ids named in one entry; the number says how many there were.
NAMED: Final = 50


class Trail:
    """Writes entries; what the store cannot take now goes to the log instead. Safe from every thread."""

    def __init__(self, audit: Callable[[AuditEntry], None], clock: Callable[[], float] = time.time) -> None:
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        self._inventory: Inventory | None = None

    def inventory(self, now: Inventory) -> None:
        """The file was taken over; the first time is where the server starts from."""
        with self._lock:
            before, self._inventory = self._inventory, now
        if before is None or before.digest == now.digest:
            return
        old, new = before.machines, now.machines
        changes = {
            "added": sorted(new.keys() - old.keys()),
            "removed": sorted(old.keys() - new.keys()),
            "changed": sorted(name for name in new.keys() & old.keys() if new[name] != old[name]),
        }
        rows = sum(map(len, changes.values()))
        if rows:
            self._note("inventory.yml", "inventory.change", {key: ids[:NAMED] for key, ids in changes.items()}, rows)

    def key_accepted(self, machine_id: str, name: str, fingerprint: str, *, at_first_sight: bool) -> None:
        """From now on this key is the host's."""
        detail = {"machine_id": machine_id, "host": name, "fingerprint": fingerprint, "at_first_sight": at_first_sight}
        self._note("server", "machines.key_accepted", detail, 1)

    def _note(self, who: str, action: str, detail: Mapping[str, Any], rows: int) -> None:
        entry = AuditEntry(
            at=self._clock(), who=who, source="server", action=action, detail=detail, rows=rows, outcome="ok"
        )
        try:
            self._audit(entry)
        except StoreUnavailable as error:
            log.warning("not in the audit log (%s): %s %s", error, action, dict(detail))
