"""Groups of failures, kept as attempts fail: how often, when, where, in which versions; and who is failed now.

Nothing here is reached by a success. A group knows two counts: attempts that ever ended so, and jobs that are failed
now; the second falls when such a job is run again, deleted, or its lost attempt turns out to have succeeded.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    not_,
    null,
    select,
    update,
)

from jobs.failures import Signature, sign_overflow
from jobs.status import Reason
from jobs.store import queue, schema
from jobs.store.bulk import Bulk, ByIds
from jobs.store.counters import HOUR_S
from jobs.store.tx import Tx
from jobs.views import FailureGroup, FailuresAsked

_J = schema.jobs.c
_F = schema.failures.c
_P = schema.failure_places.c
_H = schema.failure_hours.c
_V = schema.versions.c

#: Groups of one job type; what fails in yet another way is counted under one group for all the rest.
GROUPS_LIMIT: Final = 1000
#: A group nobody is in is forgotten after this, and so are its hours.
KEPT_S: Final = 30 * 24 * 3600.0


class Failed(NamedTuple):
    """One attempt that failed just now."""

    signature: Signature
    job_id: int
    attempt: int
    #: Empty: the server itself.
    machine_id: str
    version: int
    #: The job is failed with it; else it is tried again.
    final: bool


# ------------------------------------------------------------------------------------------------------------- noting

_AT = bindparam("at", type_=Double)
_COUNTS = ("jobs", "attempts", "sample_job", "sample_attempt")
_ADD = Bulk(
    update(schema.failures)
    .where(_F.fingerprint == bindparam("which"))
    .values(
        jobs=_F.jobs + bindparam("add_jobs"),
        attempts=_F.attempts + bindparam("add_attempts"),
        last_at=case((_F.last_at < _AT, _AT), else_=_F.last_at),
        sample_job=bindparam("to_job"),
        sample_attempt=bindparam("to_attempt"),
    ),
    ("add_jobs", "add_attempts", "at", "to_job", "to_attempt", "which"),
)
_MARK = Bulk(
    update(schema.jobs).where(_J.id == bindparam("at_id")).values(fingerprint=bindparam("to_fingerprint")),
    ("to_fingerprint", "at_id"),
)


def note(tx: Tx, failed: Sequence[Failed], now: float) -> None:
    """Count these, and mark the jobs that are failed with them."""
    if not failed:
        return
    groups = _groups(tx, failed, now)
    rows = [
        (sum(one.final for one in some), len(some), now, some[-1].job_id, some[-1].attempt, fingerprint)
        for fingerprint, some in sorted(groups.items())
    ]
    _ADD.run(tx.conn, rows)
    _count_places(tx, groups)
    _count_hours(tx, groups, now)
    marks = [(fingerprint, one.job_id) for fingerprint, some in groups.items() for one in some if one.final]
    _MARK.run(tx.conn, sorted(marks, key=lambda mark: mark[1]))


_KNOWN = select(_F.fingerprint).where(_F.fingerprint.in_(bindparam("these", expanding=True)))
_OF_TYPE = select(func.count()).select_from(schema.failures).where(_F.job_type == bindparam("job_type"))


def _groups(tx: Tx, failed: Sequence[Failed], now: float) -> dict[str, list[Failed]]:
    """Fingerprint of the group each is counted in → those; groups that are new are made."""
    signatures = {one.signature.fingerprint: one.signature for one in failed}
    known = _known(tx, list(signatures))
    counted_in = {name: name for name in known}
    for name, signature in sorted(signatures.items()):
        if name not in known:
            counted_in[name] = _make(tx, signature, now)
    groups: defaultdict[str, list[Failed]] = defaultdict(list)
    for one in failed:
        groups[counted_in[one.signature.fingerprint]].append(one)
    return groups


def _known(tx: Tx, names: Sequence[str]) -> set[str]:
    return {
        name
        for start in range(0, len(names), queue.IN_LIMIT)
        for name in tx.conn.execute(_KNOWN, {"these": names[start : start + queue.IN_LIMIT]}).scalars()
    }


def _make(tx: Tx, signature: Signature, now: float) -> str:
    """A new group, or the one for all the rest; its fingerprint."""
    if tx.conn.execute(_OF_TYPE, {"job_type": signature.job_type}).scalar_one() >= GROUPS_LIMIT:
        signature = sign_overflow(signature.job_type)
        if _known(tx, [signature.fingerprint]):
            return signature.fingerprint
    row = signature._asdict() | {"reason": str(signature.reason), "first_at": now, "last_at": now}
    tx.conn.execute(insert(schema.failures), row | dict.fromkeys(_COUNTS, 0))
    return signature.fingerprint


_ADD_PLACE = Bulk(
    update(schema.failure_places)
    .where(
        _P.fingerprint == bindparam("which"),
        _P.machine_id == bindparam("at_machine"),
        _P.version == bindparam("at_version"),
    )
    .values(attempts=_P.attempts + bindparam("more")),
    ("more", "which", "at_machine", "at_version"),
)
_ADD_HOUR = Bulk(
    update(schema.failure_hours)
    .where(_H.hour == bindparam("at_hour"), _H.fingerprint == bindparam("which"))
    .values(attempts=_H.attempts + bindparam("more")),
    ("more", "at_hour", "which"),
)


def _count_places(tx: Tx, groups: Mapping[str, Sequence[Failed]]) -> None:
    counts = Counter((name, one.machine_id, one.version) for name, some in groups.items() for one in some)
    _add(tx, _ADD_PLACE, schema.failure_places, ("fingerprint", "machine_id", "version"), counts)


def _count_hours(tx: Tx, groups: Mapping[str, Sequence[Failed]], now: float) -> None:
    counts = {(int(now) // HOUR_S, name): len(some) for name, some in groups.items()}
    _add(tx, _ADD_HOUR, schema.failure_hours, ("hour", "fingerprint"), counts)


def _add(tx: Tx, statement: Bulk, table: Table, names: Sequence[str], counts: Mapping[Any, int]) -> None:
    """Raise the counts of these rows; those that are missing begin with them."""
    for key, more in sorted(counts.items()):
        if statement.run(tx.conn, [(more, *key)]) == 0:
            tx.conn.execute(insert(table), dict(zip(names, key, strict=True)) | {"attempts": more})


# ------------------------------------------------------------------------------------------------- no longer failed

_MARKS = ByIds(lambda among: select(_J.fingerprint).where(among(_J.id), _J.fingerprint.is_not(None)))
_UNMARK = ByIds(lambda among: update(schema.jobs).where(among(_J.id)).values(fingerprint=null()))
_FEWER = Bulk(
    update(schema.failures).where(_F.fingerprint == bindparam("which")).values(jobs=_F.jobs - bindparam("fewer")),
    ("fewer", "which"),
)


def leave(tx: Tx, job_ids: Sequence[int]) -> None:
    """These jobs, failed until now, are it no longer: call this before they are moved or deleted."""
    for some in queue.in_lists(sorted(job_ids)):
        counts = Counter(row[0] for row in _MARKS.rows(tx.conn, some))
        if counts:
            _UNMARK.run(tx.conn, some)
            _FEWER.run(tx.conn, [(fewer, fingerprint) for fingerprint, fewer in sorted(counts.items())])


# ------------------------------------------------------------------------------------------------------------ reading


#: The newest version of a group's job type; -1: it was deleted.
_newest = (
    select(func.coalesce(func.max(_V.version), -1))
    .where(_V.job_type == _F.job_type, _V.forgotten_at.is_(None))
    .correlate(schema.failures)
    .scalar_subquery()
)
_muted = and_(_F.muted_version.is_not(None), _newest <= _F.muted_version)
_GROUP = select(schema.failures, _muted.label("muted"))


def page(conn: Connection, asked: FailuresAsked) -> list[FailureGroup]:
    """Groups in which something failed within these hours, the latest first."""
    within = exists().where(_H.fingerprint == _F.fingerprint, _H.hour.between(asked.first_hour, asked.last_hour))
    query = _GROUP.where(within).order_by(_F.last_at.desc(), _F.fingerprint).limit(asked.size)
    if asked.job_type is not None:
        query = query.where(_F.job_type == asked.job_type)
    if not asked.all:
        query = query.where(_F.jobs > 0)
    if asked.after is not None:
        at, fingerprint = asked.after
        query = query.where((_F.last_at < at) | and_(_F.last_at == at, _F.fingerprint > fingerprint))
    return _complete(conn, conn.execute(query).all(), _H.hour.between(asked.first_hour, asked.last_hour))


def largest(conn: Connection, first_hour: int, size: int) -> list[FailureGroup]:
    """The groups with the most jobs that are failed now, of those that grew in these hours and are not muted."""
    within = exists().where(_H.fingerprint == _F.fingerprint, _H.hour >= first_hour)
    query = _GROUP.where(within, _F.jobs > 0, not_(_muted)).order_by(_F.jobs.desc(), _F.fingerprint).limit(size)
    return _complete(conn, conn.execute(query).all(), _H.hour >= first_hour)


def one(conn: Connection, fingerprint: str) -> FailureGroup | None:
    """One group with all its hours."""
    rows = conn.execute(_GROUP.where(_F.fingerprint == fingerprint)).all()
    found = _complete(conn, rows, _H.hour >= 0)
    return found[0] if found else None


_MACHINES = select(_P.fingerprint, _P.machine_id, func.sum(_P.attempts)).group_by(_P.fingerprint, _P.machine_id)
_VERSIONS = select(_P.fingerprint, _P.version, func.sum(_P.attempts)).group_by(_P.fingerprint, _P.version)
_TREND = select(_H.fingerprint, _H.hour, _H.attempts)


def _complete(conn: Connection, rows: Sequence[schema.AnyRow], hours: ColumnElement[bool]) -> list[FailureGroup]:
    """The groups with their machines, versions and hours: three statements for all of them."""
    if not rows:
        return []
    names = [row.fingerprint for row in rows]
    machines = _by_group(conn, _MACHINES.where(_P.fingerprint.in_(names)))
    versions = _by_group(conn, _VERSIONS.where(_P.fingerprint.in_(names)))
    trend = _by_group(conn, _TREND.where(_H.fingerprint.in_(names), hours).order_by(_H.hour))
    return [_group(row, machines[row.fingerprint], versions[row.fingerprint], trend[row.fingerprint]) for row in rows]


def _by_group(conn: Connection, query: Select[Any]) -> defaultdict[str, dict[Any, int]]:
    counts: defaultdict[str, dict[Any, int]] = defaultdict(dict)
    for fingerprint, key, count in conn.execute(query):
        counts[fingerprint][key] = int(count)
    return counts


def _group(
    row: schema.AnyRow, machines: Mapping[str, int], versions: Mapping[int, int], hours: Mapping[int, int]
) -> FailureGroup:
    return FailureGroup(
        fingerprint=row.fingerprint,
        job_type=row.job_type,
        reason=Reason(row.reason),
        exception=row.exception,
        message=row.message,
        frame=row.frame,
        jobs=int(row.jobs),
        attempts=int(row.attempts),
        first_at=row.first_at,
        last_at=row.last_at,
        sample_job=row.sample_job,
        sample_attempt=row.sample_attempt,
        muted=bool(row.muted),
        machines=machines,
        versions=versions,
        hours=hours,
    )


# --------------------------------------------------------------------------------------------------- mute and forget


def mute(tx: Tx, fingerprint: str, muted: bool) -> None:
    """Mute a group until a newer version than today's is published, or no longer."""
    these = _F.fingerprint == fingerprint
    upto = tx.conn.execute(select(_newest).select_from(schema.failures).where(these)).scalar() if muted else None
    tx.conn.execute(update(schema.failures).where(these).values(muted_version=upto))


def expire(tx: Tx, now: float) -> None:
    """Forget hours, and groups nobody is in, that are long past."""
    oldest = now - KEPT_S
    tx.conn.execute(delete(schema.failure_hours).where(_H.hour < int(oldest) // HOUR_S))
    over = select(_F.fingerprint).where(_F.jobs <= 0, _F.last_at < oldest)
    names = list(tx.conn.execute(over).scalars())
    for start in range(0, len(names), queue.IN_LIMIT):
        some = names[start : start + queue.IN_LIMIT]
        for column in (_P.fingerprint, _H.fingerprint, _F.fingerprint):
            tx.conn.execute(delete(column.table).where(column.in_(some)))
