"""known_hosts as ssh reads it, and read once; the gate that connects come through in their order."""

import threading
from pathlib import Path

import paramiko
import pytest

from orchestrator.errors import NodeUnreachable
from orchestrator.ssh import known as ssh_known
from orchestrator.ssh.gate import ConnectGate
from orchestrator.ssh.known import KnownFile
from tests.support import wait


def known(folder: Path, *lines: str) -> KnownFile:
    path = folder / "known_hosts"
    path.write_text("\n".join(lines) + "\n")
    return KnownFile(path)


@pytest.mark.parametrize(
    ("patterns", "name", "means"),
    [
        ("lab", "lab", True),
        ("lab", "LAB", True),
        ("lab", "lab2", False),
        ("[10.0.0.1]:2222", "[10.0.0.1]:2222", True),
        ("[10.0.0.1]:2222", "10.0.0.1", False),
        ("lab,10.0.0.1", "10.0.0.1", True),
        ("*.example.org", "a.example.org", True),
        ("*.example.org,!b.example.org", "b.example.org", False),
        ("lab?", "lab7", True),
        ("lab.x", "labyx", False),
        # The salt is new each time, and workers must agree on the names of tests.
        pytest.param(paramiko.HostKeys.hash_host("lab"), "lab", True, id="hashed"),
        pytest.param(paramiko.HostKeys.hash_host("lab"), "bal", False, id="another hashed"),
    ],
)
def test_who_is_meant(tmp_path: Path, patterns: str, name: str, means: bool) -> None:
    assert known(tmp_path, f"{patterns} ssh-ed25519 AAAA remark").keys(name) == (
        {"ssh-ed25519": {"AAAA"}} if means else {}
    )


def test_several_keys_of_a_host_and_lines_that_say_nothing(tmp_path: Path) -> None:
    file = known(
        tmp_path,
        "# lab ssh-rsa NO",
        "",
        "lab ssh-rsa",
        "@cert-authority lab ssh-rsa CA",
        "lab ssh-rsa A",
        "l* ssh-rsa B",
    )
    assert file.keys("lab") == {"ssh-rsa": {"A", "B"}}


def test_revoked_keys_are_revoked_for_all(tmp_path: Path) -> None:
    file = known(tmp_path, "@revoked * ssh-ed25519 BAD", "lab ssh-ed25519 GOOD")
    assert file.revokes("BAD")
    assert not file.revokes("GOOD")


def test_what_changes_is_read_anew_and_what_does_not_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    text = ssh_known._text
    monkeypatch.setattr(ssh_known, "_text", lambda path: reads.append(path) or text(path))
    file = known(tmp_path, *(f"[127.0.0.{number}]:22 ssh-ed25519 K{number}" for number in range(1000)))
    assert all(file.keys(f"[127.0.0.{number}]:22") == {"ssh-ed25519": {f"K{number}"}} for number in range(1000))
    assert len(reads) == 1
    beside = tmp_path / "new"
    beside.write_text("lab ssh-ed25519 NEW\n")
    beside.replace(tmp_path / "known_hosts")
    assert file.keys("lab") == {"ssh-ed25519": {"NEW"}}
    (tmp_path / "known_hosts").unlink()
    assert file.keys("lab") == {}
    assert len(reads) == 3


def test_a_file_that_cannot_be_read_knows_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "known_hosts").mkdir()  # root, too, cannot read that
    assert KnownFile(tmp_path / "known_hosts").keys("lab") == {}
    assert "cannot read" in caplog.text


def test_connects_come_through_in_their_order() -> None:
    """But whoever waits for a busy address holds up nobody."""
    gate, order, begun = ConnectGate(total=1, per_address=1), [], threading.Lock()

    def connect(number: int) -> None:
        with gate.passing(f"a{number}", 60), begun:
            order.append(number)

    threads = []
    with gate.passing("first", 60):
        for number in range(20):
            threads.append(threading.Thread(target=connect, args=(number,)))
            threads[-1].start()
            wait.until(lambda number=number: len(gate._waiting) == number + 1, what="the next in the queue")
    for thread in threads:
        thread.join(60)
    assert order == list(range(20))


def test_a_gate_that_is_held_lets_everybody_in_afterwards() -> None:
    gate, passed = ConnectGate(total=8, per_address=8), []

    def connect() -> None:
        with gate.passing("a", 60):
            passed.append(1)

    threads = [threading.Thread(target=connect) for _ in range(4)]
    with gate.held():
        for thread in threads:
            thread.start()
        wait.until(lambda: len(gate._waiting) == 4, what="all waiting")
        assert not passed
    for thread in threads:
        thread.join(60)
    assert len(passed) == 4


def test_who_gave_up_is_forgotten() -> None:
    gate = ConnectGate(total=3, per_address=1)
    with gate.passing("a", 60):
        with pytest.raises(NodeUnreachable, match="no turn"), gate.passing("a", 0.01):
            pass
        with gate.passing("b", 0.01):
            pass
    with gate.passing("a", 0.01):
        assert not gate._waiting
