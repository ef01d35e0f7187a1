"""feed.Appetite: how far ahead a machine is fed."""

import pytest

from orchestrator.engine.feed import AHEAD_LIMIT, Appetite


def test_free_slots_are_always_filled() -> None:
    assert Appetite().takes(slots=2, held=1, held_s=99.0)


def test_nothing_known_means_nothing_ahead() -> None:
    assert not Appetite().takes(slots=2, held=2, held_s=0.0)


def test_one_job_a_slot_may_wait_when_it_is_at_most_a_second() -> None:
    assert Appetite(0.9, known=True).takes(slots=2, held=3, held_s=2.7)
    assert not Appetite(0.9, known=True).takes(slots=2, held=4, held_s=3.6)
    assert not Appetite(1.1, known=True).takes(slots=2, held=2, held_s=2.2)


def test_a_job_of_one_second_is_sent_ahead_though_it_is_measured_a_little_longer() -> None:
    measured = Appetite().after(total_s=2 * 1.003, count=2)
    assert measured.takes(slots=2, held=3, held_s=3.0)
    assert not measured.takes(slots=2, held=4, held_s=4.0)


def test_however_short_there_is_a_bound() -> None:
    assert not Appetite(0.0, known=True).takes(slots=2, held=2 * AHEAD_LIMIT, held_s=0.0)


def test_the_mean_follows_the_newest_jobs() -> None:
    first = Appetite().after(total_s=2.0, count=2)
    assert first.known
    assert first.job_s == pytest.approx(1.0, abs=0.01)
    later = first.after(total_s=0.0, count=5)
    assert 0.7 < later.job_s < 0.9


def test_one_machine_s_nonsense_does_not_spoil_what_is_known_for_long() -> None:
    sane = Appetite(0.01, known=True)
    spoiled = sane.after(total_s=1e308, count=1)
    for _ in range(25):
        spoiled = spoiled.after(total_s=0.1, count=10)
    assert spoiled.job_s < 0.1
