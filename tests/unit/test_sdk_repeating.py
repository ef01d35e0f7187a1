"""Answers that get lost after the server has committed: what is repeated is stored once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from MultiJob import MultiJob
from multijob import Busy, Client, Conflict, Unreachable, call
from multijob.retrying import PAUSE_LIMIT_S, Patience
from orchestrator.bulk import Bulk
from tests.support.cutting_proxy import CuttingProxy, Lose
from tests.support.store_kit import Room, a_room
from web.accounts import Accounts
from web.app import create_app
from web.serve import Listener

DAY_S = 24 * 3600.0
JOBS = "/api/v1/jobs"

Through = Callable[[Lose], AbstractContextManager[CuttingProxy]]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    (tmp_path / "home").mkdir()
    with a_room(tmp_path / "home") as made:
        made.job_type("crawl")
        bulk = Bulk(made.service.operations)  # what is not done at once on a busy computer
        bulk.start()
        yield made
        bulk.stop()


@pytest.fixture
def token(room: Room) -> str:
    return room.service.create_token("sdk", ["admin"])


@pytest.fixture
def through(room: Room) -> Iterator[Through]:
    """A proxy before the room's own server."""
    listener = Listener(create_app(room.service, Accounts(room.service, b"s")), "127.0.0.1", 0, 4)
    listener.start()
    yield lambda lose: CuttingProxy(listener.port, lose)
    listener.stop()


def first_of(path: str) -> Lose:
    """Lose the first answer of this path."""
    return lambda _, asked, count: asked == path and count == 1


def args_of(client: Client) -> list[object]:
    return [client.job(job.id).input["args"][0] for job in client.jobs(sort="id")]


def count_of(room: Room) -> int:
    return len(room.service.jobs(size=1000).jobs)


def test_an_insert_whose_answer_is_lost_is_repeated_and_stored_once(room: Room, token: str, through: Through) -> None:
    with through(first_of(JOBS)) as proxy, Client(proxy.url, token) as client:
        assert client.insert("crawl", 1) == 1
        assert proxy.lost == 1
    assert count_of(room) == 1


def test_the_same_call_the_next_day_inserts_nothing_twice(room: Room, token: str, through: Through) -> None:
    def lose_the_third(method: str, path: str, count: int) -> bool:
        return path == JOBS and count == 3

    with through(lose_the_third) as proxy, Client(proxy.url, token, retry_s=0) as client:
        with pytest.raises(Unreachable) as caught:
            client.submit_many("crawl", range(10), chunk=2, key="Monday, 星期一")
        assert caught.value.key == "Monday, 星期一"
        assert "key='Monday, 星期一'" in str(caught.value)
        assert caught.value.submitted is not None
        assert list(caught.value.submitted) == [1, 2, 3, 4]
    assert count_of(room) == 6, "the third chunk was stored, though nobody heard of it"

    room.clock.forward(DAY_S)
    room.service.housekeeping()
    with through(lambda *_: False) as proxy, Client(proxy.url, token) as another:
        jobs = another.submit_many("crawl", iter(range(10)), chunk=2, key="Monday, 星期一")
        assert list(jobs) == list(range(1, 11))
        assert count_of(room) == 10
        assert args_of(another) == list(range(10))
        assert list(another.submit_many("crawl", range(10), chunk=2, key="Monday, 星期一")) == list(jobs)
        with pytest.raises(Conflict):
            another.submit_many("crawl", range(11, 21), chunk=2, key="Monday, 星期一")
        assert len(another.submit_many("crawl", range(10), chunk=2, key="Tuesday")) == 10


def test_the_key_of_a_failure_finishes_what_it_began(room: Room, token: str, through: Through) -> None:
    with through(first_of(JOBS)) as proxy, Client(proxy.url, token, retry_s=0) as client:
        with pytest.raises(Unreachable) as caught:
            client.insert("crawl", 5, a="b")
        again = client.submit_many("crawl", [call(5, a="b")], key=caught.value.key)
        assert list(again) == [1]
    assert count_of(room) == 1


def test_multi_jobs_insert_after_minus_one_is_the_same_job(room: Room, token: str, through: Through) -> None:
    with through(first_of(JOBS)) as proxy:
        client = MultiJob(proxy.url, token=token)
        client.client = Client(proxy.url, token, retry_s=0)
        assert client.insert_job("crawl", 1, x=2) == -1
        assert client.insert_job("crawl", 1, x=2) == 1
        assert count_of(room) == 1
        assert client.insert_job("crawl", 1, x=2) == 2, "said again after an answer it is another job"


@pytest.mark.parametrize("action", ["copy", "rerun"])
def test_what_would_count_twice_is_not_repeated(room: Room, token: str, through: Through, action: str) -> None:
    with through(first_of(f"{JOBS}/bulk")) as proxy, Client(proxy.url, token) as client:
        job_id = client.insert("crawl")
        with pytest.raises(Unreachable, match="may have been done") as caught:
            client.act(action, job_id)
        assert caught.value.arrived
    assert count_of(room) == (2 if action == "copy" else 1)


def test_a_kill_is_repeated(room: Room, token: str, through: Through) -> None:
    with through(first_of(f"{JOBS}/bulk")) as proxy, Client(proxy.url, token) as client:
        client.kill(client.insert("crawl"))
        assert proxy.lost == 1
    assert room.status(1) == -1


AWAY, CUT = Unreachable("away", arrived=False), Unreachable("cut")
LATER, FULL = (Busy("later", status=status, retry_after_s=0) for status in (429, 503))


@pytest.mark.parametrize(("error", "again"), [(AWAY, True), (CUT, False), (LATER, True), (FULL, False)])
def test_what_counts_twice_is_asked_again_only_where_nothing_was_done(error: Unreachable | Busy, again: bool) -> None:
    assert (Patience(60, repeatable=False).pause_after(error) is not None) == again
    assert Patience(60, repeatable=True).pause_after(error) is not None
    assert Patience(0, repeatable=True).pause_after(error) is None


def test_pauses_grow_up_to_a_limit_and_heed_the_server() -> None:
    patience = Patience(3600, repeatable=True)
    pauses = [patience.pause_after(CUT) or 0 for _ in range(12)]
    assert pauses[0] < 0.3
    assert max(pauses) < PAUSE_LIMIT_S * 1.3
    assert sum(pauses[6:]) > sum(pauses[:6])
    assert (patience.pause_after(Busy("later", status=503, retry_after_s=60)) or 0) > 40
