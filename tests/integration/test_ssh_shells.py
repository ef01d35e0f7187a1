"""Accounts as people have them: every login shell, noisy login files, files that start another shell, no rsync."""

import os
import shutil
from pathlib import Path

import pytest

from inventory.machine import Machine
from orchestrator.errors import NodeUnfit
from orchestrator.node import health
from remote_runner import digest
from tests.support import hosts as support_hosts
from tests.support.hosts import SHELLS, Host, Hosts

pytestmark = [
    pytest.mark.sshd,
    pytest.mark.skipif(not support_hosts.has_accounts(), reason="needs root for accounts of its own"),
]

WORDS = ["", "a b", "it's", "back\\slash", "$HOME", "!x", "*", "~", "two\nlines", "数据"]
NOISE = {
    "sh": ".profile", "bash": ".bashrc", "zsh": ".zshenv", "fish": ".config/fish/config.fish", "csh": ".cshrc",
}  # fmt: skip


@pytest.fixture
def host(hosts: Hosts) -> Host:
    return hosts.start()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "job"
    made.mkdir()
    (made / "main.py").write_text("x = 1\n")
    (made / "数据 1").write_bytes(os.urandom(70_000))
    (made / "tool").write_text("#!/bin/sh\n")
    (made / "tool").chmod(0o755)
    return made


def _machine(hosts: Hosts, host: Host, shell: str, **changes: object) -> Machine:
    if shell not in hosts.shells():
        pytest.skip(f"this machine lacks {shell}")
    return hosts.machine(host, user=hosts.user(shell), root="~/.multijob", **changes)


def _log_in(hosts: Hosts, shell: str, text: str) -> None:
    """Give the account of this shell a login file."""
    path = hosts.user_home(shell) / NOISE[shell]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    for part in (path, *path.parents):
        if part == hosts.user_home(shell):
            break
        shutil.chown(part, hosts.uid(shell))


@pytest.mark.parametrize("shell", SHELLS)
def test_all_of_it_works_with_any_login_shell(hosts: Hosts, host: Host, folder: Path, shell: str) -> None:
    machine = _machine(hosts, host, shell)
    transport = hosts.transports().connected(machine)
    said = transport.run(["printf", "%s\\0", *WORDS], timeout_s=30).stdout
    assert said.decode().split("\0")[:-1] == WORDS
    contact = health.first_contact(transport, machine, "s1", timeout_s=60)
    assert contact.user == hosts.user(shell)
    assert contact.root == f"{hosts.user_home(shell)}/.multijob/s1"
    transport.push(folder, f"{contact.root}/v 1", link_dest=None, timeout_s=60)
    transport.push(folder, f"{contact.root}/v 2", link_dest="v 1", timeout_s=60)
    assert digest.of_folder(f"{contact.root}/v 2") == digest.of_folder(str(folder))
    assert (Path(contact.root) / "v 1" / "main.py").samefile(f"{contact.root}/v 2/main.py")
    channel = transport.open(["cat"])
    channel.send(b"\0\xff\n")
    assert channel.receive() == b"\0\xff\n"
    channel.close()


@pytest.mark.parametrize("shell", NOISE)
def test_noise_of_login_files_is_ignored(hosts: Hosts, host: Host, folder: Path, shell: str) -> None:
    machine = _machine(hosts, host, shell)
    _log_in(hosts, shell, 'echo "Welcome to this machine!"\necho "{}"\necho oops >/dev/stderr\n')
    transport = hosts.transports().connected(machine)
    assert transport.run(["echo", "answer"], timeout_s=30).stdout == b"answer\n"
    contact = health.first_contact(transport, machine, "s1", timeout_s=60)
    transport.push(folder, f"{contact.root}/v", link_dest=None, timeout_s=60)
    assert digest.of_folder(f"{contact.root}/v") == digest.of_folder(str(folder))
    channel = transport.open(["cat"])
    channel.send(b"x")
    assert channel.receive() == b"x"
    channel.close()


@pytest.mark.parametrize("line", ["zsh", "exec zsh", "exec dash", "bash --norc", "csh -f"])
def test_login_files_that_start_another_shell(
    hosts: Hosts, host: Host, folder: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.ssh.shell.RESCUE_S", 0.5)
    machine = _machine(hosts, host, "bash")
    _log_in(hosts, "bash", line + "\n")
    transport = hosts.transports().connected(machine)
    assert transport.run(["cat"], stdin=b"input", timeout_s=30).stdout == b"input"
    assert transport.run(["sh", "-c", "exit 7"], timeout_s=30).exit_code == 7
    contact = health.first_contact(transport, machine, "s1", timeout_s=60)
    transport.push(folder, f"{contact.root}/v", link_dest=None, timeout_s=60)
    assert digest.of_folder(f"{contact.root}/v") == digest.of_folder(str(folder))
    channel = transport.open(["cat"])
    channel.send(b"x")
    assert channel.receive() == b"x"
    channel.close()


def test_a_slow_login_is_waited_for(hosts: Hosts, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.ssh.shell.RESCUE_S", 0.2)
    machine = _machine(hosts, host, "bash")
    _log_in(hosts, "bash", "sleep 1\n")
    transport = hosts.transports().connected(machine)
    assert transport.run(["cat"], stdin=b"input", timeout_s=30).stdout == b"input"


def test_a_login_that_never_ends_is_said(hosts: Hosts, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.ssh.shell.RESCUE_S", 0.2)
    monkeypatch.setattr("orchestrator.ssh.shell._PROBE_S", 1.0)
    machine = _machine(hosts, host, "bash")
    _log_in(hosts, "bash", "sleep 30\n")
    with pytest.raises(NodeUnfit, match="login"):
        hosts.transports().connected(machine).run(["true"], timeout_s=30)


def test_without_rsync_folders_travel_as_tar(hosts: Hosts, folder: Path) -> None:
    (folder / "link").symlink_to("main.py")
    (folder / "子").mkdir()
    (folder / "子" / ("n" * 200)).write_text("long name")
    tools = hosts.folder / "bin"
    tools.mkdir()
    for name in ("sh", "cat", "tar", "mkdir", "python3", "df", "sed", "printf", "id"):
        (tools / name).symlink_to(str(shutil.which(name)))
    host = hosts.start(lines=[f"SetEnv PATH={tools}"])
    machine = _machine(hosts, host, "sh")
    transport = hosts.transports().connected(machine)
    contact = health.first_contact(transport, machine, "s1", timeout_s=60)
    assert not contact.rsync
    for name in ("v 1", "v 2"):
        sent_bytes = transport.push(folder, f"{contact.root}/{name}", link_dest="v 1", timeout_s=60)
        assert sent_bytes > 70_000
    (folder / "link").unlink()
    assert digest.of_folder(f"{contact.root}/v 2") == digest.of_folder(str(folder))
    assert (Path(contact.root) / "v 2" / "main.py").stat().st_mode & 0o777 == 0o400


def test_the_ninth_command_waits_for_its_turn(hosts: Hosts, host: Host) -> None:
    transport = hosts.transports().connected(_machine(hosts, host, "sh"))
    channels = [transport.open(["cat"]) for _ in range(8)]
    channels.pop().close()
    assert transport.run(["echo", "hi"], timeout_s=30).stdout == b"hi\n"
    for channel in channels:
        channel.close()
