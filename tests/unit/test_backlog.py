"""backlog.Backlog against a queue of the simplest kind."""

from collections.abc import Mapping, Sequence

from jobs.model import Candidate, Lane
from orchestrator.engine import backlog
from orchestrator.engine.backlog import Backlog
from orchestrator.engine.beat import PICKS_PER_BEAT


class Queue:
    """Waiting jobs by lane, and how often a lane was read."""

    def __init__(self) -> None:
        self.jobs: dict[int, list[Candidate]] = {}
        self.reads: list[int] = []

    def add(self, lane: int, *jobs: tuple[int, int]) -> Mapping[int, int]:
        new = [Candidate(job, -priority, 1) for job, priority in jobs]
        self.jobs.setdefault(lane, []).extend(new)
        return {lane: min(job.rank for job in new)}

    def lanes(self) -> list[Lane]:
        return [Lane(lane, "crawl", "gpu" if lane == 2 else "") for lane in self.jobs]

    def heads(self, lanes: Sequence[int], limit: int) -> dict[int, Sequence[Candidate]]:
        self.reads += lanes
        return {lane: sorted(self.jobs[lane], key=lambda job: (job.rank, job.job_id))[:limit] for lane in lanes}


def everything(_type: str, _tag: str) -> bool:
    return True


def ids(found: Backlog) -> list[int]:
    return [job.job_id for head in found.heads(everything) for job in head.jobs]


def test_it_shows_what_waited_at_start() -> None:
    queue = Queue()
    queue.add(1, (1, 0), (2, 5))
    found = Backlog(queue.lanes, queue.heads)
    assert ids(found) == [2, 1]


def test_a_lane_nobody_serves_is_never_read() -> None:
    queue = Queue()
    queue.add(2, (1, 0))
    found = Backlog(queue.lanes, queue.heads)
    assert found.heads(lambda _type, tag: tag == "") == []
    assert queue.reads == []


def test_a_new_lane_is_found_when_something_is_submitted() -> None:
    queue = Queue()
    found = Backlog(queue.lanes, queue.heads)
    found.submitted(queue.add(1, (1, 0)))
    assert ids(found) == [1]


def test_a_higher_priority_comes_first_at_once() -> None:
    queue = Queue()
    queue.add(1, *[(number, 0) for number in range(backlog.WINDOW + 10)])
    found = Backlog(queue.lanes, queue.heads)
    assert ids(found)[0] == 0
    found.submitted(queue.add(1, (99999, 7)))
    assert ids(found)[0] == 99999


def test_more_of_the_same_rank_is_not_read_before_it_is_needed() -> None:
    queue = Queue()
    queue.add(1, *[(number, 0) for number in range(backlog.WINDOW + 10)])
    found = Backlog(queue.lanes, queue.heads)
    ids(found)
    found.submitted(queue.add(1, (99999, 0)))
    ids(found)
    assert queue.reads == [1]


def test_taken_jobs_leave_and_the_window_is_refilled_when_low() -> None:
    queue = Queue()
    queue.add(1, *[(number, 0) for number in range(backlog.WINDOW + 10)])
    found = Backlog(queue.lanes, queue.heads)
    first = ids(found)
    gone = set(first[: backlog.WINDOW - 5])
    queue.jobs[1] = [job for job in queue.jobs[1] if job.job_id not in gone]
    found.taken([1], gone)
    assert len(ids(found)) == 15
    assert queue.reads == [1, 1]


def test_many_lanes_share_the_room_and_each_keeps_enough_for_a_beat() -> None:
    queue = Queue()
    lanes = 60
    for lane in range(1, lanes + 1):
        queue.add(lane, *[(lane * 10_000 + number, 0) for number in range(backlog.LEAST + 10)])
    found = Backlog(queue.lanes, queue.heads)
    heads = [head for head in found.heads(everything) if head.lane_id != 2]
    assert {len(head.jobs) for head in heads} == {backlog.LEAST}
    queue.reads.clear()
    left = backlog.LEAST_LEFT
    found.taken([1], [job.job_id for job in heads[0].jobs[:-left]])
    found.heads(everything)
    assert queue.reads == []
    found.taken([1], [heads[0].jobs[-1].job_id])
    found.heads(everything)
    assert queue.reads == [1]
    assert found.reach == backlog.LEAST_LEFT


def test_a_beat_may_pick_all_it_wants_where_there_are_few_lanes() -> None:
    queue = Queue()
    queue.add(1, *[(number, 0) for number in range(backlog.WINDOW + 10)])
    found = Backlog(queue.lanes, queue.heads)
    [head] = found.heads(everything)
    assert found.reach >= PICKS_PER_BEAT
    queue.reads.clear()
    found.taken([1], [job.job_id for job in head.jobs[: -found.reach]])
    [head] = found.heads(everything)
    assert (len(head.jobs), queue.reads) == (found.reach, [])


def test_it_is_known_to_be_empty_until_something_may_wait() -> None:
    queue = Queue()
    found = Backlog(queue.lanes, queue.heads)
    assert not found.is_empty()
    ids(found)
    assert found.is_empty()
    found.submitted(queue.add(1, (1, 0)))
    assert not found.is_empty()
    assert ids(found) == [1]
    assert not found.is_empty()
    queue.jobs[1].clear()
    found.taken([1], [1])
    assert found.is_empty()
    found.look_again()
    assert not found.is_empty()


def test_what_nobody_can_serve_now_waits_too() -> None:
    queue = Queue()
    queue.add(2, (1, 0))
    found = Backlog(queue.lanes, queue.heads)
    assert found.heads(lambda _type, tag: tag == "") == []
    assert not found.is_empty()
