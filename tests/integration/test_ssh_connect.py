"""Connecting, against real servers: who is trusted, who is let in, what lies between, what is said when it fails."""

import socket
import subprocess
import threading
from pathlib import Path

import paramiko
import pytest

from orchestrator.errors import ForwardingRefused, HostKeyRefused, NodeRefused, NodeUnreachable
from orchestrator.ssh import connect as ssh_connect
from orchestrator.ssh import socket as ssh_socket
from orchestrator.ssh.gate import ConnectGate
from tests.support import wait
from tests.support.hosts import Host, Hosts, fingerprint, new_key
from tests.support.network import Namespace

pytestmark = pytest.mark.sshd


@pytest.fixture
def host(hosts: Hosts) -> Host:
    return hosts.start()


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A home that knows no host."""
    made = tmp_path / "stranger"
    made.mkdir()
    return made


def test_an_unknown_key_is_refused_until_accepted(hosts: Hosts, host: Host, stranger: Path) -> None:
    transports, machine = hosts.transports(home=stranger), hosts.machine(host)
    with pytest.raises(HostKeyRefused) as caught:
        transports(machine).connect()
    assert caught.value.fingerprint == host.fingerprint()
    assert not caught.value.changed
    assert not transports.known_hosts.accept(machine.machine_id, "SHA256:other")
    assert transports.known_hosts.accept(machine.machine_id, caught.value.fingerprint)
    assert transports.connected(machine).alive()
    assert hosts.transports(home=stranger).connected(machine).alive()
    assert (stranger / "known_hosts").stat().st_mode & 0o777 == 0o600


def test_a_changed_key_is_refused_and_said_to_have_changed(hosts: Hosts, host: Host) -> None:
    machine = hosts.machine(host)
    transports = hosts.transports()
    transports.connected(machine).close()
    host.change_key()
    with pytest.raises(HostKeyRefused) as caught:
        transports(machine).connect()
    assert caught.value.changed
    assert transports.known_hosts.accept(machine.machine_id, caught.value.fingerprint)
    assert transports.connected(machine).alive()


def test_a_pin_decides_alone(hosts: Hosts, host: Host, stranger: Path) -> None:
    right = hosts.machine(host, host_key=host.fingerprint())
    assert hosts.transports(home=stranger).connected(right).alive()
    wrong = hosts.machine(host, host_key="SHA256:" + "A" * 43)
    with pytest.raises(HostKeyRefused) as caught:
        hosts.transports()(wrong).connect()
    assert caught.value.changed


def test_a_pin_of_any_of_the_hosts_keys_counts(hosts: Hosts, stranger: Path, tmp_path: Path) -> None:
    rsa = new_key(tmp_path / "rsa", "rsa")
    host = hosts.start(lines=[f"HostKey {rsa}"])
    pinned = hosts.machine(host, host_key=fingerprint(rsa))
    assert hosts.transports(home=stranger).connected(pinned).alive()


def test_a_key_known_by_another_kind_than_the_first_is_found(hosts: Hosts, stranger: Path, tmp_path: Path) -> None:
    rsa = new_key(tmp_path / "rsa", "rsa")
    host = hosts.start(lines=[f"HostKey {rsa}"])
    kind, key, *_ = Path(f"{rsa}.pub").read_text().split()
    (stranger / "known_hosts").write_text(f"{host.key_name} {kind} {key}\n")
    assert hosts.transports(home=stranger).connected(hosts.machine(host)).alive()


def test_a_revoked_key_is_refused(hosts: Hosts, host: Host, stranger: Path) -> None:
    known = (hosts.home / "known_hosts").read_text()
    (stranger / "known_hosts").write_text(known + "".join(f"@revoked {line}\n" for line in known.splitlines()))
    with pytest.raises(HostKeyRefused):
        hosts.transports(home=stranger)(hosts.machine(host)).connect()


def test_first_sight_only_where_asked_for(hosts: Hosts, host: Host, stranger: Path) -> None:
    assert hosts.transports(home=stranger, accept_new=True).connected(hosts.machine(host)).alive()
    host.change_key()
    with pytest.raises(HostKeyRefused):
        hosts.transports(home=stranger, accept_new=True)(hosts.machine(host)).connect()


def test_wrong_credentials_need_a_person(hosts: Hosts, host: Host, tmp_path: Path) -> None:
    other = new_key(tmp_path / "id_other")
    with pytest.raises(NodeRefused, match="login was refused") as caught:
        hosts.transports()(hosts.machine(host, identity_file=str(other))).connect()
    assert caught.value.pause


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "identity_file .* does not exist"),
        ("no key at all\n", "the login was refused"),
        ("encrypted", "the key file is encrypted; load it into an ssh-agent"),
    ],
)
def test_a_key_that_cannot_be_offered_needs_a_person(
    hosts: Hosts, host: Host, tmp_path: Path, content: str | None, says: str
) -> None:
    """Trying again helps nothing, so it is no machine that cannot be reached."""
    hosts.ssh_config.write_text("Host *\n  IdentitiesOnly yes\n")
    key = tmp_path / "id_mine"
    if content == "encrypted":
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "a long passphrase", "-f", str(key)]
        subprocess.run(command, check=True)
    elif content is not None:
        key.write_text(content)
    with pytest.raises(NodeRefused, match=says) as caught:
        hosts.transports()(hosts.machine(host, identity_file=str(key))).connect()
    assert caught.value.pause


def test_no_key_anywhere_needs_a_person(hosts: Hosts, host: Host) -> None:
    hosts.ssh_config.write_text("Host *\n  IdentitiesOnly yes\n")
    with pytest.raises(NodeRefused, match="nothing to log in with: no key file") as caught:
        hosts.transports()(hosts.machine(host, identity_file=None)).connect()
    assert caught.value.pause


def test_a_password_that_is_nowhere_needs_a_person(hosts: Hosts, host: Host) -> None:
    with pytest.raises(NodeRefused, match="MJ_NO_SUCH_VARIABLE"):
        hosts.transports()(hosts.machine(host, password="env:MJ_NO_SUCH_VARIABLE")).connect()
    with pytest.raises(NodeRefused, match="cannot be read"):
        hosts.transports()(hosts.machine(host, password="file:/no/such/file")).connect()


def test_nobody_there_may_pass(hosts: Hosts, host: Host) -> None:
    host.stop()
    with pytest.raises(NodeUnreachable, match="nothing listens"):
        hosts.transports()(hosts.machine(host)).connect()


def test_a_name_that_does_not_resolve(hosts: Hosts) -> None:
    machine = hosts.machine(hosts.start(), host="no-such-host.invalid")
    with pytest.raises(NodeUnreachable, match="cannot resolve"):
        hosts.transports()(machine).connect()


def test_a_server_that_drops_us_before_login_is_a_limit(hosts: Hosts) -> None:
    machine = hosts.machine(hosts.start())
    with _dropping() as port, pytest.raises(NodeRefused) as caught:
        hosts.transports()(hosts.machine(hosts.hosts[0], port=port)).connect()
    assert machine.machine_id in str(caught.value)
    assert not caught.value.pause


class _dropping:  # noqa: N801 - used as a function
    """A server that hangs up at once, as sshd does beyond MaxStartups."""

    def __enter__(self) -> int:
        self._server = socket.create_server(("127.0.0.2", 0))
        self._thread = threading.Thread(target=self._drop)
        self._thread.start()
        return int(self._server.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _drop(self) -> None:
        try:
            while True:
                self._server.accept()[0].close()
        except OSError:
            return


def test_an_alias_of_ssh_config_is_enough(hosts: Hosts, host: Host) -> None:
    hosts.ssh_config.write_text(
        f"Host lab\n  HostName {host.address}\n  Port {host.port}\n  User {hosts.user()}\n"
        f"  IdentityFile {hosts.identity}\n  IdentitiesOnly yes\n"
    )
    machine = hosts.machine(host, host="lab", port=None, user=None, identity_file=None)
    assert hosts.transports().connected(machine).run(["echo", "hi"], timeout_s=20).stdout == b"hi\n"


def test_a_gateway_of_the_inventory(hosts: Hosts, host: Host) -> None:
    gateway = hosts.start("gateway")
    hosts.ssh_config.write_text(f"Host bastion\n  HostName {gateway.address}\n  Port {gateway.port}\n"
                                f"  User {hosts.user()}\n  IdentityFile {hosts.identity}\n")  # fmt: skip
    transport = hosts.transports().connected(hosts.machine(host, gateway="bastion"))
    assert transport.run(["echo", "hi"], timeout_s=20).stdout == b"hi\n"
    assert f"direct-tcpip: originator 127.0.0.1 port 0, target {host.address}" in gateway.log or gateway.connections()
    transport.close()
    wait.until(lambda: not gateway.connections(), what="the gateway's connection to end too")


def test_jumps_of_ssh_config(hosts: Hosts, host: Host) -> None:
    first, second = hosts.start("first"), hosts.start("second")
    lines = [
        f"Host {name}\n  HostName {hop.address}\n  Port {hop.port}\n  IdentityFile {hosts.identity}\n"
        for name, hop in (("first", first), ("second", second), ("lab", host))
    ]
    hosts.ssh_config.write_text("".join(lines) + "  ProxyJump first,second\n")
    transport = hosts.transports().connected(hosts.machine(host, host="lab", port=None))
    assert transport.run(["echo", "hi"], timeout_s=20).stdout == b"hi\n"
    assert first.connections()
    assert second.connections()


def test_a_gateways_key_is_checked_too(hosts: Hosts, host: Host, stranger: Path) -> None:
    gateway = hosts.start("gateway")
    (stranger / "known_hosts").write_text(
        "".join(line + "\n" for line in (hosts.home / "known_hosts").read_text().splitlines() if host.key_name in line)
    )
    machine = hosts.machine(host, gateway=f"{gateway.address}:{gateway.port}")
    with pytest.raises(HostKeyRefused) as caught:
        hosts.transports(home=stranger)(machine).connect()
    assert caught.value.fingerprint == gateway.fingerprint()


def test_a_proxy_command_of_ssh_config(leak_check: None, hosts: Hosts, host: Host) -> None:
    relay = (
        "import os,socket,sys,threading\n"
        "s=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n"
        "def up():\n"
        "    while True:\n"
        "        d=os.read(0,65536)\n"
        "        if not d: break\n"
        "        s.sendall(d)\n"
        "threading.Thread(target=up,daemon=True).start()\n"
        "while True:\n"
        "    d=s.recv(65536)\n"
        "    if not d: break\n"
        "    os.write(1,d)\n"
    )
    script = hosts.folder / "relay.py"
    script.write_text(relay)
    hosts.ssh_config.write_text(f"Host {host.address}\n  ProxyCommand python3 {script} %h %p\n")
    transports = hosts.transports()
    transport = transports.connected(hosts.machine(host))
    assert transport.run(["echo", "hi"], timeout_s=20).stdout == b"hi\n"
    transports.stop()


def test_a_gateway_that_cannot_reach_the_machine(hosts: Hosts, host: Host) -> None:
    gateway = hosts.start("gateway")
    hosts.ssh_config.write_text(f"Host {gateway.address}\n  IdentityFile {hosts.identity}\n  User {hosts.user()}\n")
    host.stop()
    with pytest.raises(NodeUnreachable, match="gateway"):
        hosts.transports()(hosts.machine(host, gateway=f"{gateway.address}:{gateway.port}")).connect()


def test_forbidden_forwarding_is_told_apart(hosts: Hosts) -> None:
    host = hosts.start(lines=["AllowTcpForwarding no"])
    transport = hosts.transports().connected(hosts.machine(host))
    with pytest.raises(ForwardingRefused):
        transport.forward(1)
    assert transport.run(["true"], timeout_s=20).exit_code == 0


def test_too_few_sessions_are_a_limit(hosts: Hosts) -> None:
    host = hosts.start(lines=["MaxSessions 1"])
    transport = hosts.transports().connected(hosts.machine(host))
    channel = transport.open(["cat"])
    with pytest.raises(NodeRefused, match="MaxSessions") as caught:
        transport.run(["true"], timeout_s=20)
    assert not caught.value.pause
    channel.close()


def test_an_account_that_runs_no_commands_is_told_apart(hosts: Hosts) -> None:
    host = hosts.start(lines=["ForceCommand echo This account is for tunnels only"])
    with pytest.raises(NodeRefused, match="for tunnels only") as caught:
        hosts.transports().connected(hosts.machine(host)).run(["true"], timeout_s=30)
    assert caught.value.pause


def test_a_thousand_idle_connections_would_sleep(hosts: Hosts, host: Host) -> None:
    """A connection with nothing to do wakes up seldom, and its thread ends with it."""
    before = set(threading.enumerate())
    transport = hosts.transports().connected(hosts.machine(host))
    (thread,) = [made for made in set(threading.enumerate()) - before if isinstance(made, paramiko.Transport)]
    wakes = _switches(thread)
    assert not transport.run(["sleep", "1.5"], timeout_s=20).exit_code
    assert _switches(thread) - wakes < 12  # ten a second would be paramiko's own
    transport.close()
    wait.until(lambda: not thread.is_alive(), what="the connection's thread to end")


def _switches(thread: threading.Thread) -> int:
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_cycles_leave_nothing(leak_check: None, hosts: Hosts, host: Host) -> None:
    transports = hosts.transports()
    transports.connected(hosts.machine(host)).close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(25):
        transport = transports.connected(hosts.machine(host))
        transport.forward(1)
        transport.open(["cat"])
        transport.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    transports.stop()


def test_a_cut_connection_is_noticed_by_all_who_wait(hosts: Hosts, host: Host) -> None:
    transport = hosts.transports().connected(hosts.machine(host))
    channel = transport.open(["cat"])
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(channel.receive()))
    reader.start()
    host.cut()
    reader.join(20)
    assert received == [b""]
    wait.until(lambda: not transport.alive(), what="the connection's end")
    with pytest.raises(NodeUnreachable):
        channel.send(b"x")
    with pytest.raises(NodeUnreachable):
        transport.run(["true"], timeout_s=5)


def test_a_frozen_machine_does_not_hold_us(hosts: Hosts, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.ssh.transport._OPEN_S", 1.0)
    transport = hosts.transports().connected(hosts.machine(host))
    host.freeze()
    try:
        with pytest.raises(NodeUnreachable):
            transport.run(["true"], timeout_s=1)
        with pytest.raises(NodeUnreachable):
            transport.forward(1)
        transport.close()
    finally:
        host.thaw()


@pytest.fixture
def quick_to_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_socket, "UNACKNOWLEDGED_S", 2)
    monkeypatch.setattr(ssh_connect, "KEEPALIVE_S", 1)
    monkeypatch.setattr(ssh_connect, "IDLE_WAKE_S", 1.0)


@pytest.mark.netns
def test_a_silent_link_is_noticed(leak_check: None, hosts: Hosts, namespace: Namespace, quick_to_doubt: None) -> None:
    host = namespace.start(hosts)
    transports = hosts.transports()
    transport = transports.connected(hosts.machine(host))
    channel = transport.open(["cat"])
    namespace.cut()
    assert channel.receive() == b""
    wait.until(lambda: not transport.alive(), what="the connection's end")
    namespace.mend()
    again = transports.connected(hosts.machine(host))
    assert again.run(["echo", "back"], timeout_s=20).stdout == b"back\n"
    transports.stop()


def test_the_gate_keeps_both_limits() -> None:
    gate, most, lock = ConnectGate(total=4, per_address=2), {"a": 0, "b": 0, "c": 0, "all": 0}, threading.Lock()
    inside = dict.fromkeys(most, 0)
    both = threading.Barrier(2, timeout=20)

    def connect(address: str) -> None:
        with gate.passing(address, 20):
            with lock:
                for key in (address, "all"):
                    inside[key] += 1
                    most[key] = max(most[key], inside[key])
            both.wait()  # at least two are inside at once
            with lock:
                for key in (address, "all"):
                    inside[key] -= 1

    threads = [threading.Thread(target=connect, args=(address,)) for address in "abc" * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most["all"] <= 4
    assert max(most["a"], most["b"], most["c"]) <= 2
    with pytest.raises(NodeUnreachable), gate.passing("a", 1), gate.passing("a", 1), gate.passing("a", 0.01):
        pass
