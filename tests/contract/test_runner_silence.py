"""G10 on the real runner: an exclusive attempt ends by itself when the server is silent, everything else goes on."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_runner import bundle
from tests.support import wait
from tests.support.runner_peer import Peer

SLEEP = """
import os, time
def work(s, note=None):
    if note: open(note, "w").write(str(os.getpid()))
    time.sleep(s)
    return s
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return bundle.build(tmp_path_factory.mktemp("bundle")).path


@pytest.fixture
def peer(packed: str, tmp_path: Path) -> Iterator[Peer]:
    found = Peer(sys.executable, packed, tmp_path / "root")
    yield found
    found.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_an_exclusive_attempt_ends_in_time_and_others_go_on(peer: Peer, tmp_path: Path) -> None:
    peer.attach(url=None, limit=2, silence_s=3)
    alone = peer.publish("alone", 0, {"main.py": SLEEP}, exclusive=True)
    plain = peer.publish("plain", 0, {"main.py": SLEEP})
    notes = [tmp_path / "alone", tmp_path / "plain"]
    other = peer.assign(plain, [1000, str(notes[1])])
    wait.until(lambda: notes[1].exists() and notes[1].read_text(), what="the start")
    running, waiting = peer.assign(alone, [1000, str(notes[0])], 1000)  # in one message, so that it has both
    wait.until(lambda: notes[0].exists() and notes[0].read_text(), what="the start")
    pids = [int(note.read_text()) for note in notes]
    peer.detach()
    began = time.monotonic()
    wait.until(lambda: not alive(pids[0]), what="the end of the exclusive one", timeout_s=30)
    assert time.monotonic() - began > 1.5
    assert alive(pids[1])
    peer.attach(url=None, silence_s=3)
    end = peer.end(running)
    assert end["reason"] == "died"
    assert "no contact with the server for 3 s" in end["error"]
    peer.wait(lambda: waiting in peer.of_kind("back"), "the one that had not begun")
    assert other[0] not in peer.of_kind("end")


def test_a_channel_that_stays_open_but_silent_is_no_contact(peer: Peer) -> None:
    peer.attach(url=None, silence_s=2)
    ref = peer.publish("alone", 0, {"main.py": SLEEP}, exclusive=True)
    job = peer.assign(ref, 1000)[0]
    peer.wait(lambda: job in peer.of_kind("start"), "the start")
    peer.is_ponging = False
    assert peer.end(job)["reason"] == "died"


def test_with_a_server_that_answers_it_runs_as_long_as_it_likes(peer: Peer) -> None:
    peer.attach(url=None, silence_s=1)
    ref = peer.publish("alone", 0, {"main.py": SLEEP}, exclusive=True)
    assert peer.results(peer.assign(ref, 4)) == [4]


def test_a_server_of_before_that_knows_no_silence_ends_nothing(peer: Peer) -> None:
    peer.is_ponging = False
    peer.attach(url=None)
    ref = peer.publish("alone", 0, {"main.py": SLEEP}, exclusive=True)
    assert peer.results(peer.assign(ref, 3)) == [3]
    assert not [message for message in peer.messages if message["t"] == "ping"]


def test_the_machines_own_variables_stand_below_the_versions(peer: Peer) -> None:
    main = "import os\ndef work(*names):\n    return [os.environ.get(name) for name in names]\n"
    peer.attach(env={"PROXY": "http://p", "BOTH": "machine"})
    ref = peer.publish("env", 0, {"main.py": main}, env={"BOTH": "version"})
    assert peer.results(peer.assign(ref, ["PROXY", "BOTH"])) == [["http://p", "version"]]
    peer.detach()
    peer.attach(env={"PROXY": "http://other"})
    assert peer.results(peer.assign(ref, ["PROXY", "BOTH"])) == [["http://other", "version"]]


def test_a_failure_says_how_the_machine_was_and_a_success_does_not(peer: Peer) -> None:
    main = "def work(x):\n    return 1 // x\n"
    peer.attach()
    ref = peer.publish("fail", 0, {"main.py": main})
    good, bad = (peer.end(job) for job in peer.assign(ref, 1, 0))
    assert "machine" not in good
    assert bad["machine"]["python"] == "{}.{}.{}".format(*sys.version_info)
    assert bad["machine"]["memory_free_mb"] > 0
    assert bad["machine"]["disk_free_mb"] > 0
    assert bad["machine"]["load1"] >= 0
    assert len(bad["machine"]["runner"]) == 12


def test_what_cannot_be_begun_here_is_told_apart_from_what_is_not_wanted(peer: Peer) -> None:
    peer.attach(limit=1)
    ref = peer.publish("gone", 0, {"main.py": SLEEP})
    main = next((peer.root / "versions/gone").iterdir()) / "main.py"
    main.chmod(0o600)
    main.write_text("tampered = 1\n")
    job = peer.assign(ref, 0)[0]
    peer.wait(lambda: job in peer.of_kind("back"), "the job back")
    assert peer.of_kind("back")[job]["failed"] is True
    good = peer.publish("sleep", 0, {"main.py": SLEEP})
    running, waiting = peer.assign(good, 1000, 0)
    peer.wait(lambda: running in peer.of_kind("start"), "the start")
    peer.send({"t": "recall", "attempts": None})
    peer.wait(lambda: waiting in peer.of_kind("back"), "the recalled one")
    assert "failed" not in peer.of_kind("back")[waiting]


# ------------------------------------------------------------------------------------------- what cannot be killed

ROOTED = """
import os, subprocess, time
def work(tool, note):
    child = subprocess.Popen([tool, "-c", "import os, time; os.setgid(0); os.setuid(0); time.sleep(1000)"])
    time.sleep(0.5)
    with open(note, "w") as out:
        out.write(str(child.pid))
    time.sleep(1000)
"""


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/bin/python3").exists(), reason="needs root and a system Python")
def test_a_process_that_cannot_be_ended_is_told_and_its_attempt_is_not_called_killed(packed: str) -> None:
    """The runner is an ordinary account's; the job's child has become root."""
    folder = Path(tempfile.mkdtemp(prefix="mj-unkillable-"))
    folder.chmod(0o755)
    child = 0
    try:
        tool, code, root = folder / "python", folder / "runner.pyz", folder / "root"
        shutil.copy("/usr/bin/python3", tool)
        tool.chmod(0o4755)
        shutil.copy(packed, code)
        root.mkdir()
        note_folder = folder / "notes"
        note_folder.mkdir()
        for path in (root, note_folder):
            os.chown(path, 65534, 65534)
        peer = Peer(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3"], str(code), root, 65534
        )
        try:
            peer.attach()
            ref = peer.publish("rooted", 0, {"main.py": ROOTED})
            note = note_folder / "pid"
            job = peer.assign(ref, [str(tool), str(note)])[0]
            wait.until(lambda: note.exists() and note.read_text(), what="the child")
            child = int(note.read_text())
            peer.send({"t": "kill", "attempts": [[job, 1]], "grace_s": 0.2})
            peer.wait(lambda: "unkillable" in peer.troubles(), "the word that it cannot be ended")
            assert job not in peer.of_kind("end")
            assert peer.results(
                peer.assign(peer.publish("echo", 0, {"main.py": "def work(x):\n    return x\n"}), 1)
            ) == [1]
            os.kill(child, 9)
            assert peer.end(job)["reason"] == "killed"
        finally:
            if child and alive(child):
                os.kill(child, 9)
            peer.close()
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)
