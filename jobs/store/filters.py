"""A filter as SQL conditions, for the table of jobs and for that of the counters. Values only as bound parameters."""

import re
from typing import Any, Final

from sqlalchemy import ColumnElement, literal_column, or_
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from jobs.model import Choice, JobFilter
from jobs.status import Status

#: Texts that can be an id, or the fingerprint of a failure.
ID_DIGITS: Final = 18
FINGERPRINT: Final = re.compile(r"[0-9a-f]{16}")

Columns = ReadOnlyColumnCollection[str, Any]


def conditions(columns: Columns, chosen: JobFilter) -> list[ColumnElement[bool]]:
    """What must hold; the table must have a column for everything the filter names."""
    named = {"job_type": chosen.job_type, "batch": chosen.batch, "machine_id": chosen.machine_id, "tag": chosen.tag}
    found = [_meets(columns[name], wanted) for name, wanted in named.items() if wanted is not None]
    if chosen.status:
        found.append(_in_status(columns.status, chosen.status, leads=chosen.batch is None and chosen.q is None))
    if chosen.ids is not None:
        found.append(columns.id.in_(chosen.ids))
    if chosen.versions is not None:
        found.append(columns.version.in_(sorted(chosen.versions)))
    if chosen.cleared is not None:
        found.append(columns.cleared.is_(chosen.cleared))
    if chosen.q is not None:
        found.append(_sought(columns, chosen.q))
    if chosen.since is not None:
        found.append(columns.updated_at >= chosen.since)
    if chosen.until is not None:
        found.append(columns.updated_at < chosen.until)
    return found


def _sought(columns: Columns, text: str) -> ColumnElement[bool]:
    """Each part has an index of its own; parts that the text cannot be are left out."""
    parts = [columns.batch == text]
    if text.isdecimal() and text.isascii() and len(text) <= ID_DIGITS:
        parts.append(columns.id == int(text))
    if FINGERPRINT.fullmatch(text):
        parts.append(columns.fingerprint == text)
    return or_(*parts)


def _meets(column: ColumnElement[Any], wanted: Choice | str) -> ColumnElement[bool]:
    if isinstance(wanted, str):
        return column == wanted
    texts = sorted(wanted.texts)
    return column.not_in(texts) if wanted.without else column.in_(texts)


def _in_status(column: ColumnElement[Any], wanted: frozenset[Status], *, leads: bool) -> ColumnElement[bool]:
    """Worded so that an index over part of the jobs is used: that over failures, and where nothing else narrows the
    search more (``leads``), those over what runs and what has run. Such an index is seen only behind a number that is
    written out; ours are."""
    within = column.in_(sorted(int(status) for status in wanted))
    if max(wanted) < 0:
        return within & (column < 0)
    if not leads or len(wanted) > 1 or Status.WAITING in wanted:
        return within
    exactly = column == literal_column(str(int(min(wanted))))
    return exactly if Status.RUNNING in wanted else exactly & (column >= literal_column("2"))
