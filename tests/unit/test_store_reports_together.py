"""Reports that share a transaction: what they store is what they would have stored one after the other (G6, G7)."""

import random
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from jobs.model import ReportAnswer, Reported
from jobs.status import Status
from tests.support.databases import Database
from tests.support.store_kit import Gate, Room, a_room, failed, ok

#: One record as ``Room.report`` takes it, and the machine that says it.
Said = tuple[str, tuple[str, int, int, dict[str, Any]]]


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type("crawl")
        yield room


@contextmanager
def together(room: Room) -> Iterator[list["Future[ReportAnswer]"]]:
    """What is reported within waits, and is taken in at its end by one transaction."""
    answers: list[Future[ReportAnswer]] = []
    store, gate = room.store, Gate(room.store)

    def later(act: Any, item: Any) -> None:
        answers.append(store.submit_write(lambda tx: tx.join(act, item)))

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "write_together", later)
            yield answers
    finally:
        gate.open()
    wait(answers, 10)


def test_each_report_has_its_own_answer_and_the_engine_hears_of_each_machine(room: Room) -> None:
    here, there, old = room.submit(3)
    room.claim(here, old, machine="m1")
    room.claim(there, machine="m2")
    told: dict[str, list[Reported]] = {}
    room.service.on_reported = lambda machine, rows: told.setdefault(machine, []).extend(rows)
    with together(room) as answers:
        room.report(("end", here, 1, ok("a")))
        room.report(("start", there, 1, {}), machine="m2")
        room.report(("start", old, 1, {}), machine="m2")
    assert [answer.result().stored for answer in answers] == [1, 2, 3]
    assert [answer.result().stop for answer in answers] == [[], [], [(old, 1)]]
    assert {machine: [(row.job_id, row.kind) for row in rows] for machine, rows in told.items()} == {
        "m1": [(here, "end")],
        "m2": [(there, "start")],
    }
    assert [room.status(job) for job in (here, there, old)] == [Status.DONE, Status.RUNNING, Status.RUNNING]


def test_a_start_and_an_end_in_two_reports_count_once(room: Room) -> None:
    (job,) = room.submit()
    room.claim(job)
    room.clock.forward(3600)
    with together(room):
        room.report(("start", job, 1, {}))
        room.report(("end", job, 1, ok("first")))
        room.report(("end", job, 1, ok("second")))
        room.report(("start", job, 1, {}))
    assert [one.result for one in room.service.attempts(job)] == ['"first"']
    (summary,) = room.service.summary("crawl")
    assert summary.jobs == {Status.DONE: 1}
    assert room.sql("SELECT status, jobs FROM hours WHERE jobs != 0") == [(Status.DONE, 1)]


def test_a_report_that_cannot_be_stored_is_alone_in_failing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = room.submit(2)
    room.claim(good, bad)
    settle = room.service._settle

    def choosy(job: Any, outcome: Any) -> Any:
        if job.job_id == bad:
            raise RuntimeError("no")
        return settle(job, outcome)

    monkeypatch.setattr(room.service, "_settle", choosy)
    with together(room) as answers:
        room.report(("end", bad, 1, ok()))
        room.report(("end", good, 1, ok()))
    assert [str(answer.exception(10)) for answer in answers] == ["no", "None"]
    assert [room.status(job) for job in (good, bad)] == [Status.DONE, Status.RUNNING]


def _tale(room: Room, chance: random.Random, jobs: list[int]) -> list[Said]:
    """What two machines say of jobs that one of them holds: begun, ended well and badly, given back, again, untrue."""
    bodies = [
        ("start", dict),
        ("end", lambda: ok(chance.randrange(3), count=chance.randrange(3))),
        ("end", failed),
        ("back", dict),
    ]
    tale = []
    for _ in range(5):
        job = room.service.job(chance.choice(jobs)).job
        kind, body = chance.choice(bodies)
        machine = chance.choice([job.machine_id, job.machine_id, job.machine_id, "m1", "m2"])
        attempt = chance.choice([job.attempt, job.attempt, job.attempt, max(1, job.attempt - 1)])
        tale.append((machine, (kind, job.job_id, attempt, body())))
    return tale


def _story(room: Room, seed: int, *, at_once: bool) -> dict[str, Any]:
    """Tell it by fives; in between one attempt is given up, and what waits is claimed again. What is stored then."""
    chance = random.Random(seed)  # noqa: S311  (no secret)
    room.job_type("crawl")
    room.service.backoff = room.service.backoff._replace(first_s=0.0)
    jobs = room.submit(4, limit_count=6)
    for _ in range(10):
        room.clock.forward(1)
        room.service.due(room.clock.now)
        for job in jobs:
            room.claim(job, machine=chance.choice(["m1", "m2"]))
        tale = _tale(room, chance, jobs)
        with together(room) if at_once else nullcontext():
            for machine, record in tale:
                room.report(record, machine=machine)
        given_up = room.service.job(chance.choice(jobs)).job
        room.service.lose(given_up.machine_id, [(given_up.job_id, given_up.attempt)])
    (summary,) = room.service.summary("crawl")
    counted = dict(room.sql("SELECT status, count(*) FROM jobs GROUP BY status"))
    assert {int(status): count for status, count in summary.jobs.items() if count} == counted
    return {
        "jobs": room.sql("SELECT id, status, reason, attempt, starts, return_count, spend_s FROM jobs ORDER BY id"),
        "attempts": room.sql("SELECT job_id, attempt, reason, result, machine_id FROM attempts ORDER BY 1, 2"),
        "sums": (summary.return_count, summary.spend_s),
    }


@pytest.mark.parametrize("seed", range(20))
def test_told_together_is_told_one_by_one(tmp_path: Path, seed: int) -> None:
    stories = []
    for at_once in (False, True):
        (tmp_path / str(at_once)).mkdir()
        with a_room(tmp_path / str(at_once)) as room:
            stories.append(_story(room, seed, at_once=at_once))
    assert stories[0] == stories[1]
    assert len(stories[0]["attempts"]) > 4
