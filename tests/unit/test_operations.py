"""Actions on many jobs: bounded, durable chunk by chunk, stoppable, and done once whatever dies (guarantees, bulk)."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jobs import filters
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.model import Action, JobFilter, MachineState, MachineView, OperationState, Submission
from jobs.operations import RUNNING_LIMIT, Author
from jobs.status import Status
from jobs.store.actions import PIECE
from orchestrator.bulk import Bulk
from tests.support.store_kit import a_room, failed
from tests.support.wait import until

MANY = PIECE * 2 + 7
ALL = JobFilter(job_type="crawl")


@pytest.fixture
def room(tmp_path, database):
    with a_room(tmp_path, database) as room:
        room.job_type()
        yield room


@pytest.fixture
def sqlite_room(tmp_path):
    with a_room(tmp_path) as room:
        room.job_type()
        yield room


def test_a_filter_is_carried_out_chunk_by_chunk(room):
    room.submit(MANY)
    room.claim(1, 2)
    begun = room.service.operations.begin(Action.COPY, ALL, total=MANY, author=Author(who="ann", source="::1"))
    assert (begun.state, begun.cursor, begun.upto, begun.total, begun.who) == ("running", -1, MANY, MANY, "ann")
    room.service.operations.step(begun)
    found = room.service.operations.one(begun.operation_id)
    assert (found.matched, found.changed, found.cursor, found.ended_at) == (PIECE, PIECE, PIECE, None)
    found = room.service.operations.carry_on(found)
    assert (found.state, found.matched, found.changed) == (OperationState.DONE, MANY, MANY)
    assert found.made == ((MANY + 1, 2 * MANY),) or found.made == [(MANY + 1, 2 * MANY)]
    assert found.made_ids == list(range(MANY + 1, 2 * MANY + 1))
    assert room.service.total(JobFilter(status=frozenset({Status.WAITING}))) == 2 * MANY - 2
    assert room.service.operations.running() == []


def test_as_many_as_a_chunk_holds_are_one_chunk(room):
    ids = room.submit(PIECE)
    for which in (ids, ALL):
        begun = room.service.operations.begin(Action.PRIORITY, which, priority=3)
        room.service.operations.step(begun)
        assert room.service.operations.one(begun.operation_id).state == OperationState.DONE


def test_an_answer_in_time_does_what_is_small_and_leaves_the_rest_to_others(room):
    """However long a chunk takes: whoever has to answer does not begin one of many jobs."""
    room.submit(MANY)
    operations = room.service.operations
    small = operations.begin(Action.KILL, [1, 2, 3])
    assert operations.answer_within(small, 25).state == OperationState.DONE
    many = operations.begin(Action.COPY, ALL, total=MANY)
    unknown = operations.begin(Action.COPY, ALL)
    for begun in (many, unknown):
        assert operations.answer_within(begun, 0.01).matched == 0
    bulk = Bulk(operations)
    bulk.start()
    try:
        assert operations.answer_within(many, 60).matched == MANY
    finally:
        bulk.stop()


def test_what_is_skipped_is_counted_by_why(room):
    room.submit(5)
    room.claim(1)
    room.service.kill([2])
    acted = room.service.act(Action.RERUN, ALL)
    assert acted.result == (5, 1, {"running": 1, "waiting": 3})
    assert acted.operation is not None
    assert acted.operation.state == OperationState.DONE


def test_jobs_that_came_later_are_not_meant(room):
    room.submit(3)
    begun = room.service.operations.begin(Action.KILL, ALL)
    (late,) = room.submit(1)
    assert room.service.operations.carry_on(begun).matched == 3
    assert room.status(late) == Status.WAITING


def test_a_job_that_stopped_fitting_in_between_is_left_alone(room):
    """Between the reading of a chunk and its transaction a job may move: the filter is asked once more."""
    room.submit(2)
    chosen = JobFilter(job_type="crawl", status=frozenset({Status.WAITING}))
    begun = room.service.operations.begin(Action.DELETE, chosen)
    operations = room.service.operations
    read = operations._next_ids

    def read_then_kill(found):
        chunk = read(found)
        room.service.kill([1])
        return chunk

    operations._next_ids = read_then_kill
    assert operations.carry_on(begun).changed == 1
    assert room.status(1) == Status.FAILED


def test_a_stopped_operation_does_no_more(room):
    room.submit(MANY)
    begun = room.service.operations.begin(Action.KILL, ALL)
    room.service.operations.step(begun)
    stopped = room.service.operations.stop(begun.operation_id)
    assert (stopped.state, stopped.changed) == (OperationState.STOPPED, PIECE)
    # Somebody who had read it before the stop changes nothing any more.
    room.service.operations.step(begun)
    assert room.service.operations.stop(begun.operation_id).changed == PIECE
    assert room.service.total(JobFilter(status=frozenset({Status.FAILED}))) == PIECE


def test_two_who_carry_on_the_same_do_each_chunk_once(room):
    """As two processes would: each with its own view of who is at it."""
    room.submit(MANY)
    begun = room.service.operations.begin(Action.COPY, ALL)
    other = room.service.__class__(room.store, room.home / "jobs", room.home / "cache", room.clock)
    threads = [threading.Thread(target=service.operations.carry_on, args=(begun,)) for service in (room.service, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = room.service.operations.one(begun.operation_id)
    assert (found.state, found.matched) == (OperationState.DONE, MANY)
    assert room.service.total(JobFilter(job_type="crawl")) == 2 * MANY


def test_many_ids_are_one_operation(room):
    ids = room.submit(MANY)
    begun = room.service.operations.begin(
        Action.KILL, JobFilter(ids=[*ids, *ids, 10**9], status=frozenset({Status(0)}))
    )
    assert (begun.named, begun.total) == (MANY + 1, MANY + 1)
    found = room.service.operations.carry_on(begun)
    assert (found.matched, found.changed, found.filter) == (MANY, MANY, JobFilter(status=frozenset({Status(0)})))


def test_no_ids_mean_no_jobs(room):
    room.submit(2)
    found = room.service.operations.carry_on(room.service.operations.begin(Action.KILL, []))
    assert (found.state, found.matched) == (OperationState.DONE, 0)


def test_the_list_is_newest_first_by_pages(room):
    room.submit(1)
    numbers = [room.service.operations.begin(Action.CLEAR, ALL).operation_id for _ in range(3)]
    first = room.service.operations.page(2)
    assert [one.operation_id for one in first] == numbers[:0:-1]
    assert [one.operation_id for one in room.service.operations.page(2, after=first[-1].operation_id)] == numbers[:1]
    room.service.operations.carry_on(first[0])
    running = room.service.operations.page(10, state=OperationState.RUNNING)
    assert [one.operation_id for one in running] == numbers[1::-1]


def test_what_is_refused(room):
    operations = room.service.operations
    with pytest.raises(InvalidInput):
        operations.begin(Action.KILL, JobFilter())
    with pytest.raises(NotFound):
        operations.one(99)
    with pytest.raises(NotFound):
        operations.stop(99)
    for _ in range(RUNNING_LIMIT):
        operations.begin(Action.CLEAR, ALL)
    with pytest.raises(Conflict):
        operations.begin(Action.CLEAR, ALL)


def test_ended_ones_are_forgotten_in_the_end(room):
    room.submit(1)
    ended = room.service.operations.carry_on(room.service.operations.begin(Action.CLEAR, ALL))
    running = room.service.operations.begin(Action.CLEAR, ALL)
    room.clock.forward(31 * 86400)
    room.service.operations.expire()
    assert [one.operation_id for one in room.service.operations.page()] == [running.operation_id]
    assert ended.operation_id != running.operation_id


def test_a_chunk_that_fails_fails_the_operation_and_says_why(sqlite_room):
    sqlite_room.submit(1)
    begun = sqlite_room.service.operations.begin(Action.KILL, ALL)

    def broken(*_):
        raise RuntimeError("a bug")

    sqlite_room.service.operations._perform = broken
    with pytest.raises(RuntimeError):
        sqlite_room.service.operations.carry_on(begun)
    found = sqlite_room.service.operations.one(begun.operation_id)
    assert (found.state, found.why) == (OperationState.FAILED, "RuntimeError: a bug")


def test_the_thread_goes_on_with_what_an_earlier_life_began(sqlite_room):
    sqlite_room.submit(MANY)
    begun = sqlite_room.service.operations.begin(Action.COPY, ALL)
    sqlite_room.service.operations.step(begun)
    sqlite_room.close()
    sqlite_room.open()
    bulk = Bulk(sqlite_room.service.operations)
    bulk.start()
    try:
        until(lambda: not sqlite_room.service.operations.running(), timeout_s=60)
        later = sqlite_room.service.operations.begin(Action.KILL, ALL)
        bulk.wake()
        until(lambda: sqlite_room.service.operations.one(later.operation_id).ended_at, timeout_s=60)
    finally:
        bulk.stop()
    assert sqlite_room.service.total(JobFilter(job_type="crawl")) == 2 * MANY


_CHILD = """
import os, signal, sys
from pathlib import Path
from jobs.model import Action, JobFilter
from jobs.service import JobService
from jobs.store import Store
url, home, number, chunks = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
service = JobService(Store.open(url), home / "jobs", home / "cache")
for _ in range(chunks):
    service.operations.step(service.operations.one(number))
# Into the middle of the next chunk: its jobs are copied, its commit is still to come.
perform = service.operations._perform
def die(*what):
    perform(*what)
    os.kill(os.getpid(), signal.SIGKILL)
service.operations._perform = die
service.operations.step(service.operations.one(number))
"""


def test_kill_9_in_any_chunk_makes_no_copy_twice_and_leaves_none_out(sqlite_room):
    sqlite_room.submit(MANY)
    begun = sqlite_room.service.operations.begin(Action.COPY, ALL)
    sqlite_room.close()
    number, at = begun.operation_id, 0
    for chunks in (0, 1, 1):
        at += chunks
        arguments = [sqlite_room.url, str(sqlite_room.home), str(number), str(chunks)]
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, *arguments],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        sqlite_room.open()
        found = sqlite_room.service.operations.one(number)
        assert (found.matched, found.state) == (at * PIECE, OperationState.RUNNING)
        assert sqlite_room.service.total(JobFilter(job_type="crawl")) == MANY + at * PIECE
        sqlite_room.close()
    sqlite_room.open()
    found = sqlite_room.service.operations.carry_on(sqlite_room.service.operations.one(number))
    assert (found.state, found.matched) == (OperationState.DONE, MANY)
    originals = sqlite_room.sql("SELECT input, count(*) FROM jobs GROUP BY input HAVING count(*) <> 2")
    assert originals == []


def test_deleting_a_type_ends_its_waiting_jobs_even_after_a_crash(sqlite_room, monkeypatch):
    """The forgetting and the operation are one transaction: there is no moment with one and without the other."""
    sqlite_room.submit(MANY)
    monkeypatch.setattr(sqlite_room.service.operations, "carry_on", lambda begun: begun)
    sqlite_room.service.delete_type("crawl")
    sqlite_room.close()
    sqlite_room.open()
    (number,) = sqlite_room.service.operations.running()
    found = sqlite_room.service.operations.carry_on(sqlite_room.service.operations.one(number))
    assert (found.action, found.changed) == (Action.END_TYPE, MANY)
    assert sqlite_room.service.job(1).job.reason == "type_deleted"


# ---------------------------------------------------------------------------------------------------------- elsewhere


def fail(room, job_id: int, machine: str) -> None:
    (claimed,) = room.claim(job_id, machine=machine)
    room.report(("end", job_id, claimed.attempt, failed()), machine=machine)


def test_a_rerun_elsewhere_avoids_the_machines_that_failed_it(room):
    first, second, third = room.submit(3, limit_count=0, tag="gpu")
    for job_id, machine in ((first, "m1"), (second, "m1"), (third, "m2")):
        fail(room, job_id, machine)
    room.service.rerun(JobFilter(status=frozenset({Status.FAILED})), elsewhere=True)
    lanes = {lane.avoid: lane for lane in room.service.lanes()}
    assert set(lanes) == {frozenset({"m1"}), frozenset({"m2"})}
    heads = room.service.heads(None, 10)
    ids = {avoid: [job.job_id for job in heads[lane.lane_id]] for avoid, lane in lanes.items()}
    assert ids == {frozenset({"m1"}): [first, second], frozenset({"m2"}): [third]}
    assert room.service.job(first).avoid == {"m1"}
    # Both machines, once the second has failed it as well; and none after a plain rerun, or on a copy.
    fail(room, first, "m2")
    room.service.rerun([first], elsewhere=True)
    assert room.service.job(first).avoid == {"m1", "m2"}
    room.service.kill([first])
    (copy,) = room.service.copy([first]).ids
    room.service.rerun([first])
    assert room.service.job(first).avoid == room.service.job(copy).avoid == frozenset()


def test_why_it_waits_says_that_all_machines_failed_it(room):
    (job,) = room.submit(1, limit_count=0)
    fail(room, job, "m1")
    room.service.rerun([job], elsewhere=True)
    ready = [MachineView(machine_id="m1", state=MachineState.READY)]
    room.service.put_machines(ready).result(10)
    because = room.service.waiting_because(job)
    assert because is not None
    assert (because.code, "m1" in because.text) == ("all_avoided", True)
    (row,) = room.service.waiting_lanes()
    assert (row.avoid, row.ready, row.backing_off, row.because.code) == ({"m1"}, 1, 0, "all_avoided")


# ------------------------------------------------------------------------------------------------- filters as they are


@pytest.mark.parametrize(
    "asked",
    [
        {"status": "failed,waiting", "job_type": "!a,b", "machine_id": "m1", "version": "1,2", "cleared": "1"},
        {"q": "b7", "since": "1700000000.5", "until": "1800000000"},
        {"tag": "", "batch": "中,x"},
    ],
)
def test_a_filter_survives_being_written_down(asked):
    chosen = filters.parse(asked)
    assert filters.load(filters.dump(chosen)) == chosen
    assert filters.parse(filters.words(chosen)) == chosen


def test_submissions_go_on_while_a_long_operation_runs(sqlite_room):
    """A chunk is one short transaction among others."""
    sqlite_room.submit(MANY)
    begun = sqlite_room.service.operations.begin(Action.COPY, ALL)
    bulk = Bulk(sqlite_room.service.operations)
    bulk.start()
    try:
        for _ in range(10):
            sqlite_room.service.submit(Submission(job_type="crawl", inputs=["{}"], batch="other"))
        until(lambda: sqlite_room.service.operations.one(begun.operation_id).ended_at, timeout_s=60)
    finally:
        bulk.stop()
    assert sqlite_room.service.total(JobFilter(batch="other")) == 10
