"""The power of the server fails again and again under load: what was acknowledged is on the disk (guarantees G1, G8).

The server's home is an ext4 disk of its own. While the server is stopped in the middle of its work, what is on the disk
(not what the kernel still holds) is copied; then the server is killed, and goes on with the copy.
"""

import random
from pathlib import Path

import pytest

from tests.chaos import disks
from tests.chaos.faults import Scene, power_lost
from tests.chaos.load import Load
from tests.chaos.run import Outcome, finish
from tests.chaos.world import World, world
from tests.conftest import require
from tests.support import wait

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(900)]

TIMES = 3
SEED = random.randrange(10**6)  # noqa: S311  (no secret)


def test_nothing_acknowledged_is_missing_after_a_power_loss(sshd: None, tmp_path: Path) -> None:
    require(disks.missing())
    print(f"seed {SEED}")
    chance = random.Random(SEED)  # noqa: S311  (as above)
    outcome = Outcome(SEED, "sqlite")
    with world(tmp_path, "sqlite") as here:
        load = Load(here, chance, meddle=False)
        load.start()
        try:
            for _ in range(TIMES):
                some_are_answered(here, load)
                with power_lost(Scene(here, load, chance, {})):
                    nothing_is_missing(here, load)
        finally:
            load.stop()
        finish(here, load, outcome)
        assert here.seen["power of the server lost"] == TIMES
    assert outcome.balances, outcome.words()


def some_are_answered(here: World, load: Load) -> None:
    """The work goes on: more submits and more reports than before."""
    jobs, ends = len(load.book.acknowledged), reported(here, load)
    wait.until(lambda: len(load.book.acknowledged) > jobs, what="an answered submit", timeout_s=180)
    wait.until(lambda: reported(here, load) > ends, what="an answered report", timeout_s=180)


def reported(here: World, load: Load) -> int:
    load.note_reported()
    return len(load.book.reported)


def nothing_is_missing(here: World, load: Load) -> None:
    assert here.sql("PRAGMA integrity_check") == [("ok",)]
    reported(here, load)
    jobs, attempts = here.rows()
    assert load.book.acknowledged.keys() <= {job.job_id for job in jobs}
    assert load.book.reported <= {(one.job_id, one.attempt) for one in attempts}
