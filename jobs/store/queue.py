"""Jobs on their way in and to the nodes: append, lanes and their heads, back-offs that are over, claim (T1, T2).

A job can be claimed while ``queued_lane`` names its lane. The index over it is all the scheduler ever touches, so a
million jobs in a lane nobody can take cost as much as one.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from sqlalchemy import Connection, Integer, bindparam, exists, func, insert, literal_column, null, select, update

from jobs.model import AttemptKey, Candidate, Claimed, Lane, Pick, Submitted
from jobs.status import Status
from jobs.store import schema
from jobs.store.bulk import SIZES, Bulk, ByIds
from jobs.store.counters import HOUR_S
from jobs.store.driver import Query, Values
from jobs.store.tx import Tx
from jobs.submitting import Checked

_J = schema.jobs.c
_L = schema.lanes.c

#: Ids in one IN list.
IN_LIMIT = SIZES[-1]

# ------------------------------------------------------------------------------------------------------------ append

_COLUMNS = (
    "id",
    "lane_id",
    "job_type",
    "tag",
    "batch",
    "rank",
    "limit_count",
    "input",
    "queued_lane",
    "created_at",
    "updated_at",
)
_APPEND = Bulk(insert(schema.jobs), _COLUMNS)


def append(tx: Tx, checked: Checked, now: float) -> tuple[int, Submitted]:
    """Store the jobs of a submission as waiting; (their lane, what to answer)."""
    count = len(checked.inputs)
    cursor = tx.next_number("done") - 1
    lane = lane_of(tx, checked.job_type, checked.tag, checked.avoid)
    first = tx.take_numbers("job", count)
    same = (lane, checked.job_type, checked.tag, checked.batch, checked.rank, checked.limit_count)
    last = (lane, now, now)
    _APPEND.run(tx.conn, [(job_id, *same, text, *last) for job_id, text in enumerate(checked.inputs, first)])
    tx.deltas.new_batch(checked.job_type, checked.batch, checked.tag)
    tx.deltas.add(checked.job_type, checked.batch, Status.WAITING, now, count)
    tx.deltas.wait(lane, backing_off=False, jobs=count)
    return lane, Submitted(first, count, cursor)


_LANE = Query(
    select(_L.id).where(
        _L.job_type == bindparam("job_type"), _L.tag == bindparam("tag"), _L.avoid_sha256 == bindparam("avoid_sha256")
    ),
    ("job_type", "tag", "avoid_sha256"),
)
_NEW_LANE = insert(schema.lanes)


def lane_of(tx: Tx, job_type: str, tag: str, avoid: frozenset[str] = frozenset()) -> int:
    """The lane of this type and tag that avoids these machines, made when there is none."""
    name = (job_type, tag, avoid)
    if name not in tx.new_lanes:
        tx.new_lanes[name] = _find_lane(tx, job_type, tag, avoid)
    return tx.new_lanes[name]


def _find_lane(tx: Tx, job_type: str, tag: str, avoid: frozenset[str]) -> int:
    text = json.dumps(sorted(avoid)) if avoid else ""
    name = {"job_type": job_type, "tag": tag, "avoid_sha256": sha256(text.encode()).hexdigest() if avoid else ""}
    found: int | None = _LANE.first(tx.conn, *name.values())
    if found is not None:
        return found
    lane_id = tx.take_numbers("lane", 1)
    tx.conn.execute(_NEW_LANE, name | {"id": lane_id, "avoid": text})
    return lane_id


_AVOID = select(_L.avoid).where(_L.id == select(_J.lane_id).where(_J.id == bindparam("job")).scalar_subquery())


def avoided_by(conn: Connection, job_id: int) -> frozenset[str]:
    """Machines that a job must not go to."""
    return _avoid(conn.execute(_AVOID, {"job": job_id}).scalar_one_or_none())


_AVOIDS = (
    select(_J.id, _L.avoid)
    .join_from(schema.jobs, schema.lanes, _L.id == _J.lane_id)
    .where(_J.id.in_(bindparam("ids", expanding=True)), _L.avoid_sha256 != "")
)


def avoided_by_each(conn: Connection, job_ids: Sequence[int]) -> dict[int, frozenset[str]]:
    """The same for the jobs of a page; those that may go anywhere are left out."""
    rows = (row for some in in_lists(job_ids) for row in conn.execute(_AVOIDS, {"ids": some}))
    return {row[0]: _avoid(row[1]) for row in rows}


def _avoid(text: str | None) -> frozenset[str]:
    return frozenset(json.loads(text)) if text else frozenset()


# ---------------------------------------------------------------------------------------------- lanes and their heads

_BUSY_LANES = (
    select(_L.id, _L.job_type, _L.tag, _L.avoid)
    .where(exists(select(literal_column("1")).select_from(schema.jobs).where(_J.queued_lane == _L.id)))
    .order_by(_L.id)
)
_HEAD = Query(
    select(_J.id, _J.rank, _J.limit_count)
    .where(_J.queued_lane == bindparam("lane"))
    .order_by(_J.rank, _J.id)
    .limit(bindparam("most", type_=Integer)),
    ("lane", "most"),
)


_WAITING = Query(
    select(_L.id, _L.job_type, _L.tag, _L.avoid, _L.ready, _L.backing_off)
    .where((_L.ready != 0) | (_L.backing_off != 0))
    .order_by(_L.id)
)


def lanes(conn: Connection) -> list[Lane]:
    """The lanes that have a job to claim: one look into the index for each."""
    return [Lane(*row[:3], _avoid(row[3])) for row in conn.execute(_BUSY_LANES)]


def head(conn: Connection, lane_id: int, limit: int) -> list[Candidate]:
    """The first jobs of a lane, in order; read from the index alone."""
    return [Candidate(*row) for row in _HEAD.rows(conn, lane_id, limit)]


def waiting(conn: Connection) -> list[tuple[Lane, int, int]]:
    """(lane, jobs that can be claimed, jobs that back off) of all lanes where some wait; from what is kept of each."""
    return [
        (Lane(lane_id, job_type, tag, _avoid(avoid)), ready, backing_off)
        for lane_id, job_type, tag, avoid, ready, backing_off in _WAITING.rows(conn)
    ]


# --------------------------------------------------------------------------------------------------------- back-offs

_BACKING_OFF = (_J.status == int(Status.WAITING)) & _J.due_at.is_not(None)
_OVER = _BACKING_OFF & (_J.due_at <= bindparam("now"))
_ANY_DUE = select(exists(select(literal_column("1")).select_from(schema.jobs).where(_OVER)))
_NEXT_DUE = select(func.min(_J.due_at)).where(_BACKING_OFF)
#: Locked, so that those counted are those released.
_DUE = select(_J.lane_id, _J.rank).where(_OVER).with_for_update().subquery()
_DUE_LANES = select(_DUE.c.lane_id, func.min(_DUE.c.rank), func.count()).group_by(_DUE.c.lane_id)
_RELEASE = update(schema.jobs).where(_OVER).values(queued_lane=_J.lane_id, due_at=null())


def any_due(conn: Connection, now: float) -> bool:
    """Whether some back-off is over."""
    return bool(conn.execute(_ANY_DUE, {"now": now}).scalar())


def next_due(conn: Connection) -> float | None:
    """When the next back-off ends."""
    due_at: float | None = conn.execute(_NEXT_DUE).scalar()
    return due_at


def release_due(tx: Tx, now: float) -> tuple[dict[int, int], int]:
    """Make jobs whose back-off is over claimable; ({lane: highest priority}, how many)."""
    rows = tx.conn.execute(_DUE_LANES, {"now": now}).all()
    if rows:
        tx.conn.execute(_RELEASE, {"now": now})
    for lane_id, _, count in rows:
        tx.deltas.wait(lane_id, backing_off=True, jobs=-count)
        tx.deltas.wait(lane_id, backing_off=False, jobs=count)
    return {row[0]: -row[1] for row in rows}, sum(row[2] for row in rows)


# ------------------------------------------------------------------------------------------------------------- claim

#: Hidden from the planner: the jobs are found by their ids, never among all that wait.
_CAN_BE_CLAIMED = (schema.unindexed(_J.status) == int(Status.WAITING)) & schema.unindexed(_J.queued_lane).is_not(None)
_CLAIMABLE = ByIds(
    lambda among: (
        select(_J.id, _J.attempt, _J.job_type, _J.batch, _J.limit_count, _J.input, _J.updated_at, _J.lane_id)
        .where(among(_J.id), _CAN_BE_CLAIMED)
        .with_for_update()
    )
)
_CLAIM = ByIds(
    lambda among: (
        update(schema.jobs)
        .where(among(_J.id), _CAN_BE_CLAIMED)
        .values(
            status=int(Status.RUNNING),
            reason="",
            attempt=_J.attempt + 1,
            starts=_J.starts + 1,
            machine_id=bindparam("to_machine"),
            version=bindparam("to_version"),
            queued_lane=null(),
            claimed_at=bindparam("now"),
            started_at=null(),
            updated_at=bindparam("now"),
        )
    ),
    ("to_machine", "to_version", "now"),
)


def claim(tx: Tx, picks: Sequence[Pick], now: float) -> list[Claimed]:
    """Open an attempt for each pick that can be claimed. The start is counted now: whatever dies, G5 holds."""
    wishes = {pick.job_id: (pick.machine_id, pick.version) for pick in picks}
    rows = [row for some in in_lists(list(wishes)) for row in _CLAIMABLE.rows(tx.conn, some)]
    # As picked, best first: a machine starts them in the order in which they are sent.
    place = {job_id: number for number, job_id in enumerate(wishes)}
    rows.sort(key=lambda row: place[row[0]])
    groups: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for row in rows:
        groups[wishes[row[0]]].append(row[0])
    for (machine_id, version), ids in groups.items():
        for some in in_lists(ids):
            _CLAIM.run(tx.conn, some, machine_id, version, now)
    _count_claims(tx, rows, now)
    return [
        Claimed(job_id, attempt + 1, *wishes[job_id], job_type, text, limit_count)
        for job_id, attempt, job_type, _, limit_count, text, _, _ in rows
    ]


def _count_claims(tx: Tx, rows: Iterable[Values], now: float) -> None:
    kinds = Counter((row[2], row[3], int(row[6]) // HOUR_S, row[7]) for row in rows)
    for (job_type, batch, hour, lane_id), count in kinds.items():
        tx.deltas.add(job_type, batch, Status.WAITING, hour * HOUR_S, -count)
        tx.deltas.add(job_type, batch, Status.RUNNING, now, count)
        tx.deltas.wait(lane_id, backing_off=False, jobs=-count)


_OPEN = ByIds(
    lambda among: select(_J.id, _J.attempt, _J.machine_id, _J.version, _J.job_type, _J.input, _J.limit_count).where(
        among(_J.id), _J.status == int(Status.RUNNING)
    )
)


def claimed(conn: Connection, keys: Sequence[AttemptKey]) -> list[Claimed]:
    """Attempts that are still open, as they were claimed."""
    wanted = set(keys)
    ids = [job_id for job_id, _ in keys]
    rows = [Claimed(*row) for some in in_lists(ids) for row in _OPEN.rows(conn, some)]
    return [row for row in rows if (row.job_id, row.attempt) in wanted]


# -------------------------------------------------------------------------------------------------------------- tools


def in_lists(ids: Sequence[int]) -> list[Sequence[int]]:
    """The ids in pieces that fit an IN list."""
    return [ids[start : start + IN_LIMIT] for start in range(0, len(ids), IN_LIMIT)]


def higher(lanes_: dict[int, int], more: Mapping[int, int]) -> None:
    """Take the higher priority of each lane into the first mapping."""
    for lane_id, priority in more.items():
        lanes_[lane_id] = max(priority, lanes_.get(lane_id, priority))
