"""How fast the jobs room is, on an empty and on a large queue. Prints one JSON object a line.

python bench/store.py [--waiting 1000000] [--jobs 100000] [--home FOLDER]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from jobs.model import Pick, Submission
from jobs.service import JobService
from jobs.store import Store
from remote_runner.protocol import Record

BATCH = 100


def main() -> None:
    """Measure each step of a job's walk."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.home) as home:
        store = Store.open(f"sqlite:///{home}/multijob.db")
        service = JobService(store, Path(home) / "jobs", Path(home) / "cache")
        _publish(service, Path(home))
        try:
            _fill(service, options.waiting)
            _measure(service, options.jobs, options.waiting)
        finally:
            store.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=0, help="jobs that already wait in the same lane")
    parser.add_argument("--jobs", type=int, default=50_000, help="jobs to walk through")
    parser.add_argument("--home", default=None, help="where to put the database; its disk decides the commits")
    return parser.parse_args()


def _publish(service: JobService, home: Path) -> None:
    folder = home / "jobs" / "crawl"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text("def work(n):\n    return n\n")
    service.register("crawl")


def _fill(service: JobService, count: int) -> None:
    for start in range(0, count, 10_000):
        service.submit(Submission(job_type="crawl", inputs=_inputs(min(10_000, count - start)), batch="full"))


def _inputs(count: int) -> list[str]:
    return [json.dumps({"args": [n], "kwargs": {"url": "http://example.org/some/page"}}) for n in range(count)]


def _measure(service: JobService, count: int, waiting: int) -> None:
    facts = {"waiting": waiting, "jobs": count}
    first = _submit(service, count, facts)
    _heads(service, facts)
    claims = _claim(service, first, count, facts)
    _report(service, claims, facts)
    _results(service, facts)
    _submit_one(service, facts)


def _submit(service: JobService, count: int, facts: dict[str, int]) -> int:
    inputs = _inputs(1000)
    first = 0
    with _timed("submit_1000", facts, rows=count):
        for _ in range(0, count, 1000):
            done = service.submit(Submission(job_type="crawl", inputs=inputs, batch="bench", priority=5))
            first = first or done.first_id
    return first


def _heads(service: JobService, facts: dict[str, int]) -> None:
    _each("heads_100", facts, BATCH, [lambda: service.heads(None, BATCH)] * 200)


def _claim(service: JobService, first: int, count: int, facts: dict[str, int]) -> list[tuple[int, int]]:
    claimed: list[tuple[int, int]] = []

    def claim(start: int) -> None:
        picks = [Pick(job_id, f"m{job_id % 4}", 0) for job_id in range(start, start + BATCH)]
        claimed.extend((one.job_id, one.attempt) for one in service.claim(picks).result())

    def act(start: int) -> Callable[[], object]:
        return lambda: claim(start)

    _each("claim_100_of_4_machines", facts, BATCH, [act(start) for start in range(first, first + count, BATCH)])
    return claimed


def _report(service: JobService, claims: Sequence[tuple[int, int]], facts: dict[str, int]) -> None:
    by_machine: dict[int, list[tuple[int, int]]] = {}
    for claim in claims:
        by_machine.setdefault(claim[0] % 4, []).append(claim)
    seq = iter(range(1, 1 << 60))

    def acts() -> Iterator[Callable[[], object]]:
        for machine, mine in by_machine.items():
            for start in range(0, len(mine), BATCH):
                records = [_end(next(seq), *claim) for claim in mine[start : start + BATCH]]
                yield lambda machine=machine, records=records: service.take_report(f"m{machine}", "r", records)

    _each("take_report_100", facts, BATCH, list(acts()))


def _end(seq: int, job: int, attempt: int) -> Record:
    body = {"ok": True, "reason": "", "result": '{"title": "a page", "links": 12}', "count": 1, "spend_s": 0.01}
    return Record(seq, "end", job, attempt, body)


def _results(service: JobService, facts: dict[str, int]) -> None:
    for limit in (1000, 5000):
        cursor, rows = 0, 0
        start = time.perf_counter()
        while (page := service.results(cursor, batch="bench", limit=limit)).rows:
            rows += len(page.rows)
            cursor = page.cursor
        _print(f"results_{limit}", facts, rows=rows, rows_per_s=round(rows / (time.perf_counter() - start)))


def _submit_one(service: JobService, facts: dict[str, int]) -> None:
    one = Submission(job_type="crawl", inputs=_inputs(1), batch="one")
    _each("submit_1", facts, 1, [lambda: service.submit(one)] * 500)


class _timed:  # noqa: N801  (reads as a verb)
    def __init__(self, what: str, facts: dict[str, int], rows: int) -> None:
        self._what, self._facts, self._rows = what, facts, rows

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self._start
        _print(self._what, self._facts, rows=self._rows, rows_per_s=round(self._rows / seconds))


def _each(what: str, facts: dict[str, int], rows: int, acts: Sequence[Callable[[], object]]) -> None:
    times_ms = []
    cpu = time.process_time()
    for act in acts:
        start = time.perf_counter()
        act()
        times_ms.append((time.perf_counter() - start) * 1000)
    cpu_ms = (time.process_time() - cpu) * 1000 / len(acts)
    p50, p95 = statistics.median(times_ms), sorted(times_ms)[int(len(times_ms) * 0.95)]
    _print(what, facts, rows=rows, p50_ms=round(p50, 3), p95_ms=round(p95, 3), cpu_ms=round(cpu_ms, 3))


def _print(what: str, facts: dict[str, int], **numbers: float) -> None:
    print(json.dumps({"what": what, **facts, **numbers}), flush=True)


if __name__ == "__main__":
    main()
