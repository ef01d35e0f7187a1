"""scheduler.plan: order, tags, room, versions. Pure, so nothing is faked."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from jobs.model import Candidate
from orchestrator.engine.feed import Appetite
from orchestrator.engine.scheduler import Head, Plan, Seat, Wanted, plan

READY = frozenset({("crawl", 3)})
KNOWN = {"crawl": Appetite(0.001, known=True)}


def seat(name: str, slots: int = 2, held: int = 0, **more: object) -> Seat:
    given: dict[str, object] = {"tags": frozenset[str](), "ready": READY, "held_s": 0.0, **more}
    return Seat(machine_id=name, slots=slots, held=held, **given)  # type: ignore[arg-type]


def head(*jobs: tuple[int, int], tag: str = "", lane_id: int = 1, job_type: str = "crawl", limit: int = 1) -> Head:
    return Head(lane_id, job_type, tag, [Candidate(job, -priority, limit) for job, priority in jobs])


def decide(
    heads: Sequence[Head], seats: Sequence[Seat], appetites: Mapping[str, Appetite] | None = None, limit: int = 1000
) -> Plan:
    known: defaultdict[str, Appetite] = defaultdict(Appetite, appetites or {})
    return plan(heads, seats, {"crawl": 3, "scan": 1}, known, limit)


def test_priority_first_then_oldest_across_lanes() -> None:
    first = head((7, 5), (2, 0))
    second = head((9, 9), (1, 0), lane_id=2)
    made = decide([first, second], [seat("a", slots=4)])
    assert [pick.job_id for pick in made.picks] == [9, 7, 1, 2]
    assert made.lanes == {1, 2}


def test_a_tag_goes_only_where_it_is_carried_and_no_tag_anywhere() -> None:
    made = decide(
        [head((1, 0), tag="gpu"), head((2, 0), (3, 0), lane_id=2)],
        [seat("plain", 1), seat("gpu", 2, tags=frozenset({"gpu", "big"}))],
    )
    assert {pick.job_id: pick.machine_id for pick in made.picks}[1] == "gpu"
    assert len(made.picks) == 3


def test_a_lane_goes_to_no_machine_it_avoids_and_holds_up_no_other() -> None:
    avoiding = replace(head((1, 9), (2, 9)), avoid=frozenset({"a"}))
    plain = head((3, 0), (4, 0), lane_id=2)
    picks = decide([avoiding, plain], [seat("a"), seat("b", slots=1)]).picks
    assert {(pick.job_id, pick.machine_id) for pick in picks} == {(1, "b"), (3, "a"), (4, "a")}
    assert decide([avoiding], [seat("a")]).picks == []


def test_a_lane_nobody_serves_does_not_stand_in_the_way() -> None:
    nobody = head(*[(number, 9) for number in range(1000)], tag="none")
    made = decide([nobody, head((5000, 0), lane_id=2)], [seat("a")])
    assert [pick.job_id for pick in made.picks] == [5000]
    assert made.lanes == {2}


def test_jobs_spread_by_how_full_machines_are() -> None:
    made = decide([head(*[(number, 0) for number in range(6)])], [seat("small", 2), seat("big", 4)])
    assert Counter(pick.machine_id for pick in made.picks) == {"small": 2, "big": 4}


def test_without_a_known_duration_only_free_slots_are_filled() -> None:
    made = decide([head(*[(number, 0) for number in range(50)])], [seat("a", 2), seat("b", 2, held=1)])
    assert len(made.picks) == 3


def test_short_jobs_are_sent_ahead_up_to_the_reach_and_long_ones_never() -> None:
    jobs = head(*[(number, 0) for number in range(5000)])
    short = decide([jobs], [seat("a", 2)], {"crawl": Appetite(0.01, known=True)}, limit=5000)
    assert len(short.picks) == 20  # 2 slots of 0.1 s of 10 ms jobs
    long = decide([jobs], [seat("a", 2)], {"crawl": Appetite(2.0, known=True)})
    assert len(long.picks) == 2


def test_no_machine_is_fed_ahead_with_more_than_its_share() -> None:
    jobs = head(*[(number, 0) for number in range(30)])
    on_its_way = [seat(name, 2, ready=frozenset(), coming=READY) for name in "bc"]
    assert len(decide([jobs], [seat("a", 2), *on_its_way], KNOWN).picks) == 10


def test_a_job_with_one_start_never_waits_on_a_machine() -> None:
    jobs = head(*[(number, 0) for number in range(10)], limit=0)
    assert len(decide([jobs], [seat("a", 2)], KNOWN).picks) == 2


def test_the_newest_version_is_taken_and_asked_for_where_it_is_missing() -> None:
    old = frozenset({("crawl", 2)})
    made = decide([head((1, 0))], [seat("a", ready=old)])
    assert made.picks == []
    assert made.wanted == [Wanted("a", "crawl", 3)]


def test_no_more_machines_are_prepared_than_the_jobs_left_over_can_use() -> None:
    bare = [seat(name, 2, ready=frozenset()) for name in "abcdef"]
    assert len(decide([head((1, 0), (2, 0), (3, 0))], bare).wanted) == 2


def test_what_is_on_its_way_counts_and_what_just_failed_is_left_alone() -> None:
    coming = seat("a", 2, ready=frozenset(), coming=READY)
    failed = seat("b", 2, ready=frozenset(), failed=READY)
    other = seat("c", 2, ready=frozenset())
    assert decide([head((1, 0), (2, 0))], [coming, failed, other]).wanted == []
    made = decide([head((1, 0), (2, 0), (3, 0))], [coming, failed, other])
    assert made.wanted == [Wanted("c", "crawl", 3)]


def test_the_limit_bounds_a_plan() -> None:
    made = decide([head(*[(number, 0) for number in range(100)])], [seat("a", 100)], limit=10)
    assert len(made.picks) == 10


def test_an_unknown_type_is_left_waiting() -> None:
    made = decide([head((1, 0), job_type="gone")], [seat("a")])
    assert made == Plan([], set(), [])
