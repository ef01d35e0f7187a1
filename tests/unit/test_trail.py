"""What gets into the audit log without anybody calling the API."""

from dataclasses import replace

from inventory.file import Inventory
from inventory.machine import Machine
from jobs.errors import StoreUnavailable
from jobs.model import AuditEntry
from orchestrator.trail import Trail

A, B = Machine(machine_id="a", host="h"), Machine(machine_id="b", host="h")


def test_edits_of_the_inventory_say_what_changed() -> None:
    noted: list[AuditEntry] = []
    trail = Trail(noted.append, lambda: 7.0)
    trail.inventory(Inventory({"a": A, "b": B}, "1"))
    trail.inventory(Inventory({"a": A, "b": B}, "1"))
    trail.inventory(Inventory({"a": A, "b": B}, "a comment"))
    trail.inventory(Inventory({"a": replace(A, port=2), "c": replace(B, machine_id="c")}, "2"))
    [entry] = noted
    assert (entry.who, entry.action, entry.rows, entry.at) == ("inventory.yml", "inventory.change", 3, 7.0)
    assert entry.detail == {"added": ["c"], "removed": ["b"], "changed": ["a"]}


def test_accepted_keys_are_noted() -> None:
    noted: list[AuditEntry] = []
    Trail(noted.append).key_accepted("a", "h", "SHA256:x", at_first_sight=True)
    assert noted[0].action == "machines.key_accepted"
    assert noted[0].detail["at_first_sight"] is True


def test_a_store_that_is_away_stops_nothing() -> None:
    def away(_entry: AuditEntry) -> None:
        raise StoreUnavailable("away")

    Trail(away).key_accepted("a", "h", "SHA256:x", at_first_sight=False)
