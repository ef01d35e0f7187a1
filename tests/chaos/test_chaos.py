"""The ledger balances, whatever goes wrong (guarantees §5); ``make chaos`` does the same for as long as one likes."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.run import Outcome, chaos
from tests.conftest import require
from tests.support import databases

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(1200)]

#: What runners' reports have to suffer besides.
REPORTS = ("report duplicated", "report reordered", "report replayed", "report unanswered")
#: Another one in every run; it is in the line that is printed.
SEED = random.randrange(10**6)  # noqa: S311  (no secret)
ABOUT_SERVERS = {"database stopped and continued", "database killed and back"}


@pytest.fixture(scope="module", autouse=True)
def servers() -> Iterator[None]:
    yield
    databases.stop_all()


def balanced(outcome: Outcome) -> None:
    print(outcome.line())
    assert outcome.balances, outcome.words()


def about_the_server_alone(one: Fault) -> bool:
    return bool(one.holds & {"server", "home"})


def test_sqlite_and_every_fault(sshd: None, tmp_path: Path) -> None:
    """Each at least once, as the evidence says; among them kills at many of the server's writes."""
    outcome = chaos(100, SEED, "sqlite", tmp_path)
    balanced(outcome)
    expected = {one.name for one in FAULTS} - ABOUT_SERVERS - set(outcome.impossible)
    missed = [name for name in (*sorted(expected), *REPORTS) if not outcome.faults.get(name)]
    assert not missed, outcome.line()


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_a_server_database(sshd: None, tmp_path: Path, kind: str) -> None:
    require(databases.missing(kind))
    outcome = chaos(40, SEED, kind, tmp_path, about_the_server_alone)
    balanced(outcome)
    assert {name for name, count in outcome.faults.items() if count} >= ABOUT_SERVERS, outcome.line()
    assert outcome.faults.get("server killed at a write"), outcome.line()
