"""How long what the dashboard asks for takes with a million jobs in SQLite. Prints one JSON object an endpoint.

python -m bench pages [--jobs 1000000] [--batches 2000] [--home FOLDER]
"""

import argparse
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from flask.testing import FlaskClient

from jobs import spends
from jobs.failures import sign
from jobs.model import MachineView
from jobs.service import JobService
from jobs.status import Reason
from jobs.store import Store
from web.accounts import Accounts
from web.app import WebOptions, create_app

MACHINES = 40
#: Where jobs of a type wait.
LANES = {"crawl": 1, "resize": 2}
GROUPS = 200
DAYS = 14
RESULT = json.dumps({"url": "http://example.org/some/page", "rows": list(range(20))})
TRACEBACK = 'Traceback (most recent call last):\n  File "/n/main.py", line 3, in work\n    step()\nValueError: step {}'


def main() -> None:
    """Fill a database, then ask for each page some times."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.home) as folder:
        home = Path(folder)
        url = f"sqlite:///{home}/multijob.db"
        Store.open(url).close()
        now = time.time()
        began = time.perf_counter()
        fill(home / "multijob.db", options.jobs, options.batches, now)
        _say("fill", jobs=options.jobs, seconds=round(time.perf_counter() - began, 1))
        store = Store.open(url)
        try:
            _measure(JobService(store, home / "jobs", home / "cache"), now)
        finally:
            store.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--home", default=None, help="where to put the database")
    return parser.parse_known_args()[0]


def _say(what: str, **facts: object) -> None:
    print(json.dumps({"bench": "pages", "what": what, **facts}), flush=True)


# ------------------------------------------------------------------------------------------------------------ filling


def fill(path: Path, count: int, batches: int, now: float) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA synchronous=OFF")
        conn.execute("BEGIN")
        conn.execute("DROP TRIGGER jobs_moves")
        names = ", ".join(_JOB)
        conn.executemany(f"INSERT INTO jobs ({names}) VALUES ({_marks(_JOB)})", _jobs(count, batches, now))  # noqa: S608
        lanes = [(lane, job_type) for job_type, lane in LANES.items()]
        conn.executemany("INSERT INTO lanes (id, job_type, tag, avoid, avoid_sha256) VALUES (?, ?, '', '', '')", lanes)
        for statement in _SUMS:
            conn.execute(statement)
        for table, key in (("batch_spends", "job_type, batch"), ("hour_spends", "hour, job_type")):
            _spends(conn, table, key)
        _audit(conn, now)
        conn.execute("UPDATE sequences SET next = ? WHERE name IN ('job', 'done')", (count + 1,))
        conn.execute("UPDATE sequences SET next = ? WHERE name = 'lane'", (max(LANES.values()) + 1,))
        conn.execute("COMMIT")
        conn.execute("ANALYZE")


_JOB = (
    "id",
    "lane_id",
    "job_type",
    "tag",
    "batch",
    "rank",
    "limit_count",
    "status",
    "reason",
    "attempt",
    "starts",
    "machine_id",
    "version",
    "input",
    "queued_lane",
    "return_count",
    "spend_s",
    "created_at",
    "claimed_at",
    "started_at",
    "updated_at",
    "done_seq",
    "fingerprint",
)


def _marks(columns: tuple[str, ...]) -> str:
    return ", ".join("?" * len(columns))


def _fingerprint(n: int) -> str:
    signature = sign("crawl", Reason.ERROR, TRACEBACK.format(_word(n % GROUPS)))
    assert signature is not None
    return signature.fingerprint


def _word(n: int) -> str:
    return "".join(chr(ord("k") + int(digit)) for digit in str(n))


def _jobs(count: int, batches: int, now: float) -> Iterator[tuple[object, ...]]:
    """Nine of ten done, one of twenty failed, the newest still waiting or running."""
    chance = random.Random(7)  # noqa: S311
    groups = [_fingerprint(n) for n in range(GROUPS)]
    for n in range(1, count + 1):
        at = now - DAYS * 86400 * (1 - n / count)
        spend_s = chance.expovariate(0.5)
        status = 1 if n > count - 200 else 0 if n > count * 0.95 else -1 if n % 20 == 7 else 3
        ended = status in (3, -1)
        job_type = "crawl" if n % 3 else "resize"
        machine = "" if status == 0 else f"m{chance.randrange(MACHINES)}"
        yield (
            n,
            LANES[job_type],
            job_type,
            "",
            f"batch {n * batches // count}",
            0,
            1,
            status,
            "error" if status == -1 else "",
            0 if status == 0 else 1,
            0 if status == 0 else 1,
            machine,
            -1 if status == 0 else 0,
            '{"args":[1],"kwargs":{"url":"http://example.org/some/page"}}',
            LANES[job_type] if status == 0 else None,
            1.0 if status == 3 else 0.0,
            spend_s if ended else 0.0,
            at - 60,
            None if status == 0 else at - spend_s,
            None if status == 0 else at - spend_s,
            at,
            n if ended else None,
            groups[n % GROUPS] if status == -1 else None,
        )


_SUMS = (
    f"""INSERT INTO attempts (job_id, attempt, machine_id, version, claimed_at, started_at, ended_at, spend_s, reason,
        started, result, return_count, error) SELECT id, 1, machine_id, 0, claimed_at, started_at, updated_at, spend_s,
        reason, 1, CASE WHEN status = 3 THEN '{RESULT}' END, return_count,
        CASE WHEN status = -1 THEN 'ValueError: step' END FROM jobs WHERE done_seq IS NOT NULL""",  # noqa: S608
    """INSERT INTO counters (job_type, batch, status, jobs, return_count, spend_s, begin_at, updated_at)
       SELECT job_type, batch, status, count(*), sum(return_count), sum(spend_s), min(created_at), max(updated_at)
       FROM jobs GROUP BY 1, 2, 3""",
    """INSERT INTO hours (hour, job_type, status, jobs, return_count, spend_s)
       SELECT CAST(updated_at / 3600 AS INT), job_type, status, count(*), sum(return_count), sum(spend_s)
       FROM jobs GROUP BY 1, 2, 3""",
    "INSERT INTO batches (batch, begin_at) SELECT batch, min(begin_at) FROM counters GROUP BY batch",
    """INSERT INTO failures (fingerprint, job_type, reason, exception, message, frame, jobs, attempts,
       first_at, last_at, sample_job, sample_attempt)
       SELECT fingerprint, 'crawl', 'error', 'ValueError', 'step', 'main.py in work',
       count(*), count(*), min(updated_at), max(updated_at), max(id), 1 FROM jobs WHERE fingerprint IS NOT NULL
       GROUP BY fingerprint""",
    """INSERT INTO failure_places (fingerprint, machine_id, version, attempts) SELECT fingerprint, machine_id, 0,
       count(*) FROM jobs WHERE fingerprint IS NOT NULL GROUP BY 1, 2""",
    """INSERT INTO failure_hours (hour, fingerprint, attempts) SELECT CAST(updated_at / 3600 AS INT), fingerprint,
       count(*) FROM jobs WHERE fingerprint IS NOT NULL GROUP BY 1, 2""",
)


def _spends(conn: sqlite3.Connection, table: str, key: str) -> None:
    conn.create_function("step_of", 1, spends.step_of, deterministic=True)
    named = key.replace("hour", "CAST(updated_at / 3600 AS INT)")
    conn.execute(
        f"INSERT INTO {table} ({key}, step, jobs) SELECT {named}, step_of(spend_s), count(*)"  # noqa: S608
        " FROM jobs WHERE status = 3 GROUP BY 1, 2, 3"
    )


def _audit(conn: sqlite3.Connection, now: float) -> None:
    rows = [(now - n, f"who{n % 9}", "127.0.0.1", "jobs.rerun", "{}", n, "ok") for n in range(10_000)]
    names = "at, who, source, action, detail, rows, outcome"
    conn.executemany(f"INSERT INTO audit ({names}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608


# ---------------------------------------------------------------------------------------------------------- measuring


def _measure(service: JobService, now: float) -> None:
    views = [MachineView(machine_id=f"m{n}", name=f"Machine {n}", platform="Linux") for n in range(MACHINES)]
    service.put_machines(views).result()
    client = create_app(service, Accounts(service, b"bench"), WebOptions(auth=False)).test_client()
    for path in (
        "home",
        "home?window_s=604800",
        "failures",
        f"failures?since={now - 86400}",
        f"failures/{_fingerprint(7)}",
        "batches",
        "batches?size=1000",
        "batches?q=batch 17",
        "batches/batch 1999",
        "batches/batch 3",
        f"timeline?since={now - 600}&until={now}",
        f"timeline?since={now - 86400}&until={now}",
        f"timeline?since={now - 20 * 86400}&until={now}",
        "activity",
        "jobs",
        f"jobs?q={_fingerprint(7)}",
    ):
        _time(client, path)


def _time(client: FlaskClient, path: str) -> None:
    times = []
    size = 0
    for _ in range(12):
        began = time.perf_counter()
        response = client.get(f"/api/v1/{path}")
        times.append((time.perf_counter() - began) * 1000)
        assert response.status_code == 200, (path, response.text)
        size = len(response.data)
    middle, worst = statistics.median(times[1:]), max(times[1:])
    _say(path, first_ms=round(times[0], 1), p50_ms=round(middle, 1), worst_ms=round(worst, 1), bytes=size)


if __name__ == "__main__":
    main()
