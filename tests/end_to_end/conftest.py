"""Machines with real sshd, and a server that knows them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from multijob import Client
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

StartServer = Callable[..., RunningServer]


@pytest.fixture
def start_server(hosts: Hosts, tmp_path: Path) -> Iterator[StartServer]:
    """Start a server on the machines there are; more keywords are settings of config.yml."""
    started: list[RunningServer] = []

    def start(inventory: str | None = None, **settings: object) -> RunningServer:
        server = RunningServer(tmp_path / f"home-{len(started)}", inventory or hosts.inventory(), **settings)
        (server.home / "known_hosts").write_text((hosts.home / "known_hosts").read_text())
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def server(hosts: Hosts, start_server: StartServer) -> RunningServer:
    """A server with three machines of two slots each."""
    for _ in range(3):
        hosts.start()
    return start_server(hosts.inventory(limit_process=2))


@pytest.fixture
def client(server: RunningServer) -> Client:
    return server.client()
