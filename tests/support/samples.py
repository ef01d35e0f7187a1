"""Values with everything in them, where a test cares for one field only."""

from dataclasses import replace

from orchestrator.node.health import Contact, Load


def a_load(**changes: object) -> Load:
    load = Load(load1=0.1, memory_used_mb=1000, memory_free_mb=8000, disk_used_mb=1000, disk_free_mb=50_000)
    return replace(load, **changes)  # type: ignore[arg-type]


def a_contact(**changes: object) -> Contact:
    contact = Contact(
        root="/srv/multijob/s1",
        python="/usr/bin/python3",
        python_version="3.11.2",
        platform="Linux",
        cores=4,
        memory_mb=9000,
        disk_mb=51_000,
        life="boot:born",
        load=a_load(),
    )
    return replace(contact, **changes)  # type: ignore[arg-type]
