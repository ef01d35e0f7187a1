"""Write down who did what, from where, and how it went (S14). Knows the request; the service keeps the log."""

import time
from collections.abc import Mapping
from typing import Any

from flask import g

from jobs.model import AuditEntry
from web import gate
from web.rooms import service


def note(action: str, detail: Mapping[str, Any], *, rows: int = 0, outcome: str = "ok", who: str | None = None) -> None:
    """Add this to the audit log; ``who`` where the request itself does not say it (signing in)."""
    name = who if who is not None else g.caller.name
    service().audit(
        AuditEntry(
            at=time.time(),
            who=name,
            source=gate.address(),
            action=action,
            detail=dict(detail),
            rows=rows,
            outcome=outcome,
        )
    )
