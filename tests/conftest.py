"""Fixtures everybody uses: hosts with real sshd, a server's home, and a look at what tests leave behind."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.config import make_home
from tests.support import databases, network, wait
from tests.support import hosts as support_hosts
from tests.support.hosts import Hosts, children


@pytest.fixture(scope="session")
def sshd() -> None:
    """Skip, loudly, without the tools for real SSH; on CI fail."""
    require(support_hosts.missing_tools())


@pytest.fixture
def hosts(sshd: None) -> Iterator[Hosts]:
    """An empty set of hosts; everything started is gone after the test."""
    with support_hosts.running() as made:
        yield made


@pytest.fixture
def namespace(sshd: None) -> Iterator[network.Namespace]:
    """A network namespace with a link to it that can be cut without a word."""
    require(network.missing())
    with network.namespace() as made:
        yield made


@pytest.fixture(scope="session")
def database_servers() -> Iterator[None]:
    """Ends the private database servers that tests started."""
    yield
    databases.stop_all()


@pytest.fixture(params=databases.KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path, database_servers: None) -> Iterator[databases.Database]:
    """A fresh, migrated database of every kind; skips, loudly, where a kind's server is not installed; on CI fails."""
    require(databases.missing(request.param))
    with databases.a_database(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A server's home, as at the first start."""
    made = tmp_path / "home"
    make_home(made)
    return made


@pytest.fixture
def leak_check() -> Iterator[None]:
    """Fail if the test leaves threads or child processes behind."""
    threads, processes = set(threading.enumerate()), set(children())
    yield
    wait.until(lambda: not set(threading.enumerate()) - threads, what="the end of all threads it started", timeout_s=60)
    wait.until(lambda: not set(children()) - processes, what="the end of all processes it started", timeout_s=60)


def require(missing: list[str]) -> None:
    """Go on only if nothing is missing: skip at home, fail on CI."""
    if not missing:
        return
    words = "this machine lacks " + ", ".join(missing)
    if os.environ.get("CI") == "true":
        pytest.fail(words)
    pytest.skip(words)
