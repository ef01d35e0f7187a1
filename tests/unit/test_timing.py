"""Every timer of the orchestrator can be set, down to seconds, and reaches whoever waits by it."""

from pathlib import Path

import pytest

from jobs import retention
from jobs.rules import Backoff
from orchestrator import timing
from orchestrator.config import Settings
from orchestrator.engine.benching import Rule
from orchestrator.engine.pace import Patience, Timing
from orchestrator.node.pace import Pace


def settings(**changes: float) -> Settings:
    return Settings(home=Path("unused"), **changes)  # type: ignore[arg-type]


def test_all_of_them_at_a_second() -> None:
    short = {name: 1.0 for name in Settings.model_fields if name.endswith("_s")}
    set_short = settings(**short)
    fleet = timing.of_fleet(set_short)
    assert (fleet.poll_s, fleet.lost_after_s, fleet.end_look_s, fleet.disk_rest_s, fleet.sweep_s) == (1.0,) * 5
    assert (fleet.look_s, fleet.housekeeping_s, fleet.grace_s) == (1.0,) * 3
    assert fleet.deploy == Patience(first_s=1.0, longest_s=1.0)
    assert fleet.bench == Rule(after=5, first_s=1.0, longest_s=1.0)
    assert timing.of_jobs(set_short) == Backoff(1.0, 1.0)
    assert timing.of_sessions(set_short) == Pace(
        retry_first_s=1.0, retry_longest_s=1.0, retry_refused_s=1.0, contact_s=1.0, poll_timeout_s=1.0
    )


def test_the_defaults_are_the_same_everywhere() -> None:
    usual = settings()
    assert timing.of_fleet(usual) == Timing()
    assert timing.of_sessions(usual) == Pace()
    assert timing.of_jobs(usual) == Backoff()
    assert timing.of_retention(usual) == retention.Rule()


@pytest.mark.parametrize(("lost_after_s", "silence_s"), [(1800, 1740), (120, 60), (60, 30), (2, 1)])
def test_exclusive_attempts_end_well_before_the_machine_is_given_up(lost_after_s: float, silence_s: float) -> None:
    assert timing.silence_s(settings(lost_after_s=lost_after_s)) == silence_s
