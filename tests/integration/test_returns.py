"""orchestrator.returns.calls with real processes and a real store: success, failure, death, time, and being stopped."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.model import JobFilter, PendingReturn
from jobs.status import Status
from orchestrator.node.workshop import Workshop
from orchestrator.returns.account import Quarters
from orchestrator.returns.calls import Lines, Returns
from orchestrator.returns.packages import HomeEnvironments
from orchestrator.returns.warm import show_entries
from remote_runner import bundle
from tests.support import store_kit, wait, wheels
from tests.support.processes import processes_below
from tests.support.store_kit import Room, ok

Start = Callable[..., Returns]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with store_kit.a_room(tmp_path) as made:
        yield made


@pytest.fixture
def start(room: Room, leak_check: None) -> Iterator[Start]:
    """Start the returns of this room; they are stopped after the test."""
    started: list[Returns] = []

    def begin() -> Returns:
        shop = Workshop(cache=room.home / "cache", wheels=room.home / "wheels", index="none")
        environments = HomeEnvironments(room.home, bundle.build(room.home / "cache" / "runner").path, shop)
        quarters = Quarters(room.home / "returns")
        returns = Returns(room.service, quarters, room.home / "logs", places=2, environments=environments)
        started.append(returns)
        returns.start()
        return returns

    yield begin
    for returns in started:
        returns.stop()


def finished(room: Room, code: str, *, data: str = '{"name": "a"}', limit_count: int = 0, **files: str) -> int:
    """A job whose remote part is done and whose return_main is due; answers its id."""
    room.service.publish_folder("back", room.folder("back", {"return_main.py": code, **files}))
    [job] = room.submit(1, "back", limit_count=limit_count)
    [claimed] = room.claim(job, version=room.service.current_versions()["back"].version)
    room.report(("end", job, claimed.attempt, {"ok": True, "reason": "", "result": "1", "return_data": data}))
    assert room.service.job(job).job.status is Status.RETURNING
    return job


def ended(room: Room, job: int) -> bool:
    return room.service.job(job).job.status not in (Status.RUNNING, Status.RETURNING)


def error(room: Room, job: int) -> str:
    latest = room.service.job(job).latest
    return (latest and latest.return_error) or ""


def test_it_imports_the_packages_its_folder_asks_for(room: Room, start: Start) -> None:
    wheels.make(room.home / "wheels", "mjhome", mjhome="SAYS = 'at home'\n")
    code = (
        "import mjhome, sys\ndef work(data):\n"
        "    open('said', 'w').write(mjhome.SAYS + ' ' + mjhome.__file__)\n"
        "    assert not any(name.startswith('sqlalchemy') for name in sys.modules)\n"
    )
    start()
    job = finished(room, code, **{"requirements.txt": "mjhome\n"})
    wait.until(lambda: ended(room, job), timeout_s=120)
    assert room.service.job(job).job.status is Status.DONE, error(room, job)
    said = (room.home / "returns" / "back" / "said").read_text()
    assert said.startswith("at home ")
    assert str(room.home / "environments") in said


def test_packages_that_cannot_be_installed_are_told_in_the_installers_words(room: Room, start: Start) -> None:
    start()
    job = finished(room, "def work(data):\n    pass\n", **{"requirements.txt": "mj-no-such-package\n"})
    wait.until(lambda: ended(room, job), timeout_s=120)
    assert room.service.job(job).job.status is Status.RETURN_FAILED
    assert "could not be installed on the server" in error(room, job)
    assert "mj-no-such-package" in error(room, job)


def test_it_runs_in_a_lasting_folder_that_shows_the_version(room: Room, start: Start) -> None:
    code = (
        "import os\ndef work(data):\n    words = open('words.txt').read()\n"
        "    open(data['name'], 'w').write(words + os.environ['MJ_JOB_ID'])\n"
    )
    job = finished(room, code, **{"words.txt": "job "})
    start()
    wait.until(lambda: ended(room, job))
    assert room.service.job(job).job.status is Status.DONE
    assert (room.home / "returns" / "back" / "a").read_text() == f"job {job}"


def test_its_environment_has_no_secret_of_ours(room: Room, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MJ_DB", "mysql://secret")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    code = "import os\ndef work(data):\n    open('env', 'w').write(','.join(sorted(os.environ)))\n"
    job = finished(room, code)
    start()
    wait.until(lambda: ended(room, job))
    seen = (room.home / "returns" / "back" / "env").read_text().split(",")
    assert not {"MJ_DB", "SSH_AUTH_SOCK", "MJ_TOKEN"} & set(seen)
    assert {"PATH", "MJ_JOB_ID", "MJ_ATTEMPT"} <= set(seen)


def test_a_failure_carries_its_traceback(room: Room, start: Start) -> None:
    job = finished(room, "def work(data):\n    raise KeyError('no such shelf')\n")
    start()
    wait.until(lambda: ended(room, job))
    assert room.service.job(job).job.status is Status.RETURN_FAILED
    assert "no such shelf" in error(room, job)


def test_a_death_is_a_failure_and_the_next_call_gets_a_new_process(room: Room, start: Start) -> None:
    code = "import os\ndef work(data):\n    data['name'] == 'die' and os._exit(5)\n"
    dead = finished(room, code, data='{"name": "die"}')
    start()
    wait.until(lambda: ended(room, dead))
    assert "exit code 5" in error(room, dead)
    [alive] = room.submit(1, "back")
    [claimed] = room.claim(alive)
    room.report(
        ("end", alive, claimed.attempt, {"ok": True, "reason": "", "result": "1", "return_data": '{"name": 1}'})
    )
    wait.until(lambda: ended(room, alive))
    assert room.service.job(alive).job.status is Status.DONE


def test_a_call_that_takes_too_long_is_ended(room: Room, start: Start) -> None:
    code = "import time\ndef work(data):\n    time.sleep(600)\n"
    job = finished(room, code, **{"job.yml": "return_timeout: 1\n"})
    start()
    wait.until(lambda: ended(room, job))
    assert "did not end within 1 s" in error(room, job)


def test_being_stopped_is_not_a_failure(room: Room, start: Start) -> None:
    code = (
        "import os, time\ndef work(data):\n    open('begun', 'a').write('x')\n"
        "    while not os.path.exists('go'):\n        time.sleep(0.01)\n"
    )
    job = finished(room, code)
    folder = room.home / "returns" / "back"
    first = start()
    wait.until((folder / "begun").exists)
    first.stop()
    assert room.service.job(job).job.status is Status.RETURNING
    (folder / "go").touch()
    start()
    wait.until(lambda: ended(room, job))
    assert room.service.job(job).job.status is Status.DONE
    assert (folder / "begun").read_text() == "xx"


def test_an_error_of_nonsense_is_an_error_all_the_same(room: Room, start: Start) -> None:
    job = finished(room, "def work(data):\n    raise KeyError('\\udcff \\0')\n")
    start()
    wait.until(lambda: ended(room, job))
    assert room.service.job(job).job.status is Status.RETURN_FAILED


def test_a_result_is_told_while_the_next_call_runs(room: Room, start: Start) -> None:
    code = (
        "import os, time\ndef work(data):\n"
        "    while data['name'] == 'slow' and not os.path.exists('go'):\n        time.sleep(0.01)\n"
    )
    slow = [finished(room, code, data='{"name": "slow"}', **{"job.yml": "return_timeout: 60\n"}) for _ in range(2)]
    quick = finished(room, code, data='{"name": "quick"}', **{"job.yml": "return_timeout: 60\n"})
    room.sql("UPDATE jobs SET due_at = due_at - id")
    room.sql("UPDATE jobs SET due_at = due_at - 1000 WHERE id = ?", [quick])
    start()
    wait.until(lambda: ended(room, quick))
    (room.home / "returns" / "back" / "go").touch()
    wait.until(lambda: all(ended(room, job) for job in slow))


def test_a_death_with_a_child_that_holds_the_pipe_is_noticed(room: Room, start: Start) -> None:
    code = (
        "import os, subprocess\ndef work(data):\n"
        "    subprocess.Popen(['sleep', '60'], close_fds=False, start_new_session=False)\n    os._exit(3)\n"
    )
    job = finished(room, code)
    start()
    wait.until(lambda: ended(room, job), timeout_s=20)
    assert "exit code 3" in error(room, job)


def test_a_process_that_died_while_idle_costs_the_next_call_nothing(room: Room, start: Start) -> None:
    code = (
        "import os, threading\ndef work(data):\n"
        "    if not os.path.exists('died'):\n        open('died', 'w').close()\n"
        "        threading.Timer(0.2, os._exit, [9]).start()\n"
    )
    first = finished(room, code)
    start()
    wait.until(lambda: ended(room, first))
    wait.until(lambda: not _living(room), what="the process to die")
    second = finished(room, code)
    wait.until(lambda: ended(room, second))
    assert room.service.job(second).job.status is Status.DONE


def _living(room: Room) -> bool:
    folder = room.home / "returns"
    return any(_state(pid) not in ("", "Z") for pid in processes_below(folder))


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_what_it_prints_is_kept_in_a_bounded_log(room: Room, start: Start) -> None:
    job = finished(room, "def work(data):\n    print('hello from', data['name'])\n")
    start()
    wait.until(lambda: ended(room, job))
    wait.until(lambda: "hello from a" in (room.home / "logs" / "back.log").read_text())


def test_links_that_calls_made_stay(tmp_path: Path) -> None:
    (tmp_path / "versions" / "v0").mkdir(parents=True)
    (tmp_path / "versions" / "v0" / "gone").write_text("")
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    (cwd / "latest").symlink_to("result-7")
    (cwd / "gone").symlink_to("nowhere")
    show_entries(tmp_path / "versions" / "v0", cwd)
    assert (cwd / "latest").readlink() == Path("result-7")
    assert (cwd / "gone").readlink() == Path("nowhere")


def test_files_of_earlier_calls_stay_and_links_follow_the_version(tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / f"only{number}.txt").write_text(str(number))
    cwd = tmp_path / "cwd"
    show_entries(tmp_path / "v0", cwd)
    (cwd / "kept").write_text("mine")
    show_entries(tmp_path / "v1", cwd)
    assert {path.name for path in cwd.iterdir()} == {"kept", "only1.txt"}


# -------------------------------------------------------------------------------------- no type waits for another

HANGS = "import time\ndef work(data):\n    time.sleep(1000)\n"


def returning(room: Room, job_type: str, code: str, count: int) -> list[int]:
    """So many jobs of a type whose return_main is due."""
    room.service.publish_folder(job_type, room.folder(job_type, {"return_main.py": code}))
    jobs = room.submit(count, job_type)
    claimed = room.claim(*jobs, version=room.service.current_versions()[job_type].version)
    room.report(*[("end", one.job_id, one.attempt, ok(return_data="1")) for one in claimed])
    return jobs


def test_types_that_hang_do_not_hold_up_the_others(room: Room, start: Start) -> None:
    for number in range(3):
        returning(room, f"hang{number}", HANGS, 60)
    start()
    wait.until(lambda: len(room.service.jobs(JobFilter(status=frozenset({Status.RETURNING}))).jobs) >= 50)
    quick = returning(room, "quick", "def work(data):\n    pass\n", 120)
    wait.until(lambda: all(ended(room, job) for job in quick), timeout_s=60)
    assert {room.service.job(job).job.status for job in quick} == {Status.DONE}


def a_call(job_type: str, job_id: int) -> PendingReturn:
    return PendingReturn(job_id, 1, job_type, 0, "1", 1)


def test_each_type_has_a_place_and_the_shared_ones_go_to_who_has_fewest() -> None:
    lines = Lines(places=2)
    for number in range(10):
        lines.add(a_call("many", number))
    begun = [lines.begin() for _ in range(3)]
    assert [call and call.job_id for call in begun] == [0, 1, None]
    lines.add(a_call("other", 77))
    lines.add(a_call("third", 88))
    assert {call.job_type for call in (lines.begin(), lines.begin()) if call} == {"other", "third"}
    assert lines.begin() is None
    lines.end("many")
    lines.end("other")
    lines.end("third")
    lines.add(a_call("other", 78))
    following = lines.begin()
    assert following is not None
    assert following.job_type == "other"


def test_a_type_with_enough_calls_taken_is_left_in_the_store() -> None:
    lines = Lines(places=1)
    for number in range(25):
        assert lines.full() == []
        lines.add(a_call("many", number))
    assert lines.full() == ["many"]
    assert [call.job_id for call in lines.drain()] == list(range(25))
