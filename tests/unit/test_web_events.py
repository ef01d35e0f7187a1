"""The stream of events over real sockets: numbers, resuming, signs of life, limits, and nothing left behind."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.store_kit import Room, a_room
from tests.support.wait import until
from web.accounts import Accounts
from web.api import events
from web.app import WebOptions, create_app
from web.serve import Listener


class Message(NamedTuple):
    kind: str
    number: int | None
    facts: dict


class Page:
    """One open stream, read line by line as it comes."""

    def __init__(self, port: int, path: str = "", **headers: str) -> None:
        self.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.conn.request("GET", f"/api/v1/events{path}", headers=headers)
        self.response = self.conn.getresponse()

    def message(self) -> Message:
        """The next one that is not a comment."""
        while True:
            lines = self.block()
            if any(line.startswith("event:") for line in lines):
                break
        fields = dict(line.split(": ", 1) for line in lines)
        number = int(fields["id"]) if "id" in fields else None
        return Message(fields["event"], number, json.loads(fields["data"]))

    def block(self) -> list[str]:
        lines = []
        while (line := self.response.readline().decode()) != "\n":
            assert line, "the stream has ended"
            lines.append(line.rstrip("\n"))
        return lines

    def close(self) -> None:
        self.response.close()
        self.conn.close()


class House:
    """A real listener in front of a real store."""

    def __init__(self, room: Room, **options: object) -> None:
        self.room = room
        self.options = WebOptions(**{"keep_alive_s": 0.2, "waiting_requests": 4} | options)
        accounts = Accounts(room.service, b"secret")
        app = create_app(room.service, accounts, self.options)
        self.listener = Listener(app, "127.0.0.1", 0, 8, stopping=self.options.stopping)
        self.listener.start()
        self.token = room.service.create_token("tester", ["admin"])
        self.pages: list[Page] = []

    def open(self, path: str = "", **headers: str) -> Page:
        page = Page(self.listener.port, path, **{"Authorization": f"Bearer {self.token}"} | headers)
        self.pages.append(page)
        return page

    def close(self) -> None:
        for page in self.pages:
            page.close()
        self.listener.stop()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with a_room(tmp_path) as room:
        room.job_type()
        house = House(room)
        try:
            yield house
        finally:
            house.close()


def test_what_changes_is_told_with_its_number(house):
    page = house.open()
    assert page.response.getheader("Content-Type") == "text/event-stream"
    hello = page.message()
    assert (hello.kind, hello.facts) == ("hello", {"fresh": True})
    house.room.submit(3)
    told = page.message()
    assert told.kind == "jobs"
    assert told.facts["jobs"]["waiting"] == 3
    assert told.number > hello.number


def test_who_comes_back_misses_nothing(house):
    first = house.open()
    seen = first.message().number
    first.close()
    (job,) = house.room.submit()
    house.room.claim(job)
    house.room.job_type("other")
    page = house.open(**{"Last-Event-ID": str(seen)})
    assert page.message().facts == {"fresh": False}
    jobs, types = page.message(), page.message()
    assert (jobs.kind, jobs.number, jobs.facts["jobs"]["running"]) == ("jobs", None, 1)
    assert (types.kind, types.facts["subjects"]) == ("job_type", ["other"])
    assert types.number == house.room.service.happenings.newest()


@pytest.mark.parametrize("sent", ["999999999", "-5", "x", "9" * 40, "1; DROP TABLE jobs"])
def test_a_number_that_cannot_be_ours_begins_afresh(house, sent):
    hello = house.open(**{"Last-Event-ID": sent}).message()
    assert (hello.number, hello.facts["fresh"]) == (house.room.service.happenings.newest(), True)


def test_only_the_kinds_asked_for(house):
    page = house.open("?kinds=job_type,machine")
    page.message()
    house.room.submit()
    house.room.job_type("other")
    assert page.message().kind == "job_type"
    refused = house.open("?kinds=jobs,nonsense").response
    assert refused.status == 422
    assert json.loads(refused.read())["error"]["field"] == "kinds"


def test_signs_of_life_when_nothing_happens(house):
    page = house.open()
    page.message()
    assert [page.block(), page.block()] == [[":"], [":"]]


def test_much_becomes_little(house, monkeypatch):
    monkeypatch.setattr(events, "PAUSE_S", 0.3)
    page = house.open()
    page.message()
    for _ in range(60):
        house.room.submit()
    count = 0
    while page.message().facts["jobs"]["waiting"] < 60:
        count += 1
    assert count < 30


def test_a_stream_ends_after_its_life(house, monkeypatch):
    monkeypatch.setattr(events, "LIFE_S", 0.5)
    page = house.open()
    page.message()
    assert page.response.read().replace(b":\n\n", b"") == b""


def test_a_stream_ends_with_its_credential(house):
    token = house.room.service.create_token("other", ["read"])
    page = house.open(Authorization=f"Bearer {token}")
    page.message()
    house.room.service.revoke_token("other")
    assert page.response.read().count(b":") < 100


def test_by_the_cookie_of_a_session(house):
    code = house.room.service.create_code()
    conn = http.client.HTTPConnection("127.0.0.1", house.listener.port, timeout=30)
    conn.request("POST", "/api/v1/session", json.dumps({"code": code}), {"Content-Type": "application/json"})
    cookie = conn.getresponse().getheader("Set-Cookie").split(";")[0]
    conn.close()
    page = Page(house.listener.port, Cookie=cookie)
    house.pages.append(page)
    assert page.message().kind == "hello"
    nobody = Page(house.listener.port)
    house.pages.append(nobody)
    assert nobody.response.status == 401


def test_no_more_streams_than_leave_half_of_the_threads(house):
    pages = [house.open() for _ in range(4)]
    assert [page.message().kind for page in pages] == ["hello"] * 4
    refused = house.open()
    assert (refused.response.status, refused.response.getheader("Retry-After")) == (503, "5")
    assert json.loads(refused.response.read())["error"]["code"] == "unavailable"
    pages[0].close()
    until(lambda: house.open().response.status == 200, what="a free place after a page was closed", pause_s=0.2)


def test_streams_end_when_the_server_stops(house):
    page = house.open()
    page.message()
    stopper = threading.Thread(target=house.listener.stop)
    stopper.start()
    page.response.read()
    stopper.join(20)
    assert not stopper.is_alive()


def test_nothing_is_left_of_pages_that_came_and_went(house):
    def descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    def visit() -> None:
        until(lambda: _visited(house), what="a free place", pause_s=0.05)

    for _ in range(4):
        visit()
    before = threading.active_count(), descriptors()
    for _ in range(60):
        visit()
    until(lambda: threading.active_count() <= before[0], what="as many threads as before")
    until(lambda: descriptors() <= before[1] + 2, what="as many open files as before")
    for _ in range(4):
        until(lambda: house.open().response.status == 200, what="each of the places", pause_s=0.1)


def _visited(house: House) -> bool:
    page = Page(house.listener.port, Authorization=f"Bearer {house.token}")
    try:
        return page.response.status == 200 and page.message().kind == "hello"
    finally:
        page.close()
