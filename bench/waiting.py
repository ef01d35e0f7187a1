"""A million jobs wait, of 20 types, 10 tags and 5 priorities, while others finish. JSON lines.

``waiting_claims``: the server's rooms in this process, on SQLite; 5,000 jobs a second are claimed, a hundred at a time,
and reported as done. ``waiting_live``: the same database under ``mj up`` with four machines that take all of it, as
fast as they go. Beside both, a process of its own asks for lists and summaries over HTTP, one after the other with
pauses of 50 ms. N is how many wait.
"""

import multiprocessing
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from bench._rows import how_many, show, wanted
from bench._stage import USUAL, Spent, resident_mb
from jobs.model import Pick, Submission
from jobs.service import JobService
from jobs.store import Store
from multijob import Client
from orchestrator import own_process
from remote_runner.protocol import Record
from tests.support import hosts as ssh_hosts
from tests.support.server import RunningServer
from web.accounts import Accounts
from web.app import WebOptions, create_app
from web.serve import Listener

ROWS: Final = ("waiting_claims", "waiting_live")
TYPES, TAGS, PRIORITIES = 20, 10, 5
BATCH: Final = 100
FINISHED_PER_S: Final = 5000
SECONDS: Final = 30
MAIN: Final = "def work(n):\n    return n + 1\n"
#: What a page of the dashboard and a script look at.
ASKED: Final = {
    "list": (
        "jobs",
        "jobs?size=200",
        "jobs?status=waiting&job_type=type7",
        "jobs?status=waiting&batch=batch3",
        "jobs?status=done",
    ),
    "summary": ("home", "summary", "waiting", "batches"),
}
TARGETS: Final = {"claim_p95_ms": ("<=", 5.0), "list_p95_ms": ("<=", 150.0), "summary_p95_ms": ("<=", 150.0)}


def main() -> None:
    count = how_many(1_000_000)
    with tempfile.TemporaryDirectory(prefix="mj-bench-") as folder:
        home = Path(folder)
        store = Store.open(f"sqlite:///{home}/multijob.db")
        try:
            service = JobService(store, home / "jobs", home / "cache")
            fill(service, home, count)
            if wanted("waiting_claims"):
                claims(service, home, count)
        finally:
            store.close()
        if wanted("waiting_live") and _ask(home, "SELECT 1 FROM jobs WHERE status = 0 LIMIT 1"):
            live(home, count)


def fill(service: JobService, home: Path, count: int) -> None:
    """Kinds in turn, so that those of one kind lie apart."""
    for number in range(TYPES):
        folder = home / "jobs" / f"type{number}"
        folder.mkdir(parents=True)
        (folder / "main.py").write_text(MAIN)
        service.register(f"type{number}")
    kinds = list(product(range(TYPES), range(TAGS), range(PRIORITIES)))
    began = time.perf_counter()
    inputs = [f'{{"args":[{number}]}}' for number in range(BATCH)]
    for start in range(0, count, BATCH):
        kind, tag, priority = kinds[start // BATCH * 7 % len(kinds)]
        service.submit(
            Submission(job_type=f"type{kind}", inputs=inputs, tag=f"tag{tag}", priority=priority, batch=f"batch{kind}")
        )
    show("waiting_filled", None, n=count, jobs_per_s=round(count / (time.perf_counter() - began)), a_submission=BATCH)


# -------------------------------------------------------------------------------------------------------------- claims


def claims(service: JobService, home: Path, count: int) -> None:
    """Paced: 5,000 a second are claimed and finish, from all lanes in turn."""
    own_process.prepare()
    app = create_app(service, Accounts(service, b"bench"), WebOptions(auth=False))
    listener = Listener(app, "127.0.0.1", 0, 8)
    listener.start()
    asker = _Asker(f"http://127.0.0.1:{listener.port}", "")
    took_ms, heads_ms, finished, began = [], [], 0, time.perf_counter()
    seq = iter(range(1, 1 << 60))
    for lanes in _in_turn(service):
        heads_began = time.perf_counter()
        [ids] = [[one.job_id for one in heads] for heads in service.heads([lanes], BATCH).values()]
        claim_began = time.perf_counter()
        claimed = service.claim([Pick(job_id, f"m{job_id % 4}", 0) for job_id in ids]).result()
        took_ms.append((time.perf_counter() - claim_began) * 1000)
        heads_ms.append((claim_began - heads_began) * 1000)
        for machine in range(4):
            mine = [one for one in claimed if one.job_id % 4 == machine]
            service.take_report(f"m{machine}", "r", [_end(next(seq), one.job_id, one.attempt) for one in mine])
        finished += len(claimed)
        ahead_s = began + finished / FINISHED_PER_S - time.perf_counter()
        if ahead_s > 0:
            time.sleep(ahead_s)
        if time.perf_counter() - began > SECONDS or finished == count:
            break
    rate = finished / (time.perf_counter() - began)
    asked = asker.stop()
    listener.stop()
    _check(home, count, finished)
    show(
        "waiting_claims",
        TARGETS,
        n=count,
        finished_per_s=round(rate),
        claims=len(took_ms),
        claim_p50_ms=round(statistics.median(took_ms), 2),
        claim_p95_ms=round(_p95(took_ms), 2),
        heads_p95_ms=round(_p95(heads_ms), 2),
        **_p95s(asked),
        slowest=_slowest(asked),
    )


def _in_turn(service: JobService) -> Iterator[int]:
    lanes = [lane.lane_id for lane in service.lanes()]
    while True:
        yield from lanes


def _end(seq: int, job: int, attempt: int) -> Record:
    return Record(seq, "end", job, attempt, {"ok": True, "reason": "", "result": str(job), "count": 1, "spend_s": 0.01})


def _check(home: Path, count: int, finished: int) -> None:
    """What was reported is stored, and nothing else changed."""
    [(done, right)] = _ask(
        home,
        "SELECT count(*), coalesce(sum(a.result = CAST(j.id AS TEXT)), 0) FROM jobs j"
        " JOIN attempts a ON a.job_id = j.id AND a.attempt = j.attempt WHERE j.status = 3",
    )
    [(waiting,)] = _ask(home, "SELECT count(*) FROM jobs WHERE status = 0")
    assert (done, right, waiting) == (finished, finished, count - finished), (done, right, waiting, finished)


# ---------------------------------------------------------------------------------------------------------------- live


def live(home: Path, count: int) -> None:
    """Four machines that carry every tag, for half a minute."""
    [(before,)] = _ask(home, "SELECT count(*) FROM jobs WHERE status = 3")
    with ssh_hosts.running() as hosts:
        for _ in range(4):
            hosts.start()
        tags = ", ".join(f"tag{number}" for number in range(TAGS))
        server = RunningServer(home, hosts.inventory(limit_process=2, tag=f"[{tags}]"), **USUAL)
        (home / "known_hosts").write_text((hosts.home / "known_hosts").read_text())
        started = time.perf_counter()
        server.start()
        try:
            while _finished(home) == before:
                time.sleep(0.2)
            first_s = time.perf_counter() - started
            asker = _Asker(server.url, (home / "token").read_text().strip())
            spent, done, began = Spent(server, hosts), _finished(home), time.perf_counter()
            time.sleep(SECONDS)
            wall_s, done = time.perf_counter() - began, _finished(home) - done
            figures: dict[str, Any] = {"cores": spent.cores(wall_s), "peak_mb": resident_mb(server.pid, peak=True)}
            asked = asker.stop()
        finally:
            server.stop()
    [(wrong,)] = _ask(
        home,
        "SELECT count(*) FROM jobs j JOIN attempts a ON a.job_id = j.id AND a.attempt = j.attempt"
        " WHERE j.status = 3 AND a.machine_id LIKE 'node%'"
        " AND a.result <> CAST(json_extract(j.input, '$.args[0]') + 1 AS TEXT)",
    )
    assert not wrong, f"{wrong} results are wrong"
    targets = {name: target for name, target in TARGETS.items() if name != "claim_p95_ms"}
    show(
        "waiting_live",
        targets,
        n=count,
        finished_per_s=round(done / wall_s),
        first_result_s=round(first_s, 1),
        **_p95s(asked),
        slowest=_slowest(asked),
        **figures,
    )


def _finished(home: Path) -> int:
    [(count,)] = _ask(home, "SELECT coalesce(max(done_seq), 0) FROM jobs")
    return int(count)


def _ask(home: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{home}/multijob.db?mode=ro", uri=True, timeout=30)) as conn:
        return conn.execute(question).fetchall()


# -------------------------------------------------------------------------------------------------------------- asking


class _Asker:
    """A process that asks for one page after the other, as long as it lasts."""

    def __init__(self, url: str, token: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_ask_on, args=(url, token, there))
        self._process.start()
        self._here.recv()

    def stop(self) -> dict[str, list[float]]:
        """Milliseconds of each question."""
        self._here.send("stop")
        asked: dict[str, list[float]] = self._here.recv()
        self._process.join()
        return asked


def _ask_on(url: str, token: str, said: "Connection[Any, Any]") -> None:
    client = Client(url, token=token or None)
    took: dict[str, list[float]] = {path: [] for paths in ASKED.values() for path in paths}
    said.send("begun")
    while not said.poll():
        for path in took:
            began = time.perf_counter()
            client.call("GET", f"/api/v1/{path}")
            took[path].append((time.perf_counter() - began) * 1000)
            time.sleep(0.05)  # as some people with pages open, not as many as it can take
    said.send(took)


def _p95s(asked: dict[str, list[float]]) -> dict[str, float]:
    each = {what: [ms for path in paths for ms in asked[path]] for what, paths in ASKED.items()}
    return {f"{what}_p95_ms": round(_p95(times), 1) for what, times in each.items()}


def _slowest(asked: dict[str, list[float]]) -> dict[str, float]:
    return {path: round(_p95(times), 1) for path, times in asked.items()}


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


if __name__ == "__main__":
    main()
