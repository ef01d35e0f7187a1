"""Whether the dashboard's budgets hold with a million jobs in SQLite.

Prints one JSON object a budget: what was measured, what it may be, whether it holds.

python -m bench dashboard [--jobs 1000000] [--home FOLDER]
"""

import argparse
import gzip
import json
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from flask.testing import FlaskClient

import hatch_build
from bench import pages
from jobs.model import MachineView
from jobs.service import JobService
from jobs.store import Store
from orchestrator.bulk import Bulk
from web.accounts import Accounts
from web.app import WebOptions, create_app

ROOT: Final = Path(hatch_build.__file__).parent
HOME_MS, LIST_MS, BULK_MS, LOG_MS, EVENT_MS, LOAD_KB = 200, 150, 300, 300, 1000, 250
BULK_JOBS: Final = 100_000
TIMES: Final = 25
#: What people do to many jobs; a filter that fits none is one walk over all of them.
BULKS: Final[Sequence[tuple[str, dict[str, Any]]]] = (
    ("copy", {"ids": list(range(1, BULK_JOBS + 1))}),
    ("rerun", {"filter": {"status": "failed"}}),
    ("delete", {"filter": {"machine_id": "m7"}}),
    ("copy", {"filter": {"tag": "nobody"}}),
)
#: What a node keeps of a log of a gigabyte, and the server after its end.
LOG_BYTES, HEAD_BYTES, TAIL_BYTES = 1 << 30, 64 * 1024, 192 * 1024
#: Lists as people look at them. Over all jobs by anything but the id is one walk over them (jobs.store.browse says
#: why): the page does not offer that, and it is no part of the budget.
LISTS: Final = (
    "jobs",
    "jobs?size=200",
    "jobs?status=failed",
    "jobs?status=waiting,running",
    "jobs?job_type=crawl&status=!done",
    "jobs?batch=batch 1000",
    "jobs?machine_id=m7",
    "jobs?machine_id=!m7&status=failed",
    "jobs?after=500000",
    "jobs?batch=batch 1000&sort=-updated_at",
    "jobs?batch=batch 1000&sort=-spend_s",
    "summary?percentiles=false",
)


def main() -> None:
    """Fill a database, then hold each budget against it."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.home) as folder:
        home = Path(folder)
        url = f"sqlite:///{home}/multijob.db"
        Store.open(url).close()
        pages.fill(home / "multijob.db", options.jobs, 2000, time.time())
        store = Store.open(url)
        try:
            _hold(JobService(store, home / "jobs", home / "cache"), home / "multijob.db", options.jobs)
        finally:
            store.close()
    _first_load()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--home", default=None, help="where to put the database")
    return parser.parse_known_args()[0]


def _say(budget: str, measured: float, limit: float, unit: str, **facts: object) -> None:
    told = {"budget": budget, "measured": round(measured, 1), "limit": limit, "unit": unit, "holds": measured <= limit}
    print(json.dumps({"bench": "dashboard", **told, **facts}), flush=True)


def _hold(service: JobService, path: Path, jobs: int) -> None:
    service.put_machines([MachineView(machine_id=f"m{n}", name=f"Machine {n}") for n in range(pages.MACHINES)]).result()
    client = create_app(service, Accounts(service, b"bench"), WebOptions(auth=False)).test_client()
    for asked in ("home", "home?window_s=604800"):
        took = _times(partial(_get, client, asked))
        _say(f"home, p95: {asked}", _p95(took.wall), HOME_MS, "ms", jobs=jobs, **took.facts)
    for asked in LISTS:
        took = _times(partial(_get, client, asked))
        _say(f"list, p95: {asked}", _p95(took.wall), LIST_MS, "ms", jobs=jobs, **took.facts)
    _log(path, client)
    _event(service)
    _bulk(service, client)


class _Took(NamedTuple):
    """Milliseconds of each asking: on the wall, and of processor, which others on this machine cannot lengthen."""

    wall: list[float]
    cpu: list[float]

    @property
    def facts(self) -> dict[str, float]:
        return {"p50": round(statistics.median(self.wall), 1), "cpu_p50": round(statistics.median(self.cpu), 1)}


def _times(ask: Callable[[], object]) -> _Took:
    """The first one too: nobody has asked before."""
    took = _Took([], [])
    for _ in range(TIMES):
        began, cpu_began = time.perf_counter(), time.process_time()
        ask()
        took.wall.append((time.perf_counter() - began) * 1000)
        took.cpu.append((time.process_time() - cpu_began) * 1000)
    return took


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def _get(client: FlaskClient, path: str) -> bytes:
    response = client.get(f"/api/v1/{path}")
    assert response.status_code == 200, (path, response.text)
    data: bytes = response.data
    return data


def _log(path: Path, client: FlaskClient) -> None:
    """What is kept of a log of a gigabyte, as its page asks for it."""
    kept = {"head": "x" * (HEAD_BYTES - 1) + "\n", "tail": "y" * (TAIL_BYTES - 1) + "\n", "total": LOG_BYTES}
    with closing(sqlite3.connect(path, timeout=60)) as conn, conn:
        conn.execute("UPDATE attempts SET log = ? WHERE job_id = 1 AND attempt = 1", [json.dumps({"stdout": kept})])
    took = _times(lambda: _get(client, "jobs/1/log?attempt=1&stream=stdout"))
    _say("log of 1 GB, p95", _p95(took.wall), LOG_MS, "ms", **took.facts)


def _event(service: JobService) -> None:
    """From a change to whoever follows hearing of it; the page then asks at once, and at most once a second."""
    times = []
    for number in range(TIMES):
        seen = service.happenings.newest()
        hearing = threading.Thread(target=service.happenings.wait, args=(seen, 5.0))
        hearing.start()
        began = time.perf_counter()
        service.put_machines([MachineView(machine_id="m0", text=str(number))]).result()
        hearing.join()
        times.append((time.perf_counter() - began) * 1000)
    _say("a change to its event, worst", max(times), EVENT_MS, "ms")


def _bulk(service: JobService, client: FlaskClient) -> None:
    """Beginning something with a hundred thousand jobs, while what has begun goes on."""
    carrying = Bulk(service.operations)
    carrying.start()
    try:
        for action, which in BULKS:
            began = time.perf_counter()
            answer: Any = client.post("/api/v1/jobs/bulk", json={"action": action, **which}).json
            took_ms = (time.perf_counter() - began) * 1000
            meant = which.get("filter", f"{BULK_JOBS} ids")
            _say(f"bulk {action} answers: {meant}", took_ms, BULK_MS, "ms", jobs=answer["total"], state=answer["state"])
            client.post(f"/api/v1/operations/{answer['operation_id']}/stop")
    finally:
        carrying.stop()


def _first_load() -> None:
    """The home page in Chinese: what a browser that has never been here loads."""
    hatch_build.build(ROOT)
    built = ROOT / hatch_build.BUILT
    manifest = json.loads((built / "manifest.json").read_text())
    entry = next(name for name, one in manifest.items() if one.get("isEntry"))
    files: set[str] = {"index.html"}
    for name in (entry, "src/pages/HomePage.vue", "src/components/HourChart.vue", "src/i18n/zh.json"):
        _gather(manifest, name, files)
    size = sum(len(gzip.compress((built / name).read_bytes())) for name in files)
    _say("first load, gzip", size / 1024, LOAD_KB, "KiB", files=len(files))


def _gather(manifest: dict[str, Any], name: str, files: set[str]) -> None:
    one = manifest[name]
    if str(one["file"]) in files:
        return
    files |= {str(one["file"]), *one.get("css", [])}
    for needed in one.get("imports", []):
        _gather(manifest, needed, files)


if __name__ == "__main__":
    main()
