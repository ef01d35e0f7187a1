"""What the engine knows of packages on machines, and what it makes of that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.model import EnvironmentState, WaitCode
from jobs.status import Reason, Status
from orchestrator.node.events import Equipped, NotEquipped, Swept, Trouble
from orchestrator.node.found import Found
from tests.support import store_kit
from tests.support.stage import Stage
from tests.support.store_kit import ok


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with store_kit.a_room(tmp_path) as room:
        room.job_type("crawl")
        room.job_type("first", files={"requirements.txt": "requests\n"})
        room.job_type("second", files={"requirements.txt": "Requests  # the same\n"})
        yield Stage(room)


def lock(stage: Stage, job_type: str = "first") -> str:
    return stage.room.service.current_versions()[job_type].settings.environment


def equipped(stage: Stage, name: str = "m1", python: str = "3.11.7") -> None:
    stage.session(name).tell(Equipped(name, Found(lock(stage), python, 1000, 5.0)))
    stage.beat()


def refused(stage: Stage, name: str = "m1", *, final: bool = True) -> None:
    stage.session(name).tell(NotEquipped(name, lock(stage), "no such package", "the whole log", is_final=final))
    stage.beat()


def because(stage: Stage, job: int) -> tuple[WaitCode, str]:
    found = stage.room.service.waiting_because(job)
    assert found is not None
    return found


def test_a_job_waits_for_its_packages_while_others_run(stage: Stage) -> None:
    stage.begin(m1={"limit_process": 4})
    session = stage.ready()
    [waits] = stage.room.submit(1, "first")
    [runs] = stage.room.submit(1, "crawl")
    stage.beat()
    assert [job for job, _ in session.sent] == [runs]
    assert session.equips == [lock(stage)]
    stage.views()
    assert because(stage, waits) == (WaitCode.BUILDING_ENVIRONMENT, "building environment on m1")
    equipped(stage)
    assert [job for job, _ in session.sent] == [runs, waits]
    assert session.equips == [lock(stage)]


def test_the_same_lock_is_installed_once_for_all_types(stage: Stage) -> None:
    stage.begin(m1={"limit_process": 4})
    session = stage.ready()
    stage.room.submit(1, "first")
    stage.room.submit(1, "second")
    stage.beat()
    equipped(stage)
    assert session.equips == [lock(stage)]
    assert len(session.sent) == 2
    [view] = stage.views()[0].environments
    assert (view.state, view.job_types, view.size_bytes) == (EnvironmentState.READY, ("first", "second"), 1000)


def test_a_machine_that_has_it_is_used_while_another_builds(stage: Stage) -> None:
    stage.begin(m1={"limit_process": 1}, m2={"limit_process": 1})
    one, two = stage.ready("m1"), stage.ready("m2")
    stage.room.submit(3, "first")
    stage.beat()
    assert (one.equips, two.equips) == ([lock(stage)], [lock(stage)])
    equipped(stage, "m2")
    assert len(two.sent) == 1
    assert one.sent == []


def test_what_every_machine_refuses_ends_in_the_installers_words(stage: Stage) -> None:
    stage.begin(m1={"limit_process": 2}, m2={"limit_process": 2})
    stage.ready("m1")
    two = stage.ready("m2")
    jobs = stage.room.submit(5, "first")
    stage.beat()
    refused(stage, "m1")
    assert stage.room.service.job(jobs[0]).job.status == Status.WAITING, "the other machine may still get them"
    refused(stage, "m2")
    for job in jobs:
        found = stage.room.service.job(job)
        assert (found.job.status, found.job.reason) == (Status.FAILED, Reason.ENVIRONMENT_FAILED)
        assert found.job.starts == 0
        assert found.latest is not None
        assert found.latest.error == "no such package"
        assert "the whole log" in str(found.latest.log)
    [other] = stage.room.submit(1, "crawl")
    stage.beat()
    assert other in [job for job, _ in [*two.sent, *stage.session("m1").sent]]
    assert stage.open() == [other]
    assert all(view.benched == {} for view in stage.views())


def test_nothing_is_given_up_while_a_machine_has_not_answered_yet(stage: Stage) -> None:
    stage.begin(m1={}, m2={})
    stage.ready("m1")
    [job] = stage.room.submit(1, "first")
    stage.beat()
    refused(stage)
    assert stage.room.service.job(job).job.status == Status.WAITING
    stage.ready("m2")
    equipped(stage, "m2")
    assert [sent for sent, _ in stage.session("m2").sent] == [job]


def test_trouble_on_the_way_is_tried_again_and_ends_nothing(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.ready()
    [job] = stage.room.submit(1, "first")
    stage.beat()
    refused(stage, final=False)
    assert session.equips == [lock(stage)]
    view = stage.views()[0].environments[0]
    assert (view.state, view.why) == (EnvironmentState.FAILED, "no such package")
    code, text = because(stage, job)
    assert code == WaitCode.BUILDING_ENVIRONMENT
    assert "no such package" in text
    stage.tick(20)
    assert session.equips == [lock(stage)] * 2
    refused(stage, final=False)
    stage.tick(8)
    assert session.equips == [lock(stage)] * 2, "it waits longer each time"
    stage.tick(30)
    assert session.equips == [lock(stage)] * 3


def test_who_submits_after_the_rest_has_another_try(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.ready()
    [job] = stage.room.submit(1, "first")
    stage.beat()
    refused(stage)
    assert stage.room.service.job(job).job.status == Status.FAILED
    stage.tick(30)
    [soon] = stage.room.submit(1, "first")
    stage.beat()
    assert stage.room.service.job(soon).job.status == Status.FAILED, "nothing can have changed so soon"
    assert session.equips == [lock(stage)]
    stage.tick(120)
    [again] = stage.room.submit(1, "first")
    stage.beat()
    assert session.equips == [lock(stage)] * 2
    equipped(stage)
    assert again in [sent for sent, _ in session.sent]


def test_a_broken_connection_is_no_failure(stage: Stage) -> None:
    stage.begin(m1={})
    stage.ready()
    stage.room.submit(1, "first")
    stage.beat()
    stage.session().tell(NotEquipped("m1", lock(stage), ""))
    stage.session().down()
    stage.beat()
    assert stage.views()[0].environments == ()
    stage.ready()
    assert stage.session().equips == [lock(stage)] * 2


def test_a_machine_with_an_old_python_is_not_asked(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.session()
    session.connected(python_version="3.7.9")
    session.runner_up(1)
    [job] = stage.room.submit(1, "first")
    stage.beat()
    assert session.equips == session.deploys == []
    stage.views()
    assert because(stage, job)[0] == WaitCode.NO_PYTHON


def test_what_a_sweep_lists_is_there_and_what_it_took_is_built_anew(stage: Stage) -> None:
    stage.begin(m1={"limit_process": 2})
    session = stage.ready()
    python = stage.member().contact.python_version  # type: ignore[union-attr]
    session.tell(Swept("m1", [Found(lock(stage), python, 7, 1.0), Found("other", "2.7.18", 7, 1.0)]))
    stage.room.submit(1, "first")
    stage.beat()
    assert session.equips == []
    assert len(session.sent) == 1
    session.tell(Swept("m1", []))
    stage.room.submit(1, "first")
    stage.beat()
    assert session.equips == [lock(stage)]


def test_a_worker_without_its_packages_has_them_looked_for(stage: Stage) -> None:
    stage.begin(m1={})
    session = stage.ready()
    stage.room.submit(1, "first")
    stage.beat()
    equipped(stage)
    [key] = session.sent
    stage.room.report(("end", *key, ok()))
    stage.beat()
    session.tell(Trouble("m1", "version_damaged", "first@0: its packages are not there"))
    stage.beat()
    stage.room.submit(1, "first")
    stage.tick(20)
    assert session.equips == [lock(stage)] * 2


def test_no_more_than_two_at_once_on_a_machine(stage: Stage) -> None:
    for number in range(4):
        stage.room.job_type(f"kind-{number}", files={"requirements.txt": f"package{number}\n"})
    stage.begin(m1={"limit_process": 8})
    session = stage.ready()
    for number in range(4):
        stage.room.submit(1, f"kind-{number}")
    stage.beat()
    assert len(session.equips) == 2
