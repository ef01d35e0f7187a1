"""Submitting: whole or not at all, safe to repeat, wrong values named; lanes, claims, pages (G1, G2, B8 to B10)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobs.errors import Conflict, InvalidInput, NotFound, UnknownJobType
from jobs.model import Candidate, JobFilter, Lane, MachineState, MachineView, Submission, WaitCode
from jobs.service import JobService
from jobs.status import Status
from tests.support.store_kit import Room, a_room, failed, ok


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as room:
        room.job_type()
        yield room


def submission(**more: Any) -> Submission:
    return Submission(**{"job_type": "crawl", "inputs": ['{"args": [1], "kwargs": {"a": "é"}}'], **more})


def test_ids_are_contiguous_and_the_batch_is_today_in_the_servers_time_zone(room: Room) -> None:
    room.clock.now = 1_700_000_000.0  # 2023-11-14 22:13 UTC
    service = JobService(room.store, room.home, room.home, room.clock, ZoneInfo("Asia/Shanghai"))
    done = service.submit(submission(inputs=["{}"] * 5))
    assert (done.first_id, done.count) == (1, 5)
    assert {one.batch for one in service.jobs().jobs} == {"2023-11-15"}


def test_the_input_is_kept_as_it_was_given(room: Room) -> None:
    text = '{ "kwargs":{"x": 1.50, "y": "\\u00e9"},"args":[ ] }'
    done = room.service.submit(submission(inputs=[text]))
    assert room.service.job(done.first_id).input == text
    assert room.claim(done.first_id)[0].input == text


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"job_type": "../x"}, "job_type"),
        ({"job_type": 5}, "job_type"),
        ({"batch": "a,b"}, "batch"),
        ({"batch": "x" * 65}, "batch"),
        ({"batch": None}, "batch"),
        ({"tag": "a\nb"}, "tag"),
        ({"tag": "a，b"}, "tag"),
        ({"tag": "\ud800"}, "tag"),
        ({"priority": 2**31}, "priority"),
        ({"priority": 1.0}, "priority"),
        ({"priority": True}, "priority"),
        ({"limit_count": -1}, "limit_count"),
        ({"limit_count": "1"}, "limit_count"),
        ({"inputs": []}, "inputs"),
        ({"inputs": ["{}", "{"]}, "inputs[1]"),
        ({"inputs": ["[]"]}, "inputs[0]"),
        ({"inputs": ["{}", "{}", '{"arg": []}']}, "inputs[2]"),
        ({"inputs": ['{"args": {}}']}, "inputs[0].args"),
        ({"inputs": ['{"kwargs": []}']}, "inputs[0].kwargs"),
        ({"inputs": ['{"args": [NaN]}']}, "inputs[0]"),
        ({"inputs": ['{"args": [1e999, "\\ud800"]}']}, "inputs[0]"),
        ({"inputs": ['{"args": ["\ud800"]}']}, "inputs[0]"),
        ({"inputs": [5]}, "inputs[0]"),
        ({"inputs": ["[" * 100_000]}, "inputs[0]"),
        ({"inputs": ['{"args": ["' + "x" * 16_777_216 + '"]}']}, "inputs[0]"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_stored(room: Room, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        room.service.submit(submission(**wrong))
    assert caught.value.field == field
    assert room.service.jobs().jobs == []
    assert room.service.summary() == []


def test_an_unknown_job_type_is_told_with_its_remedy(room: Room) -> None:
    with pytest.raises(UnknownJobType, match="publish or register"):
        room.service.submit(submission(job_type="nobody"))


# ---------------------------------------------------------------------------------------------------------- repeating


def test_the_same_key_and_body_give_the_same_answer(room: Room) -> None:
    first = room.service.submit(submission(inputs=["{}"] * 3), key="k")
    room.clock.forward(24 * 3600)  # "today" is another day now, the body is not
    assert room.service.submit(submission(inputs=["{}"] * 3), key="k") == first
    assert len(room.service.jobs().jobs) == 3


@pytest.mark.parametrize(
    "other", [{"inputs": ["{}", "{}"]}, {"priority": 1}, {"batch": "b"}, {"tag": "t"}, {"limit_count": 5}]
)
def test_the_same_key_with_another_body_is_refused(room: Room, other: dict[str, Any]) -> None:
    room.service.submit(submission(), key="k")
    with pytest.raises(Conflict, match="take a new key"):
        room.service.submit(submission(**other), key="k")
    assert len(room.service.jobs().jobs) == 1


def test_keys_are_kept_seven_days(room: Room) -> None:
    first = room.service.submit(submission(), key="k")
    room.clock.forward(7 * 24 * 3600 - 1)
    room.service.housekeeping()
    assert room.service.submit(submission(), key="k") == first
    room.clock.forward(2)
    room.service.housekeeping()
    assert room.service.submit(submission(), key="k").first_id == first.first_id + 1


@pytest.mark.parametrize("key", ["", "x" * 129, "é", "a\nb", 5])
def test_a_key_that_cannot_be_kept_is_refused(room: Room, key: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        room.service.submit(submission(), key=key)
    assert caught.value.field == "Idempotency-Key"


# -------------------------------------------------------------------------------------------------- lanes and order


def test_lanes_are_type_and_tag_and_only_busy_ones_show(room: Room) -> None:
    room.job_type("shop")
    room.submit(tag="gpu")
    room.submit()
    (job,) = room.submit(job_type="shop")
    assert room.service.lanes() == [Lane(1, "crawl", "gpu"), Lane(2, "crawl", ""), Lane(3, "shop", "")]
    room.claim(job)
    assert room.service.lanes() == [Lane(1, "crawl", "gpu"), Lane(2, "crawl", "")]


def test_the_head_goes_by_priority_and_then_by_age(room: Room) -> None:
    low, high, old = *room.submit(priority=-5), *room.submit(priority=7, limit_count=3), *room.submit()
    young = room.submit()[0]
    heads = room.service.heads(None, 10)
    assert [one.job_id for one in heads[1]] == [high, old, young, low]
    assert room.service.heads([1, 99], 1) == {1: [Candidate(high, -7, 3)], 99: []}


def test_the_head_is_read_from_the_index_alone(room: Room) -> None:
    plan = room.sql(
        "EXPLAIN QUERY PLAN SELECT id, rank, limit_count FROM jobs WHERE queued_lane = 1 ORDER BY rank, id LIMIT 9"
    )
    assert "USING COVERING INDEX jobs_queue" in plan[0][3]
    assert len(plan) == 1


def test_a_job_is_claimed_by_one_only(room: Room) -> None:
    jobs = room.submit(3)
    assert [one.job_id for one in room.claim(*jobs[:2], machine="m1")] == jobs[:2]
    assert [one.job_id for one in room.claim(*jobs, 999, machine="m2")] == jobs[2:]
    assert {one.job_id: one.machine_id for one in room.service.open_attempts()} == {
        jobs[0]: "m1",
        jobs[1]: "m1",
        jobs[2]: "m2",
    }


def test_a_claim_records_machine_and_version(room: Room) -> None:
    (job,) = room.submit(limit_count=4)
    (claimed,) = room.claim(job, machine="m7", version=3)
    assert (claimed.attempt, claimed.machine_id, claimed.version, claimed.limit_count) == (1, "m7", 3, 4)
    found = room.service.job(job).job
    assert (found.status, found.starts, found.version, found.claimed_at) == (Status.RUNNING, 1, 3, room.clock.now)


def test_lanes_that_get_work_are_told_with_their_highest_priority(room: Room) -> None:
    told: list[dict[int, int]] = []
    room.service.on_submitted = lambda lanes: told.append(dict(lanes))
    jobs = [*room.submit(priority=3), *room.submit(priority=9)]
    room.service.copy(jobs)
    room.service.kill(jobs)
    room.service.rerun(jobs)
    assert told == [{1: 3}, {1: 9}, {1: 9}, {1: 9}]


# ------------------------------------------------------------------------------------------------------------- looking


def test_pages_go_by_id_newest_first(room: Room) -> None:
    room.submit(25)
    seen: list[int] = []
    after = None
    while True:
        page = room.service.jobs(size=10, after=after)
        seen += [one.job_id for one in page.jobs]
        after = page.after
        if after is None:
            break
    assert seen == list(range(25, 0, -1))


def test_filters_hold_together(room: Room) -> None:
    jobs = room.submit(6, batch="b", tag="t")
    others = room.submit(2, batch="c")
    room.claim(*jobs[:3], machine="m1")
    room.claim(others[0], machine="m2")
    room.report(("end", jobs[0], 1, failed("bad_result")))

    def found(**chosen: Any) -> list[int]:
        return sorted(one.job_id for one in room.service.jobs(JobFilter(**chosen)).jobs)

    assert found(batch="b", status=frozenset({Status.RUNNING})) == jobs[1:3]
    assert found(machine_id="m2") == [others[0]]
    assert found(status=frozenset({Status.FAILED, Status.RETURN_FAILED})) == [jobs[0]]
    assert found(tag="t", ids=[jobs[4], others[1]]) == [jobs[4]]
    assert found(job_type="nobody") == []


def test_actions_take_a_filter_and_refuse_an_empty_one(room: Room) -> None:
    room.submit(1200, batch="big")
    kept = room.submit(2, batch="small")
    assert room.service.kill(JobFilter(batch="big")).changed == 1200
    assert room.service.rerun(JobFilter(batch="big", status=frozenset({Status.FAILED}))).changed == 1200
    assert room.service.delete(JobFilter(batch="big")).changed == 1200
    assert sorted(one.job_id for one in room.service.jobs().jobs) == kept
    for act in (room.service.kill, room.service.rerun, room.service.copy, room.service.delete, room.service.clear):
        with pytest.raises(InvalidInput, match="at least one condition"):
            act(JobFilter())
    assert room.service.kill([]).matched == 0


def test_clear_empties_results_and_keeps_the_job(room: Room) -> None:
    done, waiting = room.submit(2)
    room.claim(done)
    room.report(("end", done, 1, ok("big")))
    assert room.service.clear([done, waiting]).skipped == {"waiting": 1}
    assert room.service.job(done).job.cleared
    assert room.service.results(0).rows[0].result is None
    assert room.report(("end", done, 1, ok("big"))).stored == 2


def test_what_is_not_there_is_told(room: Room) -> None:
    for ask in (room.service.job, room.service.attempts, room.service.waiting_because):
        with pytest.raises(NotFound, match="no job 77"):
            ask(77)
    (job,) = room.submit()
    assert room.service.attempts(job) == []
    with pytest.raises(NotFound, match="no ended attempt 1"):
        room.service.attempt(job, 1)


@pytest.mark.parametrize(("size", "after"), [(0, None), (1001, None), ("5", None), (5, -1), (5, "x")])
def test_page_bounds(room: Room, size: Any, after: Any) -> None:
    with pytest.raises(InvalidInput):
        room.service.jobs(size=size, after=after)


# ------------------------------------------------------------------------------------------------------- why it waits


def a_machine(name: str, state: MachineState = MachineState.READY, **more: Any) -> MachineView:
    return MachineView(machine_id=name, state=state, **more)


def test_why_a_job_waits(room: Room) -> None:
    (job,) = room.submit(tag="gpu", limit_count=1)

    def code(*machines: MachineView) -> WaitCode:
        room.service.drop_machines([one.machine_id for one in room.service.machines()])
        room.service.put_machines(machines).result()
        because = room.service.waiting_because(job)
        assert because is not None
        assert because.text
        return because.code

    gpu = frozenset({"gpu"})
    assert code() == WaitCode.NO_MACHINES
    assert code(a_machine("a")) == WaitCode.NO_TAG
    assert code(a_machine("a", MachineState.PAUSED, tags=gpu)) == WaitCode.ALL_PAUSED
    assert code(a_machine("a", MachineState.UNREACHABLE, tags=gpu)) == WaitCode.ALL_UNREACHABLE
    assert code(a_machine("a", MachineState.UNFIT, tags=gpu, text="no Python")) == WaitCode.ALL_UNFIT
    assert code(a_machine("a", tags=gpu, running=1)) == WaitCode.ALL_FULL
    assert code(a_machine("a", tags=gpu), a_machine("b")) == WaitCode.NEXT
    room.sql("UPDATE versions SET forgotten_at = 1")
    assert code(a_machine("a", tags=gpu)) == WaitCode.NO_VERSION
    room.claim(job)
    assert room.service.waiting_because(job) is None
    room.report(("end", job, 1, failed()))
    because = room.service.waiting_because(job)
    assert because is not None
    assert because.code == WaitCode.BACKING_OFF


def test_the_inputs_of_a_thousand_jobs_are_not_mixed_up(room: Room) -> None:
    jobs = room.submit(1000)
    inputs = {one.job_id: json.loads(one.input)["args"] for one in room.claim(*reversed(jobs))}
    assert inputs == {job: [n] for n, job in enumerate(jobs)}


def test_a_job_for_one_machine_goes_to_no_other(room: Room) -> None:
    with pytest.raises(InvalidInput, match="no machine m1"):
        room.service.submit(submission(machine_id="m1"))
    room.service.put_machines([MachineView(machine_id=name, state=MachineState.READY) for name in "abc"]).result(10)
    done = room.service.submit(submission(machine_id="b"), key="k")
    assert room.service.job(done.first_id).avoid == {"a", "c"}
    (lane,) = room.service.lanes()
    assert lane.avoid == {"a", "c"}
    assert room.service.submit(submission(machine_id="b"), key="k") == done
    with pytest.raises(Conflict):
        room.service.submit(submission(machine_id="a"), key="k")
    tagged = room.service.submit(submission(machine_id="b", tag="gpu"))
    because = room.service.job(tagged.first_id).waiting
    assert because is not None
    assert because.code == WaitCode.NO_TAG
