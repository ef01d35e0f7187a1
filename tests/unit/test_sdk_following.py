"""Following a job's output from the client: attempt by attempt, what is left out is told, nothing comes twice."""

from typing import Any

import pytest

from multijob import NotFound, following
from multijob.following import BEHIND_BYTES, RESUME_BYTES, follow


class Server:
    """Attempts by number: what each printed, by looks; the last look of one is its end. None: it never began."""

    def __init__(self, attempts: dict[int, list[str] | None], status: int = 3) -> None:
        self.attempts = attempts
        self.status = status
        self.looks = dict.fromkeys(attempts, 0)
        self.asked: list[dict[str, Any]] = []

    def jobs_page(self, **_: Any) -> dict[str, Any]:
        return {"jobs": [{"id": 1, "attempt": max(self.attempts, default=0), "status": self.status}]}

    def log(self, _job: int, *, attempt: int, stream: str, offset: int, wait_s: float) -> dict[str, Any]:
        self.asked.append({"attempt": attempt, "stream": stream, "offset": offset, "wait_s": wait_s})
        looks = self.attempts[attempt]
        if looks is None:
            raise NotFound("no such attempt", remedy="")
        self.looks[attempt] += 1
        seen = "".join(looks[: self.looks[attempt]])
        running = self.looks[attempt] < len(looks)
        return {
            "running": running, "live": running, "text": seen[offset:], "left_out": 0,
            "next_offset": len(seen), "total": len(seen),
        }  # fmt: skip


def test_all_attempts_in_turn_each_byte_once():
    server = Server({1: ["a\n", "b\n", ""], 2: None, 3: ["c\n"]})
    parts = list(follow(server, 1, None, ["stdout"]))
    assert [(part.attempt, part.text, part.left_out) for part in parts] == [(1, "a\n", 0), (1, "b\n", 0), (3, "c\n", 0)]


def test_one_attempt_ends_where_that_ends():
    server = Server({1: ["a\n"], 2: ["b\n"]})
    assert [part.text for part in follow(server, 1, 2, ["stdout"])] == ["b\n"]


def test_both_streams_are_looked_at_in_turn_and_neither_waits_long():
    server = Server({1: ["", "", "x", ""]})
    parts = list(follow(server, 1, None, ["stdout", "stderr"]))
    assert {part.stream for part in parts} <= {"stdout", "stderr"}
    assert {one["wait_s"] for one in server.asked if one["stream"] == "stdout"} <= {0.0, following.WAIT_OF_TWO_S}
    assert Server({1: ["", ""]}).status == 3


def test_whoever_is_far_behind_goes_on_near_the_end_and_is_told():
    total = BEHIND_BYTES * 20
    asked: list[int] = []

    class Flood(Server):
        def log(self, _job: int, *, offset: int, **_: Any) -> dict[str, Any]:
            asked.append(offset)
            running = len(asked) < 3
            text = "x" * 100
            if not running:
                text = "x" * (total - offset)
            return {"running": running, "live": True, "text": text, "left_out": 7 if len(asked) == 2 else 0,
                    "next_offset": offset + len(text), "total": total}  # fmt: skip

    parts = list(follow(Flood({1: [""]}), 1, None, ["stdout"]))
    assert asked[1] == total - RESUME_BYTES
    skipped = total - RESUME_BYTES - 100
    assert [part.left_out for part in parts] == [skipped, 7, 0]


def test_a_job_that_is_not_there():
    class Empty(Server):
        def jobs_page(self, **_: Any) -> dict[str, Any]:
            return {"jobs": []}

    with pytest.raises(NotFound):
        list(follow(Empty({}), 1, None, ["stdout"]))
