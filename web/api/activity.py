"""Who did what: the audit log, page by page."""

from typing import Any

from flask import Blueprint, Response

from jobs.model import AuditEntry
from web import gate
from web.accounts import Scope, needs
from web.api.answering import answer
from web.api.asking import Query, query_of
from web.rooms import service

blueprint = Blueprint("activity", __name__)


class ActivityQuery(Query):
    """A page of the log, the newest first."""

    size: int = 50
    after: int | None = None


@blueprint.get("/activity")
@needs(Scope.READ)
def listing() -> Response:
    """Who did what, and how it went; from which address is for admins."""
    asked = query_of(ActivityQuery)
    found = service().audit_log(asked.size, asked.after)
    sources = gate.caller().may(Scope.ADMIN)
    following = found[-1][0] if len(found) == asked.size else None
    return answer({"activity": [_of_entry(row, entry, sources) for row, entry in found], "next": following})


def _of_entry(row: int, entry: AuditEntry, sources: bool) -> dict[str, Any]:
    return {
        "id": row,
        "at": entry.at,
        "who": entry.who,
        "source": entry.source if sources else "",
        "action": entry.action,
        "detail": dict(entry.detail),
        "rows": entry.rows,
        "outcome": entry.outcome,
    }
