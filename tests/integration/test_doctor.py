"""The doctor against real machines that are broken, each in its own way: it names the cause and what helps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory.machine import Machine
from orchestrator.doctor.machine import Tools, examine
from orchestrator.doctor.plan import Report, Result, State
from orchestrator.ssh.connect import Connector
from orchestrator.ssh.gate import ConnectGate
from orchestrator.ssh.keys import KnownHosts
from orchestrator.ssh.tunnel import Pump
from tests.support import hosts as support_hosts
from tests.support.hosts import Host, Hosts, new_key
from tests.support.network import Namespace

pytestmark = pytest.mark.sshd

needs_root = pytest.mark.skipif(not support_hosts.has_accounts(), reason="needs root, to mount and for accounts")
ALL = [
    "resolve", "tcp", "host_key", "login", "shell", "python", "root", "space", "rsync", "forwarding", "logout",
    "account", "clock",
]  # fmt: skip


@pytest.fixture
def tools(hosts: Hosts) -> Iterator[Tools]:
    """As the server has them; only our own known_hosts and ssh_config count."""
    pump = Pump()
    pump.start()
    known = KnownHosts(hosts.home / "known_hosts", others=())
    hosts.ssh_config.write_text("Host *\n  IdentitiesOnly yes\n")
    connector = Connector(known, ConnectGate(), hosts.ssh_config)
    yield Tools(connector=connector, pump=pump, server_id="doctor-test", ssh_config=hosts.ssh_config)
    pump.stop()


def state_of(report: Report) -> dict[str, State]:
    return {result.step: result.state for result in report.results}


def the(report: Report, step: str) -> Result:
    return next(result for result in report.results if result.step == step)


def check_broken(report: Report, step: str, *, says: str, remedy: str) -> None:
    """This step failed for this reason; those that stand on it were skipped, those before are well."""
    found = the(report, step)
    assert found.state is State.FAILED, report.as_dict()
    assert says in found.finding
    assert remedy in found.remedy
    assert not report.ok
    before = ALL[: ALL.index(step)]
    assert all(state_of(report)[name] in (State.FINE, State.WARNING) for name in before), report.as_dict()


def skipped(report: Report) -> set[str]:
    return {result.step for result in report.results if result.state is State.SKIPPED}


def test_a_sound_machine_is_called_sound_and_left_as_it_was(hosts: Hosts, tools: Tools) -> None:
    host = hosts.start()
    told: list[str] = []
    report = examine(hosts.machine(host), tools, lambda result: told.append(result.step))
    assert report.ok, report.as_dict()
    assert told == ALL == [result.step for result in report.results]
    assert not skipped(report)
    assert not Path(hosts.root_of(host)).exists()
    assert all(result.spend_s >= 0 for result in report.results)
    assert "tunnel" in the(report, "forwarding").finding
    assert the(report, "logout").state is State.FINE, report.as_dict()


def test_a_root_that_is_there_stays(hosts: Hosts, tools: Tools) -> None:
    machine = hosts.machine(hosts.start())
    root = Path(machine.root) / tools.server_id
    root.mkdir(parents=True)
    (root / "journal").write_text("x")
    assert examine(machine, tools).ok
    assert [path.name for path in root.iterdir()] == ["journal"]


def test_the_servers_own_machine_needs_no_ssh(tools: Tools, tmp_path: Path) -> None:
    machine = Machine(machine_id="this-pc", connection="local", root=str(tmp_path / "root"))
    report = examine(machine, tools)
    assert report.ok, report.as_dict()
    assert [result.step for result in report.results] == ["python", "root", "space", "account", "clock"]


# ---------------------------------------------------------------------------------------------- ten kinds of trouble


def test_a_name_nobody_knows(hosts: Hosts, tools: Tools) -> None:
    report = examine(hosts.machine(hosts.start(), host="no-such-machine.invalid"), tools)
    check_broken(report, "resolve", says="no-such-machine.invalid cannot be resolved", remedy="host:")
    assert skipped(report) == set(ALL) - {"resolve"}


def test_no_route(hosts: Hosts, tools: Tools, namespace: Namespace) -> None:
    host = namespace.start(hosts)
    namespace.cut()
    report = examine(hosts.machine(host), tools)
    check_broken(report, "tcp", says=host.address, remedy="network")
    assert skipped(report) == set(ALL[2:])


def test_refused(hosts: Hosts, tools: Tools) -> None:
    host = hosts.start()
    host.stop()
    report = examine(hosts.machine(host), tools)
    check_broken(report, "tcp", says="nothing listens there", remedy="start sshd")


def test_wrong_key(hosts: Hosts, tools: Tools, tmp_path: Path) -> None:
    machine = hosts.machine(hosts.start(), identity_file=str(new_key(tmp_path / "other")))
    report = examine(machine, tools)
    check_broken(report, "login", says="login was refused", remedy="ssh-copy-id")
    assert skipped(report) == set(ALL[4:])


def test_no_key_at_all(hosts: Hosts, tools: Tools) -> None:
    report = examine(hosts.machine(hosts.start(), identity_file=None), tools)
    check_broken(report, "login", says="", remedy="identity_file")


def test_a_changed_host_key(hosts: Hosts, tools: Tools) -> None:
    host = hosts.start()
    host.change_key()
    asked: list[str] = []
    report = examine(hosts.machine(host), tools, accept=lambda shown: bool(asked.append(shown)) or True)
    check_broken(report, "host_key", says="has changed", remedy="somebody may stand in between")
    assert asked == [], "a changed key is never accepted in passing"
    assert host.fingerprint() in the(report, "host_key").finding


def test_an_unknown_host_key_is_shown_and_can_be_accepted(hosts: Hosts, tools: Tools) -> None:
    host = hosts.start()
    (hosts.home / "known_hosts").unlink()
    report = examine(hosts.machine(host), tools)
    check_broken(report, "host_key", says=host.fingerprint(), remedy="ssh-keygen -lf")
    assert report.fingerprint == host.fingerprint()
    accepted = examine(hosts.machine(host), tools, accept=lambda shown: shown == host.fingerprint())
    assert accepted.ok, accepted.as_dict()
    assert examine(hosts.machine(host), tools).ok


@needs_root
def test_no_python(hosts: Hosts, tools: Tools) -> None:
    hide = "for p in /usr/bin/python* /usr/local/bin/python*; do [ -f $p ] && mount --bind /dev/null $p; done; "
    host = hosts.start(wrapper=["unshare", "-m", "--propagation", "private", "sh", "-c", f'{hide} exec "$@"', "sh"])
    report = examine(hosts.machine(host, user=hosts.user("sh"), root="~/.multijob"), tools)
    check_broken(report, "python", says="none was found", remedy="install Python 3.6")


def test_python_is_not_where_the_inventory_says(hosts: Hosts, tools: Tools) -> None:
    report = examine(hosts.machine(hosts.start(), python="/no/such/python3"), tools)
    check_broken(report, "python", says="python: /no/such/python3", remedy="python: in the inventory")


def test_old_python(hosts: Hosts, tools: Tools, tmp_path: Path) -> None:
    old = tmp_path / "python2.7"
    old.write_text('#!/bin/sh\necho "$6 old $0 is 2.7.18"\nexit 1\n')
    old.chmod(0o755)
    report = examine(hosts.machine(hosts.start(), python=str(old)), tools)
    check_broken(report, "python", says="too old: ", remedy="install Python 3.6")
    assert "2.7.18" in the(report, "python").finding


def mounted(hosts: Hosts, folder: Path, options: str, then: str = ":") -> Host:
    """A host on which ``folder`` is a file system of its own."""
    folder.mkdir()
    mount = f"mount -t tmpfs -o {options} tmpfs {folder} && {then}"
    return hosts.start(wrapper=["unshare", "-m", "--propagation", "private", "sh", "-c", f'{mount} && exec "$@"', "sh"])


@needs_root
def test_no_space(hosts: Hosts, tools: Tools, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    host = mounted(hosts, folder, "size=16m")
    report = examine(hosts.machine(host, root=str(folder)), tools)
    check_broken(report, "space", says="only 1", remedy="free space")


@needs_root
def test_a_full_disk(hosts: Hosts, tools: Tools, tmp_path: Path) -> None:
    folder = tmp_path / "full"
    fill = f"{{ dd if=/dev/zero of={folder}/all bs=4k 2>/dev/null; true; }}"
    host = mounted(hosts, folder, "size=1m", fill)
    report = examine(hosts.machine(host, root=str(folder)), tools)
    check_broken(report, "root", says="No space left", remedy="free space")
    assert skipped(report) == {"space"}


@needs_root
@pytest.mark.parametrize(
    ("options", "says", "remedy"), [("ro", "read-only", "writable"), ("noexec", "noexec", "noexec")]
)
def test_a_root_that_cannot_be_used(
    hosts: Hosts, tools: Tools, tmp_path: Path, options: str, says: str, remedy: str
) -> None:
    folder = tmp_path / "root"
    host = mounted(hosts, folder, options)
    report = examine(hosts.machine(host, root=str(folder)), tools)
    check_broken(report, "root", says=says, remedy=remedy)


@needs_root
def test_a_root_of_somebody_else(hosts: Hosts, tools: Tools, tmp_path: Path) -> None:
    host = hosts.start()
    (tmp_path / "theirs").mkdir(mode=0o700)
    for part in (tmp_path, *list(tmp_path.parents)[:3]):
        part.chmod(part.stat().st_mode | 0o055)
    machine = hosts.machine(host, user=hosts.user("sh"), root=str(tmp_path / "theirs"))
    check_broken(examine(machine, tools), "root", says="cannot write", remedy="another folder as root:")


@needs_root
def test_an_account_without_a_shell(hosts: Hosts, tools: Tools) -> None:
    host = hosts.start(lines=["ForceCommand /bin/false"])
    report = examine(hosts.machine(host), tools)
    check_broken(report, "shell", says="", remedy="plain login shell")


def test_no_forwarding(hosts: Hosts, tools: Tools) -> None:
    report = examine(hosts.machine(hosts.start(lines=["AllowTcpForwarding no"])), tools)
    found = the(report, "forwarding")
    assert (found.state, report.ok) == (State.WARNING, True)
    assert "forbids reverse forwarding" in found.finding
    assert "AllowTcpForwarding" in found.remedy


@needs_root
def test_a_noisy_shell(hosts: Hosts, tools: Tools) -> None:
    host = hosts.start()
    login_file = hosts.user_home("bash") / ".bashrc"
    login_file.write_text("echo 'Welcome \033[31mto this machine'\necho more\n")
    login_file.chmod(0o644)
    report = examine(hosts.machine(host, user=hosts.user("bash"), root="~/.multijob"), tools)
    found = the(report, "shell")
    assert (found.state, report.ok) == (State.WARNING, True), report.as_dict()
    assert "Welcome \ufffd[31mto this machine" in found.finding
    assert "~/.bashrc" in found.remedy
    assert the(report, "account").state is State.FINE


def test_something_else_listens_there(hosts: Hosts, tools: Tools) -> None:
    from orchestrator.doctor import greeter

    host = hosts.start()
    with greeter.listening() as port:
        report = examine(hosts.machine(host, host="127.0.0.1", port=port), tools)
    check_broken(report, "tcp", says="multijob-doctor", remedy="correct port:")


@pytest.mark.skipif(support_hosts.getpass.getuser() != "root", reason="only root is root")
def test_root_is_warned_about(hosts: Hosts, tools: Tools) -> None:
    found = the(examine(hosts.machine(hosts.start()), tools), "account")
    assert (found.state, found.finding) == (State.WARNING, "jobs run as root, who may do anything there")
