"""What only the home page asks: all jobs by status, and how long each type took in a window. Reads counters only."""

from collections import defaultdict

from sqlalchemy import Connection, func, select

from jobs.spends import percentiles
from jobs.status import Status
from jobs.store import schema
from jobs.views import Totals, TypeRow

_C = schema.counters.c
_S = schema.hour_spends.c

_TOTALS = select(_C.status, func.sum(_C.jobs), func.sum(_C.return_count), func.sum(_C.spend_s)).group_by(_C.status)


def totals(conn: Connection) -> Totals:
    """All jobs there are; what the finished ones returned and spent."""
    rows = {Status(row[0]): row for row in conn.execute(_TOTALS)}
    done = rows.get(Status.DONE)
    return Totals(
        jobs={status: int(row[1]) for status, row in rows.items()},
        return_count=float(done[2]) if done else 0.0,
        spend_s=float(done[3]) if done else 0.0,
    )


def types(conn: Connection, first_hour: int) -> list[TypeRow]:
    """The types of which some jobs finished in these hours, the most first."""
    query = select(_S.job_type, _S.step, func.sum(_S.jobs)).where(_S.hour >= first_hour)
    steps: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for job_type, step, jobs in conn.execute(query.group_by(_S.job_type, _S.step)):
        steps[job_type][step] = int(jobs)
    rows = [_row(job_type, counts) for job_type, counts in steps.items()]
    return sorted(rows, key=lambda row: (-row.jobs, row.job_type))


def _row(job_type: str, steps: dict[int, int]) -> TypeRow:
    p50_s, p95_s, _ = percentiles(steps)
    return TypeRow(job_type, sum(steps.values()), p50_s, p95_s)
