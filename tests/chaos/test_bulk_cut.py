"""A bulk operation that a kill -9 cuts goes on in the server's next life: no job left out, none done twice."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from multijob import Busy, Client, Unreachable
from tests.chaos.dying_server import AFTER, BEFORE
from tests.chaos.world import DyingServer
from tests.support import wait

pytestmark = pytest.mark.timeout(600)

#: Chunks are of 500.
JOBS = 1600
MAIN = "def work(n):\n    return n\n"


class Cut:
    """A server without machines, whose jobs wait, and that can be told to die."""

    def __init__(self, folder: Path) -> None:
        self.dying = folder / "dying"
        self.dying.mkdir()
        self.server = DyingServer(folder / "home", "machines: {}\n")
        self.server.start()
        self.server.job("wait", main=MAIN)
        client = self.client()
        client.register("wait")
        client.submit_many("wait", range(JOBS), batch="all")

    def client(self) -> Client:
        return self.server.client()

    def cut(self, action: str, plan: dict[str, int]) -> None:
        """Begin an action on all jobs; the server dies in it, and is started again."""
        (self.dying / "plan").write_text(json.dumps(plan))
        body = {"action": action, "filter": {"batch": "all"}, "wait_s": 20}
        with pytest.raises((Unreachable, Busy)):
            self.client().call("POST", "/api/v1/jobs/bulk", json_body=body, repeatable=False)
        wait.until(lambda: not self.server.is_alive, what="the server's end")
        (self.dying / "plan").unlink()
        [event] = plan
        assert f"died {event}" in (self.dying / "evidence").read_text().splitlines()
        self.server.stand_up()

    def ended(self) -> dict[str, object]:
        """The operation, when it is over."""
        client = self.client()

        def look() -> dict[str, object] | None:
            [one] = client.call("GET", "/api/v1/operations")["operations"]
            return one if one["state"] != "running" else None

        return wait.until(look, what="the operation's end", timeout_s=240, pause_s=0.1) or {}

    def statuses(self) -> dict[int, int]:
        return {one.id: one.status for one in self.client().jobs(size=1000)}


@pytest.fixture
def cut(tmp_path: Path) -> Iterator[Cut]:
    made = Cut(tmp_path)
    yield made
    made.server.stop()


@pytest.mark.parametrize("event", [f"begin {AFTER}", f"step {BEFORE}", f"step {AFTER}"])
def test_copies_are_made_once_each(cut: Cut, event: str) -> None:
    cut.cut("copy", {event: 1 if event.startswith("begin") else 2})
    done = cut.ended()
    assert (done["state"], done["matched"], done["changed"]) == ("done", JOBS, JOBS)
    assert len(cut.statuses()) == 2 * JOBS


def test_all_are_killed(cut: Cut) -> None:
    cut.cut("kill", {f"step {AFTER}": 3})
    done = cut.ended()
    assert (done["state"], done["changed"]) == ("done", JOBS)
    assert set(cut.statuses().values()) == {-1}


def test_what_was_not_begun_is_not_done(cut: Cut) -> None:
    cut.cut("delete", {f"begin {BEFORE}": 1})
    assert cut.client().call("GET", "/api/v1/operations")["operations"] == []
    assert len(cut.statuses()) == JOBS
