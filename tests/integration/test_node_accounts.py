"""The account on a node: what a restricted key still allows, and what another account there gets to see."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from orchestrator.doctor.machine import Tools, examine
from orchestrator.ssh.connect import Connector
from orchestrator.ssh.gate import ConnectGate
from orchestrator.ssh.keys import KnownHosts
from orchestrator.ssh.tunnel import Pump
from tests.support.hosts import Hosts

pytestmark = pytest.mark.sshd

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


@pytest.fixture
def tools(hosts: Hosts) -> Iterator[Tools]:
    pump = Pump()
    pump.start()
    known = KnownHosts(hosts.home / "known_hosts", others=())
    connector = Connector(known, ConnectGate(), hosts.ssh_config)
    yield Tools(connector=connector, pump=pump, server_id="restricted", ssh_config=hosts.ssh_config)
    pump.stop()


def documented_options() -> str:
    """What docs/security.md puts before the key."""
    line = next(line for line in PAGE.read_text().splitlines() if line.startswith("restrict,"))
    return line.partition(" ssh-ed25519")[0].replace('from="10.0.0.1",', "")


def test_the_restricted_line_of_the_guide_works_and_restricts(hosts: Hosts, tools: Tools) -> None:
    machine = hosts.machine(hosts.start())
    key = (hosts.folder / "id_client.pub").read_text()
    (hosts.folder / "authorized_keys").write_text(f"{documented_options()} {key}")
    report = examine(machine, tools)
    assert report.ok, report.as_dict()
    assert [result.step for result in report.results if result.state == "skipped"] == []
    assert "tunnel" in next(result for result in report.results if result.step == "forwarding").finding
    link = tools.connector.connect(machine)
    with contextlib.closing(link):
        with pytest.raises(paramiko.ChannelException):  # no way from here through the node to others
            link.transport.open_channel(
                "direct-tcpip", (machine.host, machine.port or 22), ("127.0.0.1", 0), timeout=10
            )
        with pytest.raises(paramiko.SSHException):  # no port of the node for the world
            link.transport.request_port_forward("", 0, lambda *_: None)
        channel = link.transport.open_session()
        with pytest.raises(paramiko.SSHException):
            channel.get_pty()


def test_umask_and_modes_keep_others_out(hosts: Hosts, tools: Tools, tmp_path: Path) -> None:
    machine = hosts.machine(hosts.start())
    root = Path(machine.root) / tools.server_id
    root.mkdir(parents=True, mode=0o755)
    root.chmod(0o755)
    found = next(result for result in examine(machine, tools).results if result.step == "root")
    assert (found.state, "0755" in found.finding) == ("warning", True)
    assert root.stat().st_mode & 0o777 == 0o755, "a look changes nothing"
