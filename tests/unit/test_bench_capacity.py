"""The arithmetic of what one orchestrator carries, and how a bench's line says whether its target holds."""

import json
import re
from dataclasses import replace

import pytest

from bench import _rows, capacity
from bench.capacity import Costs, Place
from orchestrator.engine import feed
from tests.docs.blocks import ROOT

COSTS = Costs(
    server_us=50, lone_us=0, web_us=20, write_us=10, poll_ms=3, idle_us=0, connect_ms=20, base_mb=100, machine_mb=0.2
)


def test_near_and_on_a_quick_disk_the_processor_is_the_bound() -> None:
    answer = capacity.carries(Place(machines=4, fsync_ms=0.1, trip_ms=0.1), COSTS)
    assert answer.bound == "processor"
    assert answer.jobs_per_s == pytest.approx((0.9 - 4 * 0.003 / 30) / 50e-6)


def test_machines_take_their_share_of_the_processor_until_nothing_is_left() -> None:
    """33.3 measurements of 3 ms a second are a tenth of a core."""
    assert capacity.idle_share(Place(machines=1000), COSTS) == pytest.approx(0.1)
    assert capacity.processor_bound(Place(machines=1000), COSTS) == pytest.approx(0.8 / 50e-6)
    assert capacity.processor_bound(Place(machines=20_000), COSTS) == 0
    assert capacity.most_machines(Place(), COSTS) == 5000


def test_jobs_share_a_report_with_those_that_their_machine_holds() -> None:
    """Two of a long job, 800 of one that does nothing."""
    costs = replace(COSTS, lone_us=1000, poll_ms=0)
    assert capacity.processor_bound(Place(slots=2, job_s=2), costs) == pytest.approx(0.9 / 550e-6)
    assert capacity.processor_bound(Place(slots=2), costs) == pytest.approx(0.9 / 51.25e-6, rel=0.01)


def test_a_slow_disk_bounds_by_the_commits_that_claims_wait_for() -> None:
    answer = capacity.carries(Place(machines=100, fsync_ms=100), COSTS)
    assert answer.bound == "disk"
    assert answer.jobs_per_s == pytest.approx(1000 / (capacity.COMMITS_A_CLAIM * 0.1 + 1000 * 10e-6))


def test_jobs_of_ten_milliseconds_far_away_wait_for_the_network() -> None:
    """Two slots hold a tenth of a second of work each: less than what a trip of 100 ms and the commits take."""
    place = Place(machines=1, slots=2, job_s=0.01, trip_ms=100, fsync_ms=10)
    answer = capacity.carries(place, COSTS)
    held = capacity.ahead(place)
    assert 18 <= held <= 22
    assert answer.bound == "network"
    assert answer.jobs_per_s == pytest.approx(held / (0.1 + capacity.COMMITS_A_REFILL * 0.01 + 0.01 + feed.OVERHEAD_S))


def test_long_jobs_are_bounded_by_their_slots() -> None:
    answer = capacity.carries(Place(machines=1000, slots=8, job_s=10), COSTS)
    assert answer.bound == "slots"
    assert answer.jobs_per_s == pytest.approx(800, rel=0.01)


@pytest.mark.parametrize(("job_s", "held"), [(0.0, 800), (0.01, 20), (0.5, 4), (1.5, 2)])
def test_what_a_machine_holds_is_what_the_feed_gives_it(job_s: float, held: int) -> None:
    assert capacity.ahead(Place(slots=2, job_s=job_s)) == pytest.approx(held, abs=1)


def test_one_job_waits_for_its_commits_and_one_trip() -> None:
    assert capacity.alone_ms(Place(fsync_ms=10, trip_ms=50), replace(COSTS, alone_ms=4)) == pytest.approx(84)


@pytest.mark.parametrize(("trip_ms", "seconds"), [(1, 20), (100, 40.625)])
def test_connecting_is_bounded_by_the_processor_near_and_by_trips_far_away(trip_ms: float, seconds: float) -> None:
    assert capacity.ready_s(Place(machines=1000, trip_ms=trip_ms), COSTS) == pytest.approx(seconds)


def test_memory_grows_with_machines() -> None:
    assert capacity.memory_mb(Place(machines=1000), COSTS) == pytest.approx(300)


def test_every_bound_has_a_remedy() -> None:
    told = {
        capacity.then(capacity.Answer(1, bound), Place(), COSTS) for bound in ("slots", "network", "disk", "processor")
    }
    assert len(told) == 4
    assert any("several orchestrators" in one for one in told)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_shows_what_the_model_says(language: str) -> None:
    """Made anew by ``python -m bench capacity``."""
    page = (ROOT / "docs" / language / "performance.md").read_text("utf-8").splitlines()
    rows = [line for line in capacity.tables(Costs()).splitlines() if re.match(r"\| \d", line)]
    assert len(rows) == len(capacity.LOADS) * len(capacity.FSYNCS_MS) + len(capacity.CROWDS)
    assert [row for row in rows if row not in page] == []


@pytest.mark.parametrize(
    ("factor", "figures", "holds", "proportionately"),
    [
        ("1", {"jobs_per_s": 9.0, "peak_mb": 3.0}, False, None),
        ("0.5", {"jobs_per_s": 6.0, "peak_mb": 3.0}, False, True),
        ("0.5", {"jobs_per_s": 4.0, "peak_mb": 3.0}, False, False),
        ("0.5", {"jobs_per_s": 12.0, "peak_mb": 6.0}, False, False),
        ("0.5", {"jobs_per_s": 12.0, "peak_mb": 3.0}, True, True),
    ],
)
def test_targets_are_read_in_proportion_to_the_box_but_not_memory(
    factor: str,
    figures: dict[str, float],
    holds: bool,
    proportionately: bool | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FACTOR", factor)
    _rows.show("row", {"jobs_per_s": (">=", 10.0), "peak_mb": ("<=", 5.0)}, **figures)
    line = json.loads(capsys.readouterr().out)
    assert line["holds"] is holds
    assert line.get("holds_for_this_box") is proportionately


def test_a_slower_box_may_take_longer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FACTOR", "0.5")
    _rows.show("row", {"latency_p50_ms": ("<=", 8.0)}, latency_p50_ms=15.0)
    assert json.loads(capsys.readouterr().out)["holds_for_this_box"] is True
