"""What pages look at: batches, the timeline, home; and what changed since when."""

import threading

import pytest

from jobs import happenings
from jobs.bell import Bell
from jobs.errors import InvalidInput, NotFound
from jobs.happenings import Happenings
from jobs.model import AuditEntry, MachineState, MachineView
from jobs.status import Status
from jobs.store import Store, batches, events, timeline
from jobs.views import BatchPlace, BatchView
from tests.support.store_kit import Room, a_room, failed, ok


@pytest.fixture
def room(tmp_path):
    with a_room(tmp_path) as room:
        room.job_type()
        yield room


def finish(room: Room, *jobs: int, machine: str = "m1", spend_s: float = 0.5) -> None:
    room.claim(*jobs, machine=machine)
    room.report(*(("end", job, 1, ok(spend_s=spend_s)) for job in jobs), machine=machine)


# ------------------------------------------------------------------------------------------------------------ batches


def batch(room: Room, name: str) -> BatchView:
    return room.service.insight.batch(name)[0]


def test_how_far_a_batch_is(room):
    jobs = room.submit(6, batch="b", limit_count=0)
    begin_at = room.clock.now
    room.clock.forward(100)
    finish(room, *jobs[:2])
    room.claim(*jobs[2:4])
    room.report(("end", jobs[2], 1, failed()))
    found = batch(room, "b")
    assert found.jobs == {Status.DONE: 2, Status.FAILED: 1, Status.RUNNING: 1, Status.WAITING: 2}
    assert (found.begin_at, found.updated_at, found.return_count) == (begin_at, room.clock.now, 2)
    assert found.p50_s == pytest.approx(0.5, rel=0.03)
    assert found.rate_per_s == pytest.approx(3 / batches.RATE_S)
    assert found.eta_s == pytest.approx(3 / found.rate_per_s)


def test_the_rate_is_that_of_the_last_minutes(room):
    jobs = room.submit(40, batch="b")
    finish(room, *jobs[:20])
    room.clock.forward(batches.RATE_S + 1)
    assert (batch(room, "b").rate_per_s, batch(room, "b").eta_s) == (None, None)
    finish(room, *jobs[20:30])
    room.clock.forward(10)
    assert batch(room, "b").rate_per_s == pytest.approx(1.0)
    finish(room, *jobs[30:])
    assert batch(room, "b").eta_s is None


def test_batches_page_by_page_the_newest_first(room):
    for name in ("a", "b", "c_%", "d"):
        room.submit(batch=name)
        room.clock.forward(10)
    room.submit(batch="a")
    seen: list[str] = []
    after: BatchPlace | None = None
    for _ in range(2):
        found, after = room.service.insight.batches(2, after)
        seen += [one.batch for one in found]
    assert seen == ["d", "c_%", "b", "a"]
    assert room.service.insight.batches(2, after) == ([], None)
    assert [one.batch for one in room.service.insight.batches(q="_%")[0]] == ["c_%"]
    assert room.service.insight.batches(q="'; DROP TABLE jobs; --") == ([], None)


def test_a_batch_that_was_emptied_is_gone_and_may_come_again(room):
    (job,) = room.submit(batch="b")
    room.service.delete([job])
    with pytest.raises(NotFound):
        batch(room, "b")
    assert room.service.insight.batches()[0] == []
    room.service.housekeeping()
    assert room.sql("SELECT count(*) FROM batches") == [(0,)]
    room.clock.forward(50)
    room.submit(batch="b")
    assert batch(room, "b").begin_at == room.clock.now


def test_who_did_a_batch(room):
    jobs = room.submit(5, batch="b")
    finish(room, *jobs[:3], machine="m1")
    finish(room, jobs[3], machine="m2", spend_s=2)
    shares = room.service.insight.batch("b")[1]
    assert shares.exact
    assert {name: tuple(share) for name, share in shares.machines.items()} == {"m1": (3, 1.5), "m2": (1, 2.0)}


def test_who_did_a_large_batch_is_reckoned_up(room, monkeypatch):
    monkeypatch.setattr(batches, "COUNTED", 100)
    monkeypatch.setattr(batches, "_AT_A_PLACE", 5)
    jobs = room.submit(1000, batch="b")
    finish(room, *jobs[::2], machine="m1")
    finish(room, *jobs[1::4], machine="m2")
    shares = room.service.insight.batch("b")[1]
    assert (shares.exact, shares.counted) == (False, 200)
    assert shares.machines["m1"].jobs == pytest.approx(500, rel=0.1)
    assert shares.machines["m2"].jobs == pytest.approx(250, rel=0.1)


# ----------------------------------------------------------------------------------------------------------- timeline


def test_attempts_as_bars(room):
    first, second, third = room.submit(3, limit_count=1)
    begin = room.clock.now
    room.claim(first, machine="m2")
    room.report(("end", first, 1, failed(spend_s=3)), machine="m2")
    room.clock.forward(100)
    room.claim(second)
    room.report(("start", second, 1, {}))
    room.clock.forward(10)
    room.claim(third)
    room.service.give_back("m1", [(third, 1)])
    found = room.service.insight.timeline(begin - 10, room.clock.now)
    assert [bar[:3] + bar[5:] for bar in found.bars] == [
        ("m2", first, 1, Status.FAILED, "error", begin - 3, begin),
        ("m1", second, 1, Status.RUNNING, "", begin + 100, None),
    ]
    assert (found.bucket_s, found.buckets) == (None, [])
    assert [bar.job_id for bar in room.service.insight.timeline(begin - 10, room.clock.now, "m1").bars] == [second]
    assert room.service.insight.timeline(begin - 100, begin - 50).bars == []


def test_a_window_of_the_past_shows_what_ended_after_it(room):
    (job,) = room.submit()
    room.claim(job)
    room.report(("start", job, 1, {}))
    begin = room.clock.now
    room.clock.forward(1000)
    room.report(("end", job, 1, ok(spend_s=1000)))
    (bar,) = room.service.insight.timeline(begin, begin + 100).bars
    assert (bar.begin_at, bar.end_at) == (begin, begin + 1000)


def test_too_many_bars_become_sums(room, monkeypatch):
    monkeypatch.setattr(timeline, "BARS_LIMIT", 10)
    begin = room.clock.now
    for machine, fine in (("m1", True), ("m2", False)):
        jobs = room.submit(10, limit_count=0)
        room.claim(*jobs, machine=machine)
        for job in jobs:
            room.clock.forward(30)
            room.report(("end", job, 1, ok() if fine else failed()), machine=machine)
    found = room.service.insight.timeline(begin, room.clock.now + 1)
    assert (found.bars, found.ended) == ([], 20)
    assert found.bucket_s == pytest.approx(601 / timeline.BUCKETS)
    sums = {name: [0, 0, 0.0] for name in ("m1", "m2")}
    for one in found.buckets:
        assert begin <= one.begin_at < room.clock.now + 1
        for at, value in enumerate((one.attempts, one.failed, one.spend_s)):
            sums[one.machine_id][at] += value
    assert sums == {"m1": [10, 0, 5.0], "m2": [10, 10, 2.5]}


@pytest.mark.parametrize(("since", "until_"), [(5.0, 5.0), (5.0, 4.0), (0.0, 1e9)])
def test_windows_without_sense_are_refused(room, since, until_):
    with pytest.raises(InvalidInput, match="until"):
        room.service.insight.timeline(since, until_)


# --------------------------------------------------------------------------------------------------------------- home


def test_home_in_one_go(room):
    old = room.submit(2, batch="old")
    finish(room, *old)
    room.clock.forward(3 * 3600)
    new = room.submit(3, batch="new", limit_count=0)
    room.claim(new[0])
    room.report(("end", new[0], 1, failed()))
    room.claim(new[1])
    views = [
        MachineView(machine_id="a", state=MachineState.READY),
        MachineView(machine_id="b", state=MachineState.UNREACHABLE),
        MachineView(machine_id="c", state=MachineState.CLOSED),
        MachineView(machine_id="d", state=MachineState.READY, benched={"crawl": "fails here"}),
    ]
    room.service.put_machines(views).result(10)
    found = room.service.insight.home(3600)
    assert found.totals.jobs == {Status.DONE: 2, Status.FAILED: 1, Status.RUNNING: 1, Status.WAITING: 1}
    assert {row.status: row.jobs for row in found.hours} == {Status.FAILED: 1, Status.RUNNING: 1, Status.WAITING: 1}
    assert [machine.machine_id for machine in found.machines] == ["b", "d", "a", "c"]
    assert found.machine_states == {"ready": 2, "unreachable": 1, "closed": 1}
    assert ([one.batch for one in found.batches], found.running_batches) == (["new"], 1)
    assert [group.jobs for group in found.failures] == [1]
    assert (found.types, found.took) == ([], {})
    (kind,) = room.service.insight.home(6 * 3600).types
    assert (kind.job_type, kind.jobs) == ("crawl", 2)
    assert kind.p95_s == pytest.approx(0.5, rel=0.03)


def test_home_of_an_empty_server(room):
    found = room.service.insight.home(86400)
    assert (found.totals.jobs, found.hours, found.batches, found.machines) == ({}, [], [], [])


# --------------------------------------------------------------------------------------------------------- happenings


def test_numbers_grow_and_nothing_is_missed(room):
    source = room.service.happenings
    begin = source.newest()
    (job,) = room.submit()
    room.service.put_machines([MachineView(machine_id="a"), MachineView(machine_id="b")]).result(10)
    room.service.audit(AuditEntry(at=0, who="x", source="y", action="z", detail={}, rows=0, outcome="ok"))
    news = source.since(begin)
    assert {kind: sorted(subjects) for kind, subjects in news.kinds.items()} == {
        "jobs": [""],
        "machine": ["a", "b"],
        "activity": [""],
    }
    assert source.since(news.number) == (news.number, {})
    room.claim(job)
    room.job_type("other")
    later = source.since(news.number)
    assert later.kinds == {"jobs": [""], "job_type": ["other"]}
    assert later.number > news.number
    assert source.since(begin).kinds.keys() == {"jobs", "machine", "activity", "job_type"}
    room.close()
    room.open()
    assert room.service.happenings.since(news.number) == later


def test_one_row_a_subject_however_often_it_changes(room):
    for _ in range(20):
        room.submit()
    assert room.sql("SELECT count(*) FROM events WHERE kind = 'jobs'") == [(1,)]


def test_very_much_at_once_is_told_by_kind(room, monkeypatch):
    begin = room.service.happenings.newest()
    room.service.put_machines([MachineView(machine_id=f"m{n}") for n in range(5)]).result(10)
    monkeypatch.setattr(events, "_SINCE", events._SINCE.limit(4))
    monkeypatch.setattr(events, "PAGE", 3)
    assert room.service.happenings.since(begin).kinds == {"machine": [""]}


def test_old_subjects_are_forgotten(room, monkeypatch):
    monkeypatch.setattr(events, "KEPT", 2)
    room.service.put_machines([MachineView(machine_id="a")]).result(10)
    for _ in range(5):
        room.submit()
    room.service.happenings.expire()
    assert room.sql("SELECT kind, subject FROM events WHERE subject <> ''") == []
    assert room.sql("SELECT kind FROM events WHERE subject = ''") == [("jobs",)]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_who_waits_hears_soon_also_of_other_processes(room, elsewhere):
    """Another process: another open store on the same database."""
    source = room.service.happenings
    begin = source.newest()
    heard = threading.Event()

    def wait() -> None:
        while source.newest() == begin:
            source.wait(begin, 20)
        heard.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    if elsewhere:
        store = Store.open(room.url)
        Happenings(store, Bell()).note(happenings.INVENTORY)
        store.close()
    else:
        room.submit()
    assert heard.wait(20)
    waiter.join()
    assert source.since(begin).number > begin


def test_totals_are_counted_once_between_changes(room):
    room.submit(3)
    source = room.service.happenings
    assert source.totals() is source.totals()
    assert source.totals().jobs == {Status.WAITING: 3}
    room.submit()
    assert source.totals().jobs == {Status.WAITING: 4}
