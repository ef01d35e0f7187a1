"""The engine and machines that misbehave: benched, refusing, lost, asleep, unfit for a type, left without a trace."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from jobs.model import Attempt, MachineState, WaitCode
from jobs.status import Reason, Status
from orchestrator.engine.feed import Appetite
from orchestrator.errors import UserError
from orchestrator.node import deploy
from orchestrator.node.events import Admit, Beat, Deployed, PurgeAsked, Purged, Trouble
from tests.support import store_kit
from tests.support.stage import BENCH, LOST_AFTER_S, Stage
from tests.support.store_kit import failed, ok


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with store_kit.a_room(tmp_path) as room:
        room.job_type("crawl")
        yield Stage(room)


def attempts(stage: Stage, job: int) -> list[Attempt]:
    return stage.room.service.attempts(job)


def code(stage: Stage, job: int) -> WaitCode:
    because = stage.room.service.waiting_because(job)
    assert because is not None
    return because.code


# ------------------------------------------------------------------------------------------------ which Python, where


def test_a_job_type_that_asks_for_a_python_goes_only_where_it_is(stage: Stage) -> None:
    stage.room.job_type("new", files={"job.yml": 'python: ">=3.10"\n'})
    stage.begin(m1={})
    old = stage.session("m1")
    jobs = stage.room.submit(2, "new")
    old.connected(python_version="3.6.8")
    old.runner_up(1)
    stage.beat()
    assert old.deploys == []
    stage.views()
    assert code(stage, jobs[0]) == WaitCode.NO_PYTHON
    assert ">=3.10" in str(stage.room.service.waiting_because(jobs[0]))
    stage.change("m2")
    young = stage.session("m2")
    young.connected(python_version="3.12.1")
    young.runner_up(2)
    stage.beat()
    assert young.deploys == [("new", 0)]


def test_a_new_version_may_ask_for_less(stage: Stage) -> None:
    stage.room.job_type("new", files={"job.yml": 'python: ">=3.10"\n'})
    stage.begin(m1={})
    stage.session().connected(python_version="3.6.8")
    stage.session().runner_up(1)
    stage.room.submit(1, "new")
    stage.beat()
    assert stage.session().deploys == []
    stage.room.job_type("new", files={"job.yml": 'python: ">=3.6"\n'})
    stage.beat()
    assert stage.session().deploys == [("new", 1)]


def test_exclusive_versions_are_named_to_the_runner(stage: Stage) -> None:
    stage.room.job_type("alone", files={"job.yml": "exclusive: true\n"})
    stage.begin(m1={"limit_process": 2})
    stage.room.submit(1, "alone")
    stage.room.submit(1)
    assert stage.ready().exclusive == {"alone@0"}


# ------------------------------------------------------------------------------------------------ benched, and back


def run_on(stage: Stage, name: str, body: dict[str, Any], times: int) -> None:
    """So many jobs run on this machine, one after another, all with this end."""
    session = stage.session(name)
    for _ in range(times):
        before = len(session.sent)
        stage.room.submit(1, tag=name, limit_count=0)
        stage.beat()
        assert len(session.sent) == before + 1, "the machine took no job"
        job, attempt = session.sent[-1]
        stage.room.report(("end", job, attempt, body), machine=name)
        stage.beat()


def bench(stage: Stage) -> None:
    """m1 fails what m2 does."""
    stage.begin(m1={"tags": frozenset({"m1"})}, m2={"tags": frozenset({"m2"})})
    stage.ready("m1")
    stage.ready("m2")
    run_on(stage, "m2", ok(), 10)
    run_on(stage, "m1", failed(), BENCH.after)


def test_a_benched_machine_gets_no_job_of_the_type_and_says_why(stage: Stage) -> None:
    bench(stage)
    [job] = stage.room.submit(1, tag="m1")
    stage.beat()
    assert stage.room.status(job) == Status.WAITING
    [m1, m2] = stage.views()
    assert "last 3 jobs of crawl failed here" in m1.benched["crawl"]
    assert "last 3 jobs of crawl" in m1.text
    assert m2.benched == {}
    assert m1.state is MachineState.READY
    assert code(stage, job) == WaitCode.ALL_BENCHED
    assert "m1: the last 3 jobs" in str(stage.room.service.waiting_because(job))
    [anywhere] = stage.room.submit(1)
    stage.beat()
    assert (anywhere, 1) in stage.session("m2").sent


def test_other_types_still_go_to_a_benched_machine(stage: Stage) -> None:
    stage.room.job_type("scan")
    bench(stage)
    [job] = stage.room.submit(1, "scan", tag="m1")
    stage.beat()
    assert (job, 1) in stage.session("m1").sent


def test_one_job_tries_it_after_a_while_and_its_success_admits_it(stage: Stage) -> None:
    bench(stage)
    stage.change("m1", limit_process=4)
    session = stage.session("m1")
    jobs = stage.room.submit(6, tag="m1", limit_count=0)
    before = len(session.sent)
    stage.tick(BENCH.first_s * 1.5 + 1)
    assert session.sent[before:] == [(jobs[0], 1)]
    stage.tick(5)
    assert len(session.sent) == before + 1
    stage.room.report(("end", jobs[0], 1, ok()))
    stage.beat()
    assert len(session.sent) >= before + 5
    assert stage.views()[0].benched == {}


def test_a_trial_that_fails_benches_for_longer(stage: Stage) -> None:
    bench(stage)
    session = stage.session("m1")
    jobs = stage.room.submit(3, tag="m1", limit_count=0)
    stage.tick(BENCH.first_s * 1.5 + 1)
    stage.room.report(("end", jobs[0], 1, failed()))
    sent = len(session.sent)
    stage.tick(BENCH.first_s * 0.9)
    assert len(session.sent) == sent
    stage.tick(BENCH.first_s * 2 * 1.5)
    assert len(session.sent) == sent + 1


def test_a_bench_outlives_a_restart_and_a_person_can_end_it(stage: Stage) -> None:
    bench(stage)
    stage.begin(m1={"tags": frozenset({"m1"})})
    stage.ready("m1")
    [job] = stage.room.submit(1, tag="m1")
    stage.beat()
    assert stage.session("m1").sent == []
    stage.beat(Admit("m1"))
    assert stage.session("m1").sent == [(job, 1)]
    assert stage.room.service.benches() == []


def test_what_a_benched_machine_has_not_begun_goes_back(stage: Stage) -> None:
    stage.engine._fleet.flow.appetites["crawl"] = Appetite(0.001, known=True)
    bench(stage)
    assert stage.session("m1").recalls >= 1


def test_a_machine_where_everything_dies_is_benched_in_whole_and_tried_by_one(stage: Stage) -> None:
    stage.room.job_type("scan")
    stage.begin(m1={"tags": frozenset({"m1"}), "limit_process": 4}, m2={"tags": frozenset({"m2"})})
    session = stage.ready("m1")
    stage.ready("m2")
    run_on(stage, "m2", ok(), 20)
    run_on(stage, "m1", failed("died"), BENCH.after)
    scans = stage.room.submit(4, "scan", tag="m1", limit_count=0)
    stage.beat()
    assert not {job for job, _ in session.sent} & set(scans)
    m1 = stage.views()[0]
    assert m1.text.startswith("benched: the last 3 jobs of whatever type failed here (died)")
    assert code(stage, scans[0]) == WaitCode.ALL_BENCHED
    stage.tick(BENCH.first_s * 1.5 + 1)
    assert [job for job, _ in session.sent if job in scans] == [scans[0]]
    stage.room.report(("end", scans[0], 1, ok()))
    stage.beat()
    assert {job for job, _ in session.sent} >= set(scans)


def test_a_machine_that_cannot_begin_a_type_gets_none_for_a_while_and_no_start_is_spent(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.ready()
    [job] = stage.room.submit(1, limit_count=0)
    stage.beat()
    for tries in range(1, 5):
        assert session.sent[-1] == (job, tries)
        stage.room.report(("back", job, tries, {"why": "no worker could be started", "failed": True}))
        stage.beat()
        assert stage.room.service.job(job).job.starts == 0
        assert attempts(stage, job)[-1].reason == Reason.DISPATCH_FAILED
        stage.tick(10 * 2 ** (tries - 1) * 0.5 - 0.5)
        assert session.sent[-1] == (job, tries)
        stage.tick(10 * 2 ** (tries - 1) * 1.0 + 6)
        while session.deploys:  # the folder is there: it is only said to be
            kind, version = session.deploys.pop()
            name = deploy.version_name(version, stage.room.service.current_versions()[kind].node_digest)
            session.tell(Deployed("m1", kind, version, name))
        stage.beat()
    assert "could not be begun" in stage.views()[0].text


# --------------------------------------------------------------------------------------------------- lost and asleep


def test_time_in_which_nothing_of_us_ran_does_not_count(stage: Stage) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1, limit_count=0)
    stage.ready().down()
    stage.tick(LOST_AFTER_S / 2)
    stage.sleep(LOST_AFTER_S * 10)
    stage.tick(LOST_AFTER_S / 2 - 10)
    assert stage.open() == [job]
    stage.tick(20)
    assert stage.open() == []


def test_a_report_by_another_way_is_contact_too(stage: Stage) -> None:
    stage.begin(m1={"limit_process": 2})
    first, second = stage.room.submit(2, limit_count=0)
    stage.ready().down()
    stage.tick(LOST_AFTER_S - 10)
    stage.room.report(("end", first, 1, ok()))
    stage.beat()
    stage.tick(LOST_AFTER_S - 10)
    assert stage.open() == [second]
    stage.tick(20)
    assert stage.open() == []


def test_what_is_lost_says_how_the_machine_was(stage: Stage) -> None:
    stage.begin(m1={})
    [job] = stage.room.submit(1, limit_count=0)
    stage.ready().down()
    stage.tick(LOST_AFTER_S + 5)
    [attempt] = attempts(stage, job)
    assert attempt.reason == Reason.LOST
    assert attempt.machine is not None
    assert '"memory_free_mb": 8000' in attempt.machine
    assert '"python": "3.11.2"' in attempt.machine


def test_a_machine_lost_with_500_assigned_and_2_running(stage: Stage) -> None:
    """Its journal comes back: 500 had not begun, so they cost nothing; the 2 that ran on cost nothing either."""
    stage.begin(m1={"limit_process": 2}, m2={"paused": True})
    stage.engine._fleet.flow.appetites["crawl"] = Appetite(0.0003, known=True)
    jobs = stage.room.submit(502, limit_count=1)
    session = stage.ready("m1")
    stage.tick()
    assert len(session.sent) == 502
    running = [job for job, _ in session.sent[:2]]
    stage.room.report(*[("start", job, 1, {}) for job in running])
    session.down()
    stage.tick(LOST_AFTER_S / 2)
    assert len(stage.open()) == 502
    session.connected()
    ended = [(job, 1) for job in jobs if job not in running]
    session.runner_up(7, *ended, *[(job, 1) for job in running])
    unstarted = {"ok": False, "reason": "died", "started": False}
    stage.room.report(*[("end", job, 1, unstarted) for job, _ in ended])
    stage.beat()
    assert sorted(stage.open()) == sorted(running)
    rows = [stage.room.service.job(job).job for job, _ in ended]
    assert {row.starts for row in rows} == {0}


def test_a_machine_lost_for_good_gives_everything_up_after_lost_after(stage: Stage) -> None:
    stage.begin(m1={"limit_process": 2}, m2={"paused": True})
    stage.engine._fleet.flow.appetites["crawl"] = Appetite(0.0003, known=True)
    stage.room.submit(502, limit_count=1)
    session = stage.ready("m1")
    stage.tick()
    stage.room.report(*[("start", job, 1, {}) for job, _ in session.sent[:2]])
    session.down()
    stage.tick(LOST_AFTER_S + 5)
    assert stage.open() == []
    stage.change("m2", paused=False, limit_process=600)
    stage.ready("m2")
    stage.tick(10)
    assert len(stage.session("m2").sent) == 502
    assert {attempt for _, attempt in stage.session("m2").sent} == {2}


# ------------------------------------------------------------------------------------------------------------- marked


def test_a_process_that_cannot_be_ended_marks_the_machine_until_nobody_tells_of_it_any_more(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.ready()
    session.tell(Trouble("m1", "unkillable", "1 processes of a job cannot be ended"))
    stage.beat()
    assert stage.views()[0].marks == ("1 processes of a job cannot be ended",)
    stage.tick(20)
    session.tell(Trouble("m1", "unkillable", "1 processes of a job cannot be ended"))
    stage.tick(20)
    assert stage.views()[0].marks != ()
    stage.tick(40)
    assert stage.views()[0].marks == ()


def test_a_machine_that_ends_work_with_the_connection_is_marked(stage: Stage) -> None:
    stage.begin(m1={})
    stage.session().connected(ends_at_logout=True, user="worker")
    stage.beat()
    [view] = stage.views()
    assert "work ends with the connection" in view.text
    assert "loginctl enable-linger worker" in view.marks[0]


def test_a_machine_that_is_met_again_is_swept_within_the_hour_and_then_daily(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.session()
    session.connected(runners=frozenset({"earlier"}))
    stage.tick(3700)
    assert session.sweeps == 1
    stage.tick(3600)
    assert session.sweeps == 1
    stage.tick(86400)
    assert session.sweeps == 2


def test_a_machine_on_which_nothing_of_ours_was_is_swept_a_day_later(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.ready()
    stage.tick(3600)
    assert session.sweeps == 0
    stage.tick(86400)
    assert session.sweeps == 1


# ------------------------------------------------------------------------------------------------ without a trace


def ask(stage: Stage) -> "Future[Any]":
    done: Future[Any] = Future()
    stage.beat(PurgeAsked("m1", done))
    return done


def test_a_purge_waits_for_what_runs_and_takes_nothing_new(stage: Stage) -> None:
    stage.begin(m1={})
    first, _second = stage.room.submit(2)
    session = stage.ready()
    done = ask(stage)
    assert session.purges == 0
    assert session.recalls == 1
    stage.room.report(("end", first, 1, ok()))
    stage.beat()
    assert session.purges == 1
    assert len(session.sent) == 1
    session.tell(Purged("m1", {"removed": [{"path": "/x"}], "left": []}))
    stage.beat()
    assert done.result(0) == {"removed": [{"path": "/x"}], "left": []}
    assert session.stopped
    assert stage.views()[0].state is MachineState.CLOSED
    [override] = stage.room.service.overrides()
    assert (override.key, override.value) == ("closed", "true")


def test_a_purge_of_a_machine_that_is_away_connects_first(stage: Stage) -> None:
    stage.begin(m1={"closed": True})
    assert not stage.session().started
    done = ask(stage)
    session = stage.session()
    assert session.started
    session.connected()
    stage.beat()
    assert session.purges == 1
    session.tell(Purged("m1", {"removed": [], "left": []}))
    stage.beat()
    assert done.done()


def test_a_purge_that_cannot_be_done_says_why(stage: Stage) -> None:
    stage.begin(m1={})
    stage.ready()
    done = ask(stage)
    stage.session().tell(Purged("m1", {}, "3 paths could not be removed"))
    stage.beat()
    with pytest.raises(UserError, match="3 paths"):
        done.result(0)
    again = ask(stage)
    stage.session().down()
    stage.beat(Beat())
    with pytest.raises(UserError, match="cannot be reached"):
        again.result(0)
    assert stage.member().gate != "all that is ours is being removed from it"


def test_nobody_waits_for_the_purge_of_a_machine_that_is_not_there(stage: Stage) -> None:
    done: Future[Any] = Future()
    stage.beat(PurgeAsked("m9", done))
    with pytest.raises(UserError, match="there is no machine m9"):
        done.result(0)
