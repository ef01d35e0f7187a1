"""Versions of job types and their content. A version never changes; a content is stored once, in pieces."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, null, select, update

from jobs.model import JobSettings, JobVersion, Published
from jobs.store import events, schema
from jobs.store.tx import Tx

_V = schema.versions.c
_C = schema.chunks.c

CHUNK_BYTES: Final = 1024 * 1024

_VERSION = select(
    _V.job_type,
    _V.version,
    _V.digest,
    _V.node_digest,
    _V.has_return_main,
    _V.settings,
    _V.size_bytes,
    _V.created_at,
)
_LATEST_OF = (
    select(_V.version, _V.digest, _V.forgotten_at)
    .where(_V.job_type == bindparam("job_type"))
    .order_by(_V.version.desc())
    .limit(1)
)
_NEWEST_OF = (
    _VERSION.where(_V.job_type == bindparam("job_type"), _V.forgotten_at.is_(None)).order_by(_V.version.desc()).limit(1)
)
_OTHER = schema.versions.alias("other")
_NEWEST = select(func.max(_OTHER.c.version)).where(_OTHER.c.job_type == _V.job_type).scalar_subquery()
_CURRENT = _VERSION.where(_V.forgotten_at.is_(None), _V.version == _NEWEST)


def latest(conn: Connection, job_type: str) -> tuple[int, str, bool] | None:
    """(number, digest, whether the type was forgotten since) of the newest version."""
    row = conn.execute(_LATEST_OF, {"job_type": job_type}).one_or_none()
    return None if row is None else (row[0], row[1], row[2] is not None)


def newest(conn: Connection, job_type: str) -> JobVersion | None:
    """The newest version of a type that was not forgotten."""
    row = conn.execute(_NEWEST_OF, {"job_type": job_type}).one_or_none()
    return None if row is None else _version(row)


def add(tx: Tx, made: JobVersion, content: Sequence[bytes]) -> Published:
    """Store a version whose number was chosen from ``latest``, unless another publish came first with the same."""
    before = latest(tx.conn, made.job_type)
    if before is not None and before[1] == made.digest:
        return _same_content(tx, made.job_type, before)
    if made.version != (0 if before is None else before[0] + 1):
        raise VersionTakenError
    row = asdict(made) | {"settings": json.dumps(asdict(made.settings), sort_keys=True)}
    _store_content(tx, made.digest, content)
    tx.conn.execute(insert(schema.versions), row)
    tx.happened(events.JOB_TYPE, made.job_type)
    return Published(made.version, changed=True)


class VersionTakenError(Exception):
    """Two publishes of the same job type met; the later one looks again."""


def _same_content(tx: Tx, job_type: str, before: tuple[int, str, bool]) -> Published:
    number, _, forgotten = before
    if forgotten:
        these = (_V.job_type == job_type) & (_V.version == number)
        tx.conn.execute(update(schema.versions).where(these).values(forgotten_at=null()))
    return Published(number, changed=forgotten)


def keep_piece(tx: Tx, digest: str, n: int, data: bytes) -> None:
    """Store one piece of a content before its version: others write between two pieces, and wait for none but one."""
    if not _is_used(tx, digest):
        tx.conn.execute(delete(schema.chunks).where((_C.digest == digest) & (_C.n == n)))
        tx.conn.execute(insert(schema.chunks), {"digest": digest, "n": n, "data": data})


def _store_content(tx: Tx, digest: str, content: Sequence[bytes]) -> None:
    """Nothing where it is stored; all of it where other pieces are there than ``keep_piece`` was just given."""
    query = select(func.count(), func.coalesce(func.sum(func.length(_C.data)), 0)).where(_C.digest == digest)
    pieces, size_bytes = tx.conn.execute(query).one()
    if _is_used(tx, digest) or (pieces, int(size_bytes)) == (len(content), sum(map(len, content))):
        return
    tx.conn.execute(delete(schema.chunks).where(_C.digest == digest))
    rows = [{"digest": digest, "n": n, "data": data} for n, data in enumerate(content)]
    tx.conn.execute(insert(schema.chunks), rows)


def _is_used(tx: Tx, digest: str) -> bool:
    """A version has this content; what a publish that broke off left, none has."""
    return tx.conn.execute(select(_V.digest).where(_V.digest == digest).limit(1)).first() is not None


def content(conn: Connection, digest: str) -> bytes:
    """The zip with this digest; empty when there is none."""
    query = select(_C.data).where(_C.digest == digest).order_by(_C.n)
    return b"".join(conn.execute(query).scalars())


def one(conn: Connection, job_type: str, number: int) -> JobVersion | None:
    """One version, also of a forgotten type."""
    row = conn.execute(_VERSION.where(_V.job_type == job_type, _V.version == number)).one_or_none()
    return None if row is None else _version(row)


def everyone(conn: Connection, job_type: str) -> list[JobVersion]:
    """All versions of a type, newest first."""
    query = _VERSION.where(_V.job_type == job_type, _V.forgotten_at.is_(None)).order_by(_V.version.desc())
    return [_version(row) for row in conn.execute(query)]


def current(conn: Connection) -> dict[str, JobVersion]:
    """The newest version of every type that was not forgotten."""
    return {version.job_type: version for version in map(_version, conn.execute(_CURRENT))}


def first_times(conn: Connection) -> dict[str, float]:
    """When the first version of each type was made."""
    query = select(_V.job_type, func.min(_V.created_at)).group_by(_V.job_type)
    return {row[0]: row[1] for row in conn.execute(query)}


def forget(tx: Tx, job_type: str, now: float) -> int:
    """Hide a type; its versions stay for the attempts that name them. How many were hidden."""
    tx.happened(events.JOB_TYPE, job_type)
    these = (_V.job_type == job_type) & _V.forgotten_at.is_(None)
    return tx.conn.execute(update(schema.versions).where(these).values(forgotten_at=now)).rowcount


def remove_unused(tx: Tx, prefix: str, before: float) -> list[str]:
    """Remove types with such names, all of whose versions are older and which no job names; which they were."""
    used = select(schema.jobs.c.id).where(schema.jobs.c.job_type == _V.job_type).exists()
    query = (
        select(_V.job_type)
        .where(_V.job_type.startswith(prefix, autoescape=True), ~used)
        .group_by(_V.job_type)
        .having(func.max(_V.created_at) < before)
    )
    unused = list(tx.conn.execute(query).scalars())
    for job_type in unused:
        digests = list(tx.conn.execute(select(_V.digest).where(_V.job_type == job_type)).scalars())
        tx.conn.execute(delete(schema.versions).where(_V.job_type == job_type))
        still = set(tx.conn.execute(select(_V.digest).where(_V.digest.in_(digests))).scalars())
        tx.conn.execute(delete(schema.chunks).where(_C.digest.in_([one for one in digests if one not in still])))
        tx.happened(events.JOB_TYPE, job_type)
    return unused


def _version(row: schema.AnyRow) -> JobVersion:
    return JobVersion(
        job_type=row.job_type,
        version=row.version,
        digest=row.digest,
        node_digest=row.node_digest,
        has_return_main=bool(row.has_return_main),
        settings=JobSettings(**json.loads(row.settings)),
        size_bytes=row.size_bytes,
        created_at=row.created_at,
    )
