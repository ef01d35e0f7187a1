"""engine.Engine with a real store and sessions that do nothing: every step is taken by hand, no thread runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import StoreUnavailable
from jobs.model import JobFilter, MachineState
from jobs.status import Reason, Status
from orchestrator.node import deploy
from orchestrator.node.events import (
    Beat,
    Deployed,
    DeployFailed,
    Loaded,
    Published,
    Told,
    Trouble,
)
from tests.support import store_kit
from tests.support.samples import a_load
from tests.support.stage import END_LOOK_S, LOST_AFTER_S, Stage, store_away
from tests.support.store_kit import failed, ok


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with store_kit.a_room(tmp_path) as room:
        room.job_type("crawl")
        yield Stage(room)


# ------------------------------------------------------------------------------------------------------ the usual day


def test_a_job_goes_to_a_machine_and_its_end_makes_room(stage: Stage) -> None:
    stage.begin(m1={})
    first, second = stage.room.submit(2)
    session = stage.ready()
    assert session.sent == [(first, 1)]
    stage.room.report(("end", first, 1, ok()))
    stage.beat()
    assert session.sent == [(first, 1), (second, 1)]
    assert stage.room.status(first) == Status.DONE


def test_a_folder_comes_before_a_claim(stage: Stage) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1)
    session = stage.session()
    session.connected()
    stage.beat()
    assert session.deploys == [("crawl", 0)]
    assert stage.room.status(job) == Status.WAITING
    session.tell(Deployed("m1", "crawl", 0, "0-abc"))
    session.runner_up(1)
    stage.beat()
    assert session.sent == [(job, 1)]


def test_one_machine_is_sent_few_folders_at_once(stage: Stage) -> None:
    for number in range(5):
        stage.room.job_type(f"type{number}")
        stage.room.submit(1, f"type{number}")
    stage.begin(m1={"limit_process": 64})
    stage.session().connected()
    stage.beat()
    assert len(stage.session().deploys) == 2
    job_type, version = stage.session().deploys[0]
    stage.session().tell(Deployed("m1", job_type, version, "0-abc"))
    stage.beat()
    assert len(stage.session().deploys) == 3


def test_a_folder_that_cannot_be_sent_is_tried_ever_later_and_shown(stage: Stage) -> None:
    stage.begin(m1={})
    stage.room.submit(1)
    session = stage.session()
    session.connected()
    stage.beat()
    for tries in range(1, 5):
        session.tell(DeployFailed("m1", "crawl", 0, "quota exceeded"))
        stage.beat()
        assert len(session.deploys) == tries
        stage.tick(10 * 2 ** (tries - 1) * 0.5 - 0.1)
        assert len(session.deploys) == tries
        stage.tick(10 * 2 ** (tries - 1) * 1.0 + 0.2)
        assert len(session.deploys) == tries + 1
    [view] = stage.views()
    assert "quota exceeded" in view.text


# ------------------------------------------------------------------------------------------- runners come and go


def test_what_the_runner_does_not_know_of_goes_back_in_the_same_life(stage: Stage) -> None:
    stage.begin(m1={}, m2={"paused": True})
    [job] = stage.room.submit(1, limit_count=0)
    session = stage.ready()
    assert session.sent == [(job, 1)]
    session.runner_gone(100, left=False)
    session.runner_up(101)
    stage.change(paused=True)
    assert stage.room.service.job(job).job.starts == 0
    assert stage.room.status(job) == Status.WAITING


@pytest.mark.parametrize(
    ("life", "unread"), [("boot2:born", False), ("", False), ("boot:born", True)], ids=["rebooted", "unknown", "unread"]
)
def test_in_another_life_or_after_a_runner_that_died_it_counts_as_started(
    stage: Stage, life: str, unread: bool
) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1, limit_count=0)
    session = stage.ready()
    session.down()
    session.connected(life=life)
    session.runner_up(101, unread=unread)
    stage.beat()
    detail = stage.room.service.job(job)
    assert (detail.job.status, detail.job.reason) == (Status.FAILED, Reason.LOST)


def test_a_goodbye_that_comes_late_says_nothing_about_the_next_runner(stage: Stage) -> None:
    """The next stream may be compared and fed before the end of the one before is heard of."""
    stage.begin(m1={})
    session = stage.ready()
    session.runner_up(101)
    stage.beat()
    [job] = stage.room.submit(1)
    stage.beat()
    assert session.sent == [(job, 1)]
    session.runner_gone(100, left=True)
    stage.beat()
    assert stage.open() == [job]
    session.runner_gone(101, left=True)
    stage.beat()
    assert stage.room.service.job(job).job.starts in (0, 1)
    assert stage.room.service.attempts(job)[0].reason == Reason.GIVEN_BACK


def test_feeding_goes_on_for_the_stream_that_was_compared(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.session()
    session.connected()
    session.runner_up(7)
    session.runner_gone(7, left=False)
    session.runner_up(8)
    stage.beat()
    assert session.agreed == [8]


def test_a_goodbye_before_the_comparison_settles_nothing(stage: Stage) -> None:
    """Its silence about attempts of an earlier life is no proof that they never began."""
    stage.begin(m1={})
    [job] = stage.room.submit(1, limit_count=0)
    session = stage.ready()
    session.down()
    stage.beat()
    session.connected(life="boot2:born")
    session.runner_up(101)
    session.runner_gone(101, left=True)
    stage.beat()
    assert stage.open() == [job]
    assert session.wanted_runner > 0
    session.runner_up(102)
    stage.beat()
    assert stage.room.service.job(job).job.reason == Reason.LOST


def test_a_kill_asked_for_while_nobody_could_be_told_is_told_at_the_next_runner(stage: Stage) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1)
    session = stage.ready()
    session.down()
    stage.beat()
    stage.room.service.kill([job])
    stage.beat()
    session.killed.clear()
    session.connected()
    session.runner_up(101, (job, 1))
    stage.beat()
    assert session.killed == [(job, 1)]


def test_superseded_attempts_are_ended_there(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.session()
    session.connected()
    session.runner_up(1, (4711, 3))
    stage.beat()
    assert session.killed == [(4711, 3)]


# ------------------------------------------------------------------------------------------- machines come and go


def test_what_was_not_sent_goes_elsewhere_when_a_machine_goes_down(stage: Stage) -> None:
    stage.begin(m1={}, m2={})
    [job] = stage.room.submit(1, limit_count=0)
    name = stage.room.service.current_versions()["crawl"]
    folders = {"crawl": frozenset({deploy.version_name(0, name.node_digest)})}
    stage.session("m1").connected(versions=folders)
    stage.beat()
    assert stage.open() == [job]
    stage.session("m1").down("unfit")
    stage.beat()
    assert stage.room.service.job(job).job.starts == 0
    stage.ready("m2")
    assert stage.session("m2").sent == [(job, 2)]


def test_a_machine_whose_runner_did_not_start_must_show_one_first(stage: Stage) -> None:
    stage.begin(m1={})
    stage.room.submit(1)
    version = stage.room.service.current_versions()["crawl"]
    folders = {"crawl": frozenset({deploy.version_name(0, version.node_digest)})}
    session = stage.session()
    session.connected(versions=folders)
    stage.beat()
    session.down("unfit")
    session.connected(versions=folders)
    wanted = session.wanted_runner
    stage.beat()
    assert stage.open() == []
    assert session.wanted_runner > wanted
    session.runner_up(2)
    stage.beat()
    assert len(session.sent) == 1


def test_a_runner_that_never_starts_again_does_not_hold_its_jobs_for_ever(stage: Stage) -> None:
    """Each new connection is contact with the machine, and none with the work."""
    stage.begin(m1={})
    [job] = stage.room.submit(1, limit_count=0)
    session = stage.ready()
    for _ in range(4):
        session.down("unfit")
        stage.tick(LOST_AFTER_S / 3)
        session.connected()
        stage.beat()
    session.down("unfit")
    stage.tick()
    assert stage.room.service.job(job).job.reason == Reason.LOST


def test_unreachable_is_shown_until_a_runner_answers_also_over_a_restart(stage: Stage) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1)
    stage.ready().down()
    stage.beat()
    assert stage.room.service.job(job).job.unreachable
    stage.begin(m1={})
    stage.session().connected()
    stage.session().runner_up(1, (job, 1))
    stage.beat()
    assert not stage.room.service.job(job).job.unreachable


def test_a_session_that_was_replaced_is_not_listened_to(stage: Stage) -> None:
    stage.begin(m1={"host": "old"})
    stage.room.submit(1)
    old = stage.ready()
    stage.change(host="new")
    assert old.stopped
    assert stage.session() is not old
    old.connected()
    old.tell(Deployed("m1", "crawl", 0, "0-abc"))
    old.down("refused")
    stage.beat()
    assert stage.member().state is MachineState.CONNECTING
    assert not stage.member().ready


def test_a_closed_machine_with_open_work_is_still_collected_after_a_restart(stage: Stage) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1)
    stage.ready()
    stage.begin(m1={"closed": True})
    session = stage.session()
    assert session.started
    session.connected()
    session.runner_up(1, (job, 1))
    stage.beat()
    assert stage.open() == [job]
    stage.room.report(("end", job, 1, ok()))
    stage.beat()
    assert session.stopped
    session.connected()
    stage.beat()
    assert stage.member().state is MachineState.CLOSED


def test_work_on_a_machine_that_left_the_inventory_is_shown_and_given_up_in_time(stage: Stage) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1, limit_count=0)
    stage.ready()
    stage.begin()
    stage.beat(Beat())
    assert stage.room.service.job(job).job.unreachable
    stage.tick(LOST_AFTER_S)
    assert stage.room.service.job(job).job.reason == Reason.LOST
    stage.tick()
    assert stage.views() == []


def test_a_paused_machine_gives_back_what_it_has_not_begun(stage: Stage) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1)
    version = stage.room.service.current_versions()["crawl"]
    stage.session().connected(versions={"crawl": frozenset({deploy.version_name(0, version.node_digest)})})
    stage.beat()
    assert stage.open() == [job]
    stage.change(paused=True)
    assert stage.open() == []
    assert stage.session().recalls == 1
    assert stage.room.service.job(job).job.starts == 0


def test_a_removed_machine_finishes_what_runs_and_is_forgotten(stage: Stage) -> None:
    stage.begin(m1={})
    [job, _] = stage.room.submit(2)
    session = stage.ready()
    stage.tick()
    stage.remove()
    assert not session.stopped
    stage.room.report(("end", job, 1, ok()))
    stage.beat()
    assert session.stopped
    assert stage.views() == []
    stage.change()
    assert stage.session() is not session
    assert stage.session().started


def test_idle_machines_are_not_looked_at_until_something_waits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.begin(m1={})
    session = stage.ready()
    stage.tick()
    flow, looks = stage.engine._fleet.flow, []
    seats = flow.seats
    monkeypatch.setattr(flow, "seats", lambda: looks.append("") or seats())
    session.tell(Loaded("m1", a_load(memory_free_mb=77)))
    stage.tick(3)
    assert not looks
    assert [view.memory_free_mb for view in stage.views()] == [77]
    [job] = stage.room.submit(1)
    stage.beat()
    assert looks
    assert session.sent == [(job, 1)]


def test_an_end_file_sends_us_away_and_we_look_again(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.ready()
    session.tell(Loaded("m1", a_load(end_file=True)))
    stage.beat()
    assert session.stopped
    assert stage.member().state is MachineState.CLOSED
    stage.tick(END_LOOK_S)
    again = stage.session()
    assert again is not session
    again.connected(load=a_load(end_file=True))
    stage.beat()
    assert again.stopped
    stage.tick(END_LOOK_S)
    stage.session().connected()
    stage.beat()
    assert stage.member().gate == ""


def test_a_full_disk_keeps_new_work_away_for_a_while(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.ready()
    session.tell(Trouble("m1", "disk_full", "the journal cannot be written"))
    stage.room.submit(1)
    stage.beat()
    assert session.sent == []
    assert "journal" in stage.member().gate
    stage.tick(3600)
    assert len(session.sent) == 1


# ------------------------------------------------------------------------------------------- the store goes away


def test_an_outage_in_the_middle_of_a_beat_loses_nothing_of_it(stage: Stage) -> None:
    stage.begin(m1={}, m2={})
    jobs = stage.room.submit(2)
    stage.ready("m1")
    stage.ready("m2")
    m1, m2 = stage.session("m1"), stage.session("m2")
    assert sorted(m1.sent + m2.sent) == [(jobs[0], 1), (jobs[1], 1)]
    with store_away(stage):
        m1.down()
        m1.connected()
        m1.runner_up(500, *m1.sent)
        m2.runner_gone(200, left=True)
        stage.engine.tell(Published())
        stage.beat()
        stage.tick()
        assert 500 not in m1.agreed or m1.agreed == [500]
    m2.sent.clear()
    m2.runner_up(501)
    stage.tick()
    assert m1.agreed == [500]
    assert sorted(stage.open()) == sorted(jobs)
    assert len(m2.sent) == 1


def test_how_machines_look_is_shown_again_after_an_outage(stage: Stage) -> None:
    stage.begin(m1={})
    stage.tick()
    with store_away(stage):
        stage.ready()
        stage.tick()
        assert stage.room.service.machines()[0].state is MachineState.CONNECTING
        stage.room.store._writer.submit(lambda _: None).exception()
    stage.tick()
    assert stage.views()[0].state is MachineState.READY


def test_a_pause_during_an_outage_is_carried_out(stage: Stage) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1)
    version = stage.room.service.current_versions()["crawl"]
    stage.session().connected(versions={"crawl": frozenset({deploy.version_name(0, version.node_digest)})})
    stage.beat()
    assert stage.open() == [job]
    with store_away(stage):
        stage.change(paused=True)
        assert stage.open() == [job]
    stage.tick()
    assert stage.open() == []


def test_a_new_address_during_an_outage_is_taken_over(stage: Stage) -> None:
    stage.begin(m1={"host": "old"})
    stage.room.submit(1)
    version = stage.room.service.current_versions()["crawl"]
    stage.session().connected(versions={"crawl": frozenset({deploy.version_name(0, version.node_digest)})})
    stage.beat()
    with store_away(stage):
        stage.change(host="new")
    assert stage.session().machine.host == "new"
    assert stage.session().started
    stage.tick()
    assert stage.open() == []


def test_a_claim_whose_answer_got_lost_is_given_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1, limit_count=0)
    right = stage.room.service.claim

    class Lost:
        def result(self) -> Any:
            raise StoreUnavailable("the connection ended during the commit")

    def claim(picks: Any) -> Any:
        right(picks).result(10)
        monkeypatch.setattr(stage.room.service, "claim", right)
        return Lost()

    monkeypatch.setattr(stage.room.service, "claim", claim)
    session = stage.ready()
    stage.tick()
    assert session.sent == [(job, 2)]
    assert stage.room.service.job(job).job.starts == 1


def test_an_event_that_fails_does_not_take_the_others_with_it(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.session()
    session.connected(cores=4)
    stage.engine.tell(Told(1, object()))  # type: ignore[arg-type]
    session.runner_up(9)
    stage.beat()
    assert session.agreed == [9]


def test_one_failing_step_does_not_stop_the_others(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.begin(m1={})
    stage.room.submit(1)

    def broken(rows: object) -> None:
        raise ValueError("a machine that cannot be shown")

    monkeypatch.setattr(stage.room.service, "put_machines", broken)
    assert len(stage.ready().sent) == 1


# ------------------------------------------------------------------------------------------- nothing is forgotten


def test_jobs_nobody_told_of_are_found(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.ready()
    stage.tick()
    stage.room.service.on_submitted = lambda _: None
    stage.room.submit(1)
    stage.tick(1)
    assert session.sent == []
    stage.tick(31)
    assert len(session.sent) == 1


def test_a_back_off_that_is_over_is_claimed_again(stage: Stage) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1)
    session = stage.ready()
    stage.room.report(("end", job, 1, failed()))
    stage.beat()
    assert session.sent == [(job, 1)]
    stage.tick(5)
    assert session.sent == [(job, 1), (job, 2)]


def test_a_silent_machine_s_work_is_given_up_and_goes_elsewhere(stage: Stage) -> None:
    stage.begin(m1={}, m2={"paused": True})
    [job] = stage.room.submit(1)
    stage.ready("m1").down()
    stage.beat()
    stage.tick(LOST_AFTER_S - 1)
    assert stage.open() == [job]
    stage.tick(1)
    assert stage.open() == []
    stage.change("m2", paused=False)
    stage.ready("m2")
    stage.tick(10)
    assert stage.session("m2").sent == [(job, 2)]
    assert stage.room.service.jobs(JobFilter(ids=[job])).jobs[0].attempt == 2
