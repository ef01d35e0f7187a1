"""What a list says of jobs besides their values: why they wait, how they failed; on every database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from jobs.doors.browse import Browse
from jobs.model import Action, JobFilter, MachineState, MachineView, Note
from jobs.operations import Author
from jobs.status import Status
from tests.support.databases import Database
from tests.support.store_kit import Room, a_room, failed, ok


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type()
        room.job_type("shop", return_main=True)
        yield room


def notes(room: Room) -> dict[int, Note]:
    return room.service.notes(room.service.jobs(size=1000).jobs)


def test_the_end_of_a_failure_is_shown_whatever_its_length(room: Room) -> None:
    errors = [
        "Traceback (most recent call last):\n  …\nValueError: 汉字 ✗\n",
        "x" * 5000 + "\nKeyError: 'short'",
        "one line of " + "é" * 3000,
        "\n\n  \n",
    ]
    jobs = room.submit(len(errors), limit_count=0)
    room.claim(*jobs)
    room.report(*[("end", job, 1, failed(error=error)) for job, error in zip(jobs, errors, strict=True)])
    said = [notes(room).get(job, Note("", None)).excerpt for job in jobs]
    assert said == ["ValueError: 汉字 ✗", "KeyError: 'short'", "é" * 200, ""]


def test_of_a_failed_return_main_its_own_words(room: Room) -> None:
    (job,) = room.submit(1, "shop", limit_count=0)
    room.claim(job)
    room.report(("end", job, 1, ok(return_data="1")))
    (taken,) = room.service.take_returns(10)
    room.returned(taken.job_id, taken.attempt, "Traceback …\nOSError: disk full")
    assert notes(room) == {job: Note("OSError: disk full", None)}


def test_only_the_latest_attempt_counts_and_what_went_well_says_nothing(room: Room) -> None:
    again, fine = room.submit(2, limit_count=1)
    room.claim(again, fine)
    room.report(("end", again, 1, failed(error="first")), ("end", fine, 1, ok()))
    room.clock.forward(10_000)
    room.service.due(room.clock())
    room.claim(again)
    room.report(("end", again, 2, failed(error="second")))
    assert notes(room) == {again: Note("second", None)}


def test_each_waiting_job_says_why_as_it_does_alone(room: Room) -> None:
    everywhere, tagged = room.submit(2), room.submit(1, tag="gpu")
    (elsewhere,) = room.submit(1, limit_count=0)
    room.claim(elsewhere)
    room.report(("end", elsewhere, 1, failed()))
    room.service.put_machines([machine("m1")]).result(10)
    room.service.act(Action.RERUN, JobFilter(ids=[elsewhere]), elsewhere=True, author=Author(who="me", source=""))
    (backing_off,) = room.submit(1, limit_count=3)
    room.claim(backing_off)
    room.report(("end", backing_off, 1, failed()))
    found = notes(room)
    assert {job: note.waiting for job, note in found.items()} == {
        job: room.service.waiting_because(job) for job in [*everywhere, *tagged, elsewhere, backing_off]
    }
    assert len({note.waiting.code for note in found.values() if note.waiting}) == 4
    assert all(room.status(job) == Status.WAITING for job in found)


def machine(name: str) -> MachineView:
    return MachineView(
        machine_id=name, name=name, address="10.0.0.1", tags=frozenset(), limit_process=2,
        state=MachineState.READY, text="",
    )  # fmt: skip


def test_a_page_costs_the_same_few_statements_however_long_it_is(room: Room) -> None:
    counts = [statements(room, size) for size in (4, 400)]
    assert counts[0] == counts[1] <= 4


def statements(room: Room, size: int) -> int:
    """For so many jobs, half of them waiting, half of them failed."""
    jobs = room.submit(size, limit_count=0)
    room.claim(*jobs[: size // 2])
    room.report(*[("end", job, 1, failed()) for job in jobs[: size // 2]])
    page = room.service.jobs(size=size).jobs
    heard: list[str] = []

    def note(_conn: object, _cursor: object, text: str, *_: object) -> None:
        heard.append(text)

    engine = room.store._read_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        assert len(Browse.notes(room.service, page)) == size
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len([text for text in heard if text.lstrip().upper().startswith("SELECT")])
