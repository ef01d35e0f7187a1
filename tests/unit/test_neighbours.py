"""neighbours.risen: what the engine is told of lanes that another process may have written to."""

from jobs.model import Candidate, Lane
from jobs.submitting import PRIORITY_LIMIT
from orchestrator.engine.backlog import Backlog
from orchestrator.neighbours import risen


def test_a_lane_is_told_as_it_is_only_when_its_best_has_risen() -> None:
    assert risen({}, {1: 0, 2: -5}) == {1: 0, 2: -5}
    assert risen({1: 0, 2: 3, 3: 3}, {1: 7, 2: 3, 3: 1}) == {1: 7, 2: -PRIORITY_LIMIT, 3: -PRIORITY_LIMIT}


def test_a_lane_of_several_priorities_is_not_read_anew_at_each_look() -> None:
    reads = []

    def heads(lanes: object, limit: int) -> dict[int, list[Candidate]]:
        reads.append(lanes)
        return {1: [Candidate(number, -(number % 5), 1) for number in sorted(range(limit), key=lambda n: -(n % 5))]}

    found = Backlog(lambda: [Lane(1, "crawl", "")], heads)

    def look(before: dict[int, int], best: dict[int, int]) -> int:
        found.submitted({lane: -priority for lane, priority in risen(before, best).items()})
        found.heads(lambda _type, _tag: True)
        return len(reads)

    assert look({}, {1: 4}) == 1
    assert look({1: 4}, {1: 4}) == 1
    assert look({1: 4}, {1: 6}) == 2
