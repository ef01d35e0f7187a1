"""What a runner promises, under every Python this machine has."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_runner import bundle
from tests.support.runner_peer import Nothing, Peer


def interpreters() -> list[str]:
    """One interpreter of each version from 3.6 on, from pyenv and PATH."""
    found: dict[tuple[int, int], str] = {sys.version_info[:2]: sys.executable}
    for path in [*Path.home().glob(".pyenv/versions/3.*/bin/python"), *map(shutil.which, _names())]:
        version = _version(str(path)) if path else None
        if version and version >= (3, 6):
            found.setdefault(version, str(path))
    return [found[version] for version in sorted(found)]


def _names() -> list[str]:
    return [f"python3.{minor}" for minor in range(6, 20)] + ["python3"]


def _version(python: str) -> tuple[int, int] | None:
    done = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"Python (\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else None


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return bundle.build(tmp_path_factory.mktemp("bundle")).path


@pytest.fixture(params=interpreters(), ids=lambda path: "py{}.{}".format(*(_version(path) or (0, 0))))
def peer(request: pytest.FixtureRequest, packed: str, tmp_path: Path) -> Iterator[Peer]:
    found = Peer(request.param, packed, tmp_path / "root")
    yield found
    found.close()
    assert not strays(tmp_path), "processes are left"


@pytest.fixture
def one(packed: str, tmp_path: Path) -> Iterator[Peer]:
    """A peer under this Python only: for what no version can change."""
    found = Peer(sys.executable, packed, tmp_path / "root")
    yield found
    found.close()
    assert not strays(tmp_path), "processes are left"


def strays(folder: Path) -> list[int]:
    """Processes that work below a folder or carry it in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and alive(int(entry.name)) and _belongs(entry, folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _belongs(entry: Path, folder: Path) -> bool:
    marker = f"MJ_WORKER={folder}".encode()
    return str((entry / "cwd").readlink()).startswith(str(folder)) or marker in (entry / "environ").read_bytes()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def until(condition: object, what: str, deadline_s: float = 30) -> None:
    """Wait for something that no message tells."""
    end = time.monotonic() + deadline_s
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise Nothing(f"{what} did not come")
        time.sleep(0.01)


# -- the plain walk


def test_results_come_home(peer: Peer) -> None:
    peer.attach()
    ref = peer.publish("double", 0, {"main.py": "def work(x, y=1):\n    return x * 2 + y\n"})
    assert peer.results(peer.assign(ref, *range(200))) == [x * 2 + 1 for x in range(200)]
    assert peer.results(peer.assign(ref, {"x": 5, "y": 0})) == [10]
    assert set(peer.routes) == {"http"}


def test_a_job_sees_its_folder(peer: Peer) -> None:
    main = """
import os, sys
from helper import word
from deep.inner import other
def work():
    with open("mine.txt", "w") as out:
        out.write("mine")
    return [word, other, open("data.txt").read(), os.path.basename(sys.argv[0]), __name__]
"""
    files = {"main.py": main, "helper.py": "word = 'h'\n", "deep/__init__.py": "", "deep/inner.py": "other = 'i'\n"}
    peer.attach()
    ref = peer.publish("folder", 3, {**files, "data.txt": "数据"})
    jobs = peer.assign(ref, *[[]] * 5)
    assert peer.results(jobs) == [["h", "i", "数据", "main.py", "main"]] * 5
    version = next((peer.root / "versions/folder").iterdir())
    assert not (version / "mine.txt").exists()
    assert not list(version.rglob("__pycache__"))


def test_failures_say_how(peer: Peer) -> None:
    main = """
import os, signal, sys
def work(how):
    if how == "raise": raise ValueError("over \\u00fc here")
    if how == "exit": sys.exit(7)
    if how == "_exit": os._exit(9)
    if how == "signal": os.kill(os.getpid(), signal.SIGKILL)
    if how == "nan": return {"a": [1, float("nan")]}
    if how == "set": return {"result": {"deep": [1, {2}]}}
    if how == "large": return "x" * (9 * 1024 * 1024)
    return how
"""
    peer.attach()
    ref = peer.publish("fail", 0, {"main.py": main})
    hows = ["raise", "exit", "_exit", "signal", "nan", "set", "large", "fine"]
    jobs = peer.assign(ref, *hows)
    found = peer.ends(jobs)
    ends = {how: found[job] for how, job in zip(hows, jobs, strict=True)}
    assert ends["raise"]["reason"] == "error"
    assert ends["raise"]["error"].startswith("Traceback")
    assert "remote_runner" not in ends["raise"]["error"]
    assert "ValueError: over ü here" in ends["raise"]["error"]
    assert (ends["exit"]["reason"], ends["exit"]["exit_code"]) == ("error", 7)
    assert (ends["_exit"]["reason"], ends["_exit"]["exit_code"]) == ("died", 9)
    assert (ends["signal"]["reason"], ends["signal"]["signal"]) == ("died", 9)
    assert ends["nan"]["reason"] == "bad_result"
    assert "result.a[1]" in ends["nan"]["error"]
    assert "result.deep[1]" in ends["set"]["error"]
    assert ends["large"]["reason"] == "result_too_large"
    assert ends["fine"]["ok"]


def test_output_comes_with_its_own_attempt(peer: Peer) -> None:
    main = """
import os, subprocess, sys
def work(n):
    if n % 3 == 0:
        return n
    print("out", n)
    if n % 3 == 1:
        os.write(2, b"err %d\\n" % n)
        subprocess.call(["echo", "child", str(n)])
    return n
"""
    peer.attach(limit=2)
    ref = peer.publish("talk", 0, {"main.py": main})
    jobs = peer.assign(ref, *range(150))
    ends = peer.ends(jobs)
    for n, job in enumerate(jobs):
        log = ends[job].get("log")
        if n % 3 == 0:
            assert log is None
        elif n % 3 == 1:
            assert log["stdout"]["head"] == f"out {n}\nchild {n}\n"
            assert log["stderr"]["head"] == f"err {n}\n"
        else:
            assert log["stdout"] == {"head": f"out {n}\n", "tail": "", "total": len(f"out {n}\n")}


def test_a_flood_of_output_is_bounded(peer: Peer) -> None:
    main = """
import sys
def work(n):
    for at in range(n):
        sys.stdout.write("%09d\\n" % at)
    return n
"""
    peer.attach()
    ref = peer.publish("flood", 0, {"main.py": main})
    count = 200000
    log = peer.end(peer.assign(ref, count)[0])["log"]["stdout"]
    text = "".join(f"{at:09d}\n" for at in range(count))
    assert log["total"] == count * 10
    assert log["head"] == text[: 64 * 1024]
    assert log["tail"] == text[-192 * 1024 :]
    assert not list((peer.root / "run/attempts").iterdir())


def test_what_an_attempt_prints_is_watched_live(peer: Peer, tmp_path: Path) -> None:
    main = """
import os, time
def work(path):
    said = 0
    while os.path.exists(path):
        while said < os.path.getsize(path):
            said += 1
            print("Zeile %d \u6c49" % said)
        time.sleep(0.01)
"""
    path = tmp_path / "lines"
    path.touch()
    peer.attach()
    (job,) = peer.assign(peer.publish("echo", 0, {"main.py": main}), str(path))
    peer.send(
        {"t": "watch", "n": 5, "job": job, "attempt": 1, "stream": "stdout", "offset": 0, "upto": None, "for_s": 50}
    )
    peer.wait(lambda: frames(peer), "a first frame")
    path.write_bytes(b"...")
    said = "".join(f"Zeile {at} 汉\n" for at in (1, 2, 3))
    peer.wait(lambda: "".join(one["text"] for one in frames(peer)) == said, "three lines")
    assert [one["n"] for one in frames(peer)] == [5] * len(frames(peer))
    assert frames(peer)[-1]["total"] == len(said.encode())
    peer.send(
        {"t": "watch", "n": 5, "job": job, "attempt": 1, "stream": "stdout", "offset": 0, "upto": None, "for_s": 0}
    )
    path.unlink()
    assert peer.end(job)["log"]["stdout"]["head"] == said


def frames(peer: Peer) -> list[dict[str, Any]]:
    return [message for message in peer.messages if message["t"] == "log"]


def test_progress_is_told_by_call_and_by_bar(peer: Peer, tmp_path: Path) -> None:
    main = """
import os, sys, time
import multijob_progress
def work(kind, path):
    while os.path.exists(path):
        if kind == "call":
            multijob_progress.report(3, 12)
        else:
            sys.stderr.write("\\r 25%|\u2588\u2588\u258c       | 5/20 [00:01<00:03,  4.9it/s]")
            sys.stderr.flush()
        time.sleep(0.05)
"""
    path = tmp_path / "there"
    path.touch()
    peer.attach(limit=2)
    jobs = peer.assign(peer.publish("far", 0, {"main.py": main}), ["call", str(path)], ["bar", str(path)])
    whole = [[jobs[0], 1, 3.0, 12.0], [jobs[1], 1, 5.0, 20.0]]
    peer.wait(lambda: any(sorted(one) == whole for one in progress(peer)), "how far both are")
    path.unlink()
    peer.ends(jobs)
    peer.wait(lambda: progress(peer)[-1] == [], "that none of them runs any more")
    assert not list((peer.root / "run/attempts").iterdir())


def progress(peer: Peer) -> list[list[Any]]:
    return [message["rows"] for message in peer.messages if message["t"] == "progress"]


def test_a_job_brings_its_own_module_of_that_name(one: Peer) -> None:
    files = {"main.py": "import multijob_progress\ndef work(_): return multijob_progress.MINE\n"}
    one.attach()
    ref = one.publish("own", 0, {**files, "multijob_progress.py": "MINE = 7\n"})
    assert one.results(one.assign(ref, 1)) == [7]


def test_a_changed_process_retires_and_the_result_arrives(peer: Peer) -> None:
    main = """
import json, os, signal, subprocess, sys, threading, time
def close():
    os.closerange(0, 300)
def reuse():
    os.closerange(3, 300)
    for _ in range(40): os.open("/dev/null", os.O_RDWR)
def patch():
    json.dumps = json.loads = json.JSONEncoder.encode = json.JSONEncoder.iterencode = None
    os.write = os.getpid = time.monotonic = None
def alarm():
    signal.signal(signal.SIGALRM, lambda *a: 1 / 0)
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
HOW = {
    "cwd": lambda: os.chdir("/"),
    "rmdir": lambda: __import__("shutil").rmtree(os.getcwd()),
    "environ": lambda: os.environ.update(LEFT="1"),
    "path": lambda: sys.path.insert(0, "/nowhere"),
    "open": lambda: os.open("/dev/null", 0),
    "close": close,
    "reuse": reuse,
    "signal": lambda: signal.signal(signal.SIGUSR1, lambda *a: None),
    "alarm": alarm,
    "umask": lambda: os.umask(0),
    "thread": lambda: threading.Thread(target=time.sleep, args=(1000,)).start(),
    "child": lambda: subprocess.Popen(["sleep", "1000"]),
    "file": lambda: open("left.txt", "w").close(),
}
seen = []
def work(how):
    pid = os.getpid()
    clean = [not seen, os.path.exists("main.py"), "LEFT" not in os.environ]
    clean += ["/nowhere" not in sys.path, not os.path.exists("left.txt")]
    if how in HOW: HOW[how]()
    if how == "patch": patch()
    if how: seen.append(how)
    return {"result": [pid, clean]}
"""
    hows = [
        "cwd", "rmdir", "environ", "path", "open", "close", "reuse", "signal", "umask", "thread", "child", "file",
    ]  # fmt: skip
    peer.attach(limit=1)
    ref = peer.publish("change", 0, {"main.py": main})
    for how in hows:
        (pid, clean), (next_pid, next_clean) = (peer.results(peer.assign(ref, word))[0] for word in (how, ""))
        assert clean == next_clean == [True] * 5, how
        assert pid != next_pid, how
    peer.end(peer.assign(ref, "alarm")[0])  # its handler may strike inside work() or after it
    assert peer.results(peer.assign(ref, ""))[0][1] == [True] * 5
    assert peer.results(peer.assign(ref, "patch"))[0][1] == [True] * 5


@pytest.mark.parametrize("fresh", [False, True])
def test_a_result_comes_home_whatever_the_job_made_of_the_built_ins(peer: Peer, fresh: bool) -> None:
    """Three times: a process of its own is prepared from what came before once one has ended well."""
    main = (
        "import builtins\nnothing = dict.fromkeys(name for name in dir(builtins) if name[0] != '_')\n"
        "def work(x):\n    builtins.__dict__.update(nothing)\n    return {'got': [x, 1.5, 'y']}\n"
    )
    peer.attach(limit=1)
    ref = peer.publish(f"vandal_{fresh}", 0, {"main.py": main}, fresh_process=fresh)
    for x in range(3):
        assert peer.results(peer.assign(ref, x)) == [{"got": [x, 1.5, "y"]}]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_failure_comes_home_whatever_the_job_made_of_the_built_ins(peer: Peer, fresh: bool) -> None:
    main = (
        "import builtins\nnothing = dict.fromkeys(name for name in dir(builtins) if name[0] != '_')\n"
        "def work(x):\n    builtins.__dict__.update(nothing)\n    return 1 / 0\n"
    )
    peer.attach(limit=1)
    ref = peer.publish(f"angry_{fresh}", 0, {"main.py": main}, fresh_process=fresh)
    for x in range(2):
        end = peer.end(peer.assign(ref, x)[0])
        assert (end["ok"], end["reason"]) == (False, "error")
        assert "ZeroDivisionError" in end["error"]


def test_fresh_process_isolates(peer: Peer) -> None:
    peer.attach()
    main = "import os\nseen = []\ndef work(x):\n    seen.append(x)\n    return [len(seen), os.getpid()]\n"
    ref = peer.publish("fresh", 0, {"main.py": main}, fresh_process=True)
    results = peer.results(peer.assign(ref, *range(30)))
    assert {count for count, _ in results} == {1}
    assert len({pid for _, pid in results}) == 30


def test_max_jobs_per_worker(peer: Peer) -> None:
    peer.attach(limit=1)
    ref = peer.publish(
        "bound", 0, {"main.py": "import os\ndef work(x):\n    return os.getpid()\n"}, max_jobs_per_worker=5
    )
    pids = peer.results(peer.assign(ref, *range(20)))
    assert all(pids.count(pid) == 5 for pid in pids)


# -- ending things

DAEMON = """
import os, signal, subprocess, sys, time
def work(note):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.chdir("/")
            os.closerange(0, 100)
            with open(note + ".tmp", "w") as out:
                out.write("%d %d %d" % (os.getppid(), os.getpid(), child.pid))
            os.rename(note + ".tmp", note)
            os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(1000)"], {})
        os._exit(0)
    time.sleep(1000)
"""


def test_kill_takes_the_whole_tree(peer: Peer, tmp_path: Path) -> None:
    note = tmp_path / "note"
    peer.attach()
    ref = peer.publish("daemon", 0, {"main.py": DAEMON})
    job = peer.assign(ref, str(note))[0]
    until(note.exists, "the daemon's note")
    pids = [int(word) for word in note.read_text().split()[1:]]
    peer.send({"t": "kill", "attempts": [[job, 1]], "grace_s": 0.2})
    end = peer.end(job)
    assert (end["ok"], end["reason"]) == (False, "killed")
    assert end.get("started", True)
    assert not any(alive(pid) for pid in pids)


def test_what_a_job_leaves_running_ends_with_it(peer: Peer, tmp_path: Path) -> None:
    note = tmp_path / "note"
    main = DAEMON.replace(
        "    time.sleep(1000)\n", "    while not os.path.exists(note): time.sleep(0.01)\n    return 1\n"
    )
    peer.attach()
    ref = peer.publish("leaver", 0, {"main.py": main.replace('time; time.sleep(1000)", {})', "")})
    assert peer.results(peer.assign(ref, str(note))) == [1]
    pids = [int(word) for word in note.read_text().split()[1:]]
    until(lambda: not any(alive(pid) for pid in pids), "the end of what was left")


def test_kill_of_one_spares_its_neighbours(peer: Peer) -> None:
    main = "import time\ndef work(s):\n    time.sleep(s)\n    return s\n"
    peer.attach(limit=2)
    ref = peer.publish("sleep", 0, {"main.py": main})
    peer.results(peer.assign(ref, *[0] * 20))
    jobs = peer.assign(ref, 1000, 1000, *[0] * 10)
    peer.wait(lambda: len(peer.of_kind("start").keys() & set(jobs[:2])) == 2, "both starts")
    peer.send({"t": "kill", "attempts": [[jobs[0], 1], [jobs[5], 1]], "grace_s": 1})
    ends = peer.ends([jobs[0], *jobs[2:]])
    assert ends[jobs[0]]["reason"] == "killed"
    assert (ends[jobs[5]]["reason"], ends[jobs[5]]["started"]) == ("killed", False)
    assert all(ends[job]["ok"] for job in [*jobs[2:5], *jobs[6:]])
    assert jobs[1] not in peer.of_kind("end")


STOPPABLE = """
import signal, time
class Stop(Exception): pass
def stop(*_):
    raise Stop
def work(s):
    before = signal.signal(signal.SIGTERM, stop)
    try:
        time.sleep(s)
        return "slept"
    except Stop:
        return "stopped"
    finally:
        signal.signal(signal.SIGTERM, before)
"""


def test_a_result_in_the_time_of_grace_stands_and_the_next_job_is_not_hurt(peer: Peer) -> None:
    peer.attach(limit=1)
    ref = peer.publish("stop", 0, {"main.py": STOPPABLE})
    peer.results(peer.assign(ref, *[0] * 20))
    jobs = peer.assign(ref, 1000, *[0] * 20)
    peer.wait(lambda: jobs[0] in peer.of_kind("start"), "the start")
    peer.send({"t": "kill", "attempts": [[jobs[0], 1]], "grace_s": 0.5})
    assert peer.results(jobs) == ["stopped"] + ["slept"] * 20


def test_a_job_over_its_time_ends(peer: Peer) -> None:
    peer.attach(limit=1)
    ref = peer.publish(
        "slow", 0, {"main.py": "import time\ndef work(s):\n    time.sleep(s)\n    return s\n"}, timeout_s=0.3
    )
    slow, quick = peer.assign(ref, 1000, 0)
    assert peer.end(slow)["reason"] == "timeout"
    assert peer.end(quick)["ok"]


def test_recall_gives_back_what_has_not_begun(peer: Peer) -> None:
    peer.attach(limit=1)
    ref = peer.publish("sleep", 0, {"main.py": "import time\ndef work(s):\n    time.sleep(s)\n    return s\n"})
    peer.results(peer.assign(ref, *[0] * 20))
    jobs = peer.assign(ref, 1000, *[0] * 20)
    peer.wait(lambda: jobs[0] in peer.of_kind("start"), "the start")
    peer.send({"t": "recall", "attempts": None})
    peer.wait(lambda: set(jobs[1:]) <= peer.of_kind("back").keys(), "what was recalled")
    assert jobs[0] not in peer.of_kind("back")
    assert not set(jobs[1:]) & peer.of_kind("start").keys()


def test_a_job_behind_a_long_one_goes_elsewhere(peer: Peer) -> None:
    peer.attach(limit=2)
    ref = peer.publish("sleep", 0, {"main.py": "import time\ndef work(s):\n    time.sleep(s)\n    return s\n"})
    peer.results(peer.assign(ref, *[0] * 100))
    jobs = peer.assign(ref, 1000, *[0] * 60)
    peer.ends(jobs[1:])


# -- what outlives what


def test_the_connection_is_not_the_job(peer: Peer) -> None:
    peer.attach()
    ref = peer.publish("sleep", 0, {"main.py": "import time\ndef work(s):\n    time.sleep(s)\n    return s\n"})
    job = peer.assign(ref, 1)[0]
    peer.wait(lambda: job in peer.of_kind("start"), "the start")
    peer.detach()
    peer.attach()
    assert peer.hello["runner"] == peer.runner
    assert peer.end(job)["ok"]


def test_records_go_by_the_channel_when_nobody_answers(peer: Peer) -> None:
    peer.is_answering = False
    peer.attach()
    ref = peer.publish("echo", 0, {"main.py": "def work(x):\n    return x\n"})
    assert peer.results(peer.assign(ref, *range(10))) == list(range(10))
    assert set(peer.routes) == {"channel"}
    peer.is_answering = True
    jobs = peer.assign(ref, *range(5))
    assert peer.results(jobs) == list(range(5))


def test_records_go_by_the_channel_without_a_url(peer: Peer) -> None:
    peer.attach(url=None)
    ref = peer.publish("echo", 0, {"main.py": "def work(x):\n    return x\n"})
    assert peer.results(peer.assign(ref, *range(3000))) == list(range(3000))


def test_what_is_not_stored_is_sent_again(peer: Peer) -> None:
    peer.is_storing = False
    peer.attach(url=None)
    ref = peer.publish("echo", 0, {"main.py": "def work(x):\n    return x\n"})
    job = peer.assign(ref, 1)[0]
    peer.end(job)
    peer.detach()
    peer.is_storing = True
    before = len(peer.records)
    peer.attach(url=None)
    assert [job, 1, "ended"] in peer.hello["held"]
    peer.wait(lambda: len(peer.records) > before, "the record again")


def test_a_dead_runners_journal_is_collected(peer: Peer) -> None:
    peer.is_storing = False
    peer.attach(url=None, limit=1)
    ref = peer.publish("sleep", 0, {"main.py": "import time\ndef work(s):\n    time.sleep(s)\n    return s\n"})
    done = peer.assign(ref, 0)[0]
    assert peer.end(done)["ok"]
    running, waiting = peer.assign(ref, 1000, 1000)
    time_marked(peer, running)
    os.kill(peer.hello["pid"], signal.SIGKILL)
    peer.wait_until_left()
    peer.detach()
    old, peer.runner = peer.runner, peer.runner + "-next"
    peer.is_storing = True
    peer.records.clear()
    peer.attach(url=None)
    assert (peer.hello["runner"], peer.hello["earlier"]) == (peer.runner, [old])
    ends = peer.ends([done, running, waiting])
    assert ends[done]["ok"]
    assert (ends[running]["reason"], ends[running]["started"]) == ("died", True)
    assert (ends[waiting]["reason"], ends[waiting]["started"]) == ("died", False)
    assert {runner for runner, _ in peer.records} == {old}
    until(lambda: not list((peer.root / "run/journal").glob(old + ".*")), "the end of the old journal")


def time_marked(peer: Peer, job: int) -> None:
    """Wait until a file of marks shows the job as started."""
    from remote_runner import marks

    path = peer.root / f"run/journal/{peer.runner}.marks"
    until(lambda: (job, 1) in marks.read_started(str(path)), "the mark")


def test_a_killed_supervisor_takes_its_job_with_it(peer: Peer, tmp_path: Path) -> None:
    note = tmp_path / "note"
    main = DAEMON.replace("    time.sleep(1000)\n", "    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(1000)\n")
    peer.attach()
    ref = peer.publish("daemon", 0, {"main.py": main, "other.py": ""})
    job = peer.assign(ref, str(note))[0]
    assert peer.end(job)["reason"] == "died"
    if note.exists():
        pids = [int(word) for word in note.read_text().split()[1:]]
        until(lambda: not any(alive(pid) for pid in pids), "the end of the orphans")
    echo = peer.publish("echo", 0, {"main.py": "def work(x):\n    return x\n"})
    assert peer.results(peer.assign(echo, 1)) == [1]


def test_nothing_is_left_when_all_is_done(peer: Peer) -> None:
    peer.attach()
    ref = peer.publish("echo", 0, {"main.py": "def work(x):\n    return x\n"})
    peer.end(peer.assign(ref, 1)[0])
    peer.detach()
    peer.attach(linger_s=0.2)
    peer.wait_until_left()
    assert any(message["t"] == "leaving" for message in peer.messages)
    until(lambda: not alive(peer.hello["pid"]), "the end of the runner")
    assert names(peer.root / "run") == ["journal", "lock"]
    assert names(peer.root / "run/journal") == []


def test_a_runner_without_contact_leaves_only_its_journal(peer: Peer) -> None:
    peer.is_storing = False
    peer.attach(url=None, orphan_s=0.5)
    ref = peer.publish("echo", 0, {"main.py": "def work(x):\n    return x\n"})
    peer.end(peer.assign(ref, 1)[0])
    peer.detach()
    until(lambda: not alive(peer.hello["pid"]), "the end of the runner")
    assert names(peer.root / "run") == ["journal", "lock"]
    assert any(name.endswith(".jnl") for name in names(peer.root / "run/journal"))
    peer.runner += "-next"
    peer.is_storing = True
    before = len(peer.records)
    peer.attach(url=None)
    peer.wait(lambda: len(peer.records) > before, "the old record")


def test_a_damaged_version_is_not_run(peer: Peer) -> None:
    peer.attach()
    ref = peer.publish("echo", 0, {"main.py": "def work(x):\n    return x\n"})
    main = next((peer.root / "versions/echo").iterdir()) / "main.py"
    main.chmod(0o600)
    main.write_text("def work(x):\n    return 'tampered'\n")
    job = peer.assign(ref, 1)[0]
    peer.wait(lambda: job in peer.of_kind("back"), "the job back")
    peer.wait(lambda: "version_damaged" in peer.troubles(), "the word of it")


def test_two_types_whose_code_has_one_size_and_one_time_are_told_apart(peer: Peer) -> None:
    peer.attach(limit=1)
    refs = [peer.publish(name, 0, {"main.py": f"def work():\n    return '{name}'\n"}) for name in ("one", "two")]
    for main in peer.root.glob("versions/*/*/main.py"):
        os.utime(main, (1700000000, 1700000000))
    assert [peer.results(peer.assign(ref, [])) for ref in (*refs, *refs)] == [["one"], ["two"], ["one"], ["two"]]


def test_a_large_input_and_a_large_result(peer: Peer) -> None:
    peer.attach()
    ref = peer.publish("large", 0, {"main.py": "def work(text):\n    return text * 2\n"})
    text = '"\\ü€😀' * 300000
    assert peer.results(peer.assign(ref, text)) == [text * 2]
    assert not list((peer.root / "run/attempts").iterdir())


def test_lowering_and_raising_the_limit(peer: Peer) -> None:
    peer.attach(limit=1)
    main = "import time\ndef work(s):\n    time.sleep(s)\n    return s\n"
    ref = peer.publish("sleep", 0, {"main.py": main})
    jobs = peer.assign(ref, *[1000] * 3)
    peer.wait(lambda: len(peer.of_kind("start")) == 1, "one start")
    peer.send({"t": "limit", "limit": 3})
    peer.wait(lambda: set(jobs) == peer.of_kind("start").keys(), "all starts")


def test_many_attach_at_once_to_one_runner(packed: str, one: Peer) -> None:
    command = [one.python, "-I", packed, "attach", "--root", str(one.root), "--token", "t"]
    many = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(6)]
    try:
        for each in many:
            assert each.stdout is not None
            assert each.stdout.readline() == b"multijob-stream t\n"
        one.attach()
        assert int((one.root / "run/lock").read_text()) == one.hello["pid"]
    finally:
        for each in many:
            each.kill()
            each.communicate()


def test_a_large_input_that_nobody_took_is_removed(one: Peer) -> None:
    one.attach(limit=1)
    ref = one.publish("sleep", 0, {"main.py": "import time\ndef work(s, text=0):\n    time.sleep(s)\n    return s\n"})
    one.results(one.assign(ref, *[0] * 20))
    jobs = one.assign(ref, *[[1000, "x" * 200000]] * 3)
    one.wait(lambda: jobs[0] in one.of_kind("start"), "the start")
    one.send({"t": "kill", "attempts": [[job, 1] for job in jobs], "grace_s": 1})
    assert {end["reason"] for end in one.ends(jobs).values()} == {"killed"}
    assert names(one.root / "run/attempts") == []


def test_a_failing_runner_says_why_to_the_next(one: Peer) -> None:
    one.attach()
    os.kill(one.hello["pid"], signal.SIGKILL)
    one.wait_until_left()
    one.detach()
    (one.root / "run/failure").write_text("Traceback: the last words")
    one.attach_next()
    one.wait(lambda: "runner_failed" in one.troubles(), "the last words")
    assert not (one.root / "run/failure").exists()


def test_a_malformed_message_is_told_and_nothing_else_happens(one: Peer) -> None:
    one.attach()
    for message in ({"t": "assign"}, {"t": "kill", "attempts": 3}, {"t": "versions", "versions": {"a@0": [1]}}):
        one.send(message)
    one.send({"t": "something new", "x": 1})
    ref = one.publish("echo", 0, {"main.py": "def work(x):\n    return x\n"})
    assert one.results(one.assign(ref, 1)) == [1]
    assert one.troubles() == ["bad_message"] * 3


def test_below_the_floor_it_says_so(packed: str, tmp_path: Path) -> None:
    old = sorted(Path.home().glob(".pyenv/versions/2.7*/bin/python"))
    if not old:
        pytest.skip("no Python 2.7 here")
    done = subprocess.run([str(old[0]), packed, "attach"], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.strip() == "Python 2.7 is too old for a runner: 3.6 or newer is needed"


def test_json_of_a_verb(one: Peer) -> None:
    assert one.verb("purge")["purged"] is False
