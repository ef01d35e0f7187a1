"""Answers of machines, read: whole ones, strange ones, broken ones. And the scripts, run by every shell here."""

import getpass
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from inventory.machine import Machine
from orchestrator.errors import NodeUnfit, ProtocolError
from orchestrator.node import health, scripts
from tests.conftest import require

MARK = "c0ffee"
FACTS = {
    "root": "/home/u/.multijob/s1", "python": "/usr/bin/python3", "version": "3.9.2", "platform": "linux-x86_64",
    "cores": 4, "memory_mb": 8000, "disk_mb": 100000, "hostname": "h", "user": "u", "rsync": True,
    "after_logout": "stays", "runners": ["abc"], "versions": {"crawl": ["1-aa"]}, "journals": True,
}  # fmt: skip
POLL = """load 0.52 0.40 0.30 1/100 999
stat cpu 100 0 100 700 100 0 0 0 0 0
mem MemTotal: 8192000
mem MemFree: 1024000
mem MemAvailable: 4096000
disk /dev/sda1 1024000 614400 409600 60% /home
file Pause
"""


def _framed(text: str, noise: str = "") -> bytes:
    return f"{noise}{MARK}\n{text}\n{MARK}\n".encode()


def test_first_contact_is_read_past_noise() -> None:
    contact = health.parse_first_contact(_framed(json.dumps(FACTS), "Welcome!\n{}\n"), MARK)
    assert (contact.root, contact.python_version, contact.cores) == ("/home/u/.multijob/s1", "3.9.2", 4)
    assert contact.versions == {"crawl": frozenset({"1-aa"})}
    assert contact.journals


@pytest.mark.parametrize(
    ("noise", "said", "words"),
    [
        ("", "no python", "none was found"),
        (
            f"{MARK} old /usr/bin/python is 2.7.18\n{MARK} old /bin/python is 2.6\n",
            "no python",
            r"/python is 2\.7\.18\)",
        ),
        ("", json.dumps({"unfit": "cannot write to /r"}), "cannot write"),
    ],
)
def test_what_makes_a_machine_unfit_is_said(noise: str, said: str, words: str) -> None:
    with pytest.raises(NodeUnfit, match=words):
        health.parse_first_contact(_framed(said, noise), MARK)


@pytest.mark.parametrize("said", ["", "[]", "{", "{}", '"x"', json.dumps({**FACTS, "cores": "many"}), "null"])
def test_nonsense_is_a_protocol_error(said: str) -> None:
    with pytest.raises(ProtocolError):
        health.parse_first_contact(_framed(said), MARK)


def test_an_answer_cut_short_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        health.parse_first_contact(_framed(json.dumps(FACTS))[:-8], MARK)


def test_a_poll_is_read() -> None:
    load = health.parse_poll(_framed(POLL, "noise\n"), MARK, None)
    assert (load.load1, load.cpu_ratio) == (0.52, None)
    assert (load.memory_used_mb, load.memory_free_mb) == (4000, 4000)
    assert (load.disk_used_mb, load.disk_free_mb) == (600, 400)
    assert (load.pause_file, load.end_file) == (True, False)


def test_the_processors_ratio_is_that_since_the_poll_before() -> None:
    before = health.parse_poll(_framed(POLL), MARK, None)
    later = POLL.replace("cpu 100 0 100 700 100", "cpu 150 0 100 750 100")
    assert health.parse_poll(_framed(later), MARK, before).cpu_ratio == 0.5
    assert health.parse_poll(_framed(POLL), MARK, before).cpu_ratio is None


def test_a_system_without_proc_is_read_as_far_as_it_goes() -> None:
    load = health.parse_poll(_framed("load 1.52 1.61 1.60\ndisk /dev/disk1 1000 500 500 50% /"), MARK, None)
    assert (load.load1, load.cpu_ratio, load.memory_free_mb) == (1.52, None, 0)


@pytest.mark.parametrize("text", ["load x", "load nan", "load inf", "load -1", "mem MemTotal: x", "stat cpu a b c d"])
def test_a_strange_poll_is_a_protocol_error(text: str) -> None:
    with pytest.raises(ProtocolError):
        health.parse_poll(_framed(f"{text} y" if text.startswith("load") else text), MARK, None)


@pytest.fixture(params=["sh", "bash", "dash", "zsh"])
def sh(request: pytest.FixtureRequest) -> str:
    require([] if shutil.which(request.param) else [request.param])
    return str(request.param)


def _contacted(machine: Machine, sh: str = "sh", **environment: str) -> bytes:
    """What a first contact answers."""
    return subprocess.run(
        [sh, *health.contact_command(machine, "s1", MARK)[1:]],
        input=scripts.FACTS.encode("ascii"),
        capture_output=True,
        check=True,
        env={**os.environ, **environment},
    ).stdout


def test_the_scripts_run_under_any_plain_shell(sh: str, tmp_path: Path) -> None:
    machine = Machine(machine_id="m", connection="local", root=f"{tmp_path}/with space/r")
    contact = health.parse_first_contact(_contacted(machine, sh), MARK)
    assert contact.root == f"{tmp_path}/with space/r/s1"
    (Path(contact.root) / "End").touch()
    answer = subprocess.run([sh, "-c", scripts.POLL, MARK, contact.root], capture_output=True, check=True).stdout
    load = health.parse_poll(answer, MARK, None)
    assert abs(load.disk_used_mb - contact.load.disk_used_mb) < 1024
    assert (contact.load.memory_used_mb + contact.load.memory_free_mb) == (load.memory_used_mb + load.memory_free_mb)
    assert contact.load.cpu_total <= load.cpu_total
    assert (contact.load.end_file, contact.load.pause_file) == (False, False)
    assert (load.end_file, load.pause_file) == (True, False)
    assert min(load.memory_used_mb, load.memory_free_mb, load.disk_free_mb, load.cpu_total) > 0


def test_a_poll_answers_in_one_write(tmp_path: Path) -> None:
    require([] if shutil.which("dash") else ["dash"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            subprocess.run(["dash", "-c", scripts.POLL, MARK, str(tmp_path)], stdout=theirs, check=True)
        assert ours.recv(1 << 16).count(MARK.encode()) == 2
        assert ours.recv(1 << 16) == b""


def _interpreters(pattern: str) -> list[Path]:
    return sorted(Path("~/.pyenv/versions").expanduser().glob(f"{pattern}*/bin/python"))


@pytest.mark.parametrize("python", [pytest.param(path, id=path.parts[-3]) for path in _interpreters("3.")])
def test_first_contact_speaks_every_python_from_the_floor_on(python: Path, tmp_path: Path) -> None:
    machine = Machine(machine_id="m", connection="local", root=str(tmp_path), python=str(python))
    assert health.parse_first_contact(_contacted(machine), MARK).python_version == python.parts[-3]


@pytest.mark.parametrize("python", [pytest.param(path, id=path.parts[-3]) for path in _interpreters("2.")])
def test_an_older_python_is_named(python: Path, tmp_path: Path) -> None:
    machine = Machine(machine_id="m", connection="local", root=str(tmp_path), python=str(python))
    answer = _contacted(machine)
    with pytest.raises(NodeUnfit, match=python.parts[-3]):
        health.parse_first_contact(answer, MARK)


LOGIND = "[Login]\n#KillUserProcesses=no\nKillUserProcesses={kills}\nKillExcludeUsers={but}\n"


@pytest.mark.parametrize(
    ("kills", "but", "linger", "scope", "ends", "needs_scope"),
    [
        ("no", "", "no", True, False, False),
        ("yes", "", "yes", True, False, True),
        ("yes", "", "yes", False, True, False),
        ("yes", "", "no", True, True, False),
        ("yes", "{user}", "no", True, False, False),
    ],
    ids=["nothing is killed", "scope and linger", "linger without scope", "no linger", "this account is spared"],
)
def test_what_becomes_of_work_when_its_login_ends(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kills: str,
    but: str,
    linger: str,
    scope: bool,
    ends: bool,
    needs_scope: bool,
) -> None:
    user = getpass.getuser()
    tools = {
        "systemd-analyze": f"cat <<'X'\n{LOGIND.format(kills=kills, but=but.format(user=user))}X\n",
        "loginctl": f"echo Linger={linger}\n",
        "systemd-run": 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"\n' if scope else "exit 1\n",
    }
    for name, text in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "logind.conf.d").mkdir()
    (tmp_path / "logind.conf.d" / "ours.conf").write_text("[Login]\nKillUserProcesses = some\n")
    monkeypatch.setattr(scripts, "FACTS", scripts.FACTS.replace('"/run/systemd"', repr(str(tmp_path))))
    machine = Machine(machine_id="m", connection="local", root=str(tmp_path / "root"))
    contact = health.parse_first_contact(_contacted(machine, PATH=f"{tmp_path}:{os.environ['PATH']}"), MARK)
    assert (contact.ends_at_logout, contact.needs_scope) == (ends, needs_scope)


def test_where_no_file_of_logind_has_a_word_on_it_its_tool_is_not_asked(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "systemd-analyze").write_text(f"#!/bin/sh\ntouch {asked}\n")
    (tmp_path / "systemd-analyze").chmod(0o755)
    require([] if "KillUserProcesses" not in _logind_of_this_machine() else ["a logind without KillUserProcesses"])
    machine = Machine(machine_id="m", connection="local", root=str(tmp_path / "root"))
    contact = health.parse_first_contact(_contacted(machine, PATH=f"{tmp_path}:{os.environ['PATH']}"), MARK)
    assert not contact.ends_at_logout
    assert not asked.exists()


@pytest.mark.parametrize("first", ["", "import sys; sys.modules['_json'] = None\n"], ids=["_json", "no _json"])
def test_names_of_any_kind_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    monkeypatch.setattr(scripts, "FACTS", first + scripts.FACTS)
    names = ["1-aa", 'a "quoted" \\ one', "two\nlines", "数据 😀", "\udcff", "\x01\x7f"]
    for name in names:
        (tmp_path / "s1" / "versions" / "crawl" / name).mkdir(parents=True)
    machine = Machine(machine_id="m", connection="local", root=str(tmp_path))
    assert health.parse_first_contact(_contacted(machine), MARK).versions == {"crawl": frozenset(names)}


def _logind_of_this_machine() -> str:
    """Its lines that count."""
    files = [path for place in ("/etc", "/run", "/usr/lib") for path in Path(place, "systemd").glob("logind.conf*/*")]
    files.append(Path("/etc/systemd/logind.conf"))
    lines = [line for path in files if path.is_file() for line in path.read_text().splitlines()]
    return "\n".join(line for line in lines if not line.strip().startswith(("#", ";")))


def test_no_python_at_all_is_said(tmp_path: Path) -> None:
    machine = Machine(machine_id="m", connection="local", root=str(tmp_path), python="/no/such/python")
    answer = _contacted(machine)
    with pytest.raises(NodeUnfit, match="none was found"):
        health.parse_first_contact(answer, MARK)


def test_a_root_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    machine = Machine(machine_id="m", connection="local", root=f"{tmp_path}/file/root")
    answer = _contacted(machine)
    with pytest.raises(NodeUnfit, match="cannot write"):
        health.parse_first_contact(answer, MARK)
