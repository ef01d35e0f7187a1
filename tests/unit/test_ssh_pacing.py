"""What is under way of a folder, on simulated lines: short for others, and as fast as the line all the same."""

from collections import deque
from typing import NamedTuple

import pytest

from orchestrator.ssh.pacing import LEAST_BYTES, SILENCE_S, TARGET_S, Pacing

#: As OpenSSH does: takes so much ahead, and tells what it took in such steps.
WINDOW, STEP = 2 << 20, 3 << 15
PIECE = 1 << 15
TICK_S = 0.0005


class Line(NamedTuple):
    """Of so many bytes a second, and with such a way there and back."""

    bytes_per_s: float
    round_trip_s: float


class Sent(NamedTuple):
    """How it went: seconds in all, and how long a byte of another stream would have waited, half of the time."""

    took_s: float
    waited_s: float


def sent_over(line: Line, size: int, pacing: Pacing | None) -> Sent:
    """Send so many bytes as fast as ``pacing`` and the window allow."""
    now = sent = arrived = taken_told = 0.0
    tellings: deque[tuple[float, float]] = deque()
    waits = []
    while taken_told < size:
        now += TICK_S
        arrived = min(sent, arrived + line.bytes_per_s * TICK_S)
        if arrived - (tellings[-1][1] if tellings else taken_told) >= STEP or arrived >= size:
            tellings.append((now + line.round_trip_s, arrived))
        while tellings and tellings[0][0] <= now:
            taken_told = tellings.popleft()[1]
        under_way = int(sent - taken_told)
        if pacing:
            pacing.taken(under_way, now)
        while sent < size and under_way < min(WINDOW, pacing.limit_bytes if pacing else WINDOW):
            sent += PIECE
            under_way += PIECE
            if pacing:
                pacing.sent(PIECE, now)
        waits.append((sent - arrived) / line.bytes_per_s)
    return Sent(now, sorted(waits)[len(waits) // 2])


@pytest.mark.parametrize(
    "line", [Line(1e6, 0.03), Line(5e6, 0.02), Line(20e6, 0.1), Line(100e6, 0.001), Line(12e6, 0.01)]
)
def test_it_takes_hardly_longer_and_others_wait_a_moment(line: Line) -> None:
    size = 1 << 25
    alone, beside = sent_over(line, size, None), sent_over(line, size, Pacing())
    assert beside.took_s <= 1.25 * alone.took_s
    least_s = LEAST_BYTES / line.bytes_per_s
    assert beside.waited_s <= max(2 * TARGET_S, 1.5 * least_s)


def test_without_it_a_job_waits_for_two_megabytes() -> None:
    """What the simulation is about: this is how it was."""
    assert sent_over(Line(1e6, 0.03), 1 << 24, None).waited_s > 1.9


def test_a_line_that_became_slow_gets_less() -> None:
    pacing, now = Pacing(), 0.0
    for took_s in [0.01] * 30 + [0.2] * 60:
        pacing.sent(PIECE, now)
        now += took_s
        pacing.taken(0, now)
    assert pacing.limit_bytes == LEAST_BYTES


def test_an_end_that_tells_nothing_for_long_gets_all_it_takes() -> None:
    pacing = Pacing()
    pacing.sent(LEAST_BYTES, 10.0)
    pacing.taken(LEAST_BYTES, 10.0 + SILENCE_S / 2)
    assert pacing.limit_bytes == LEAST_BYTES
    pacing.taken(LEAST_BYTES, 10.0 + SILENCE_S)
    assert pacing.limit_bytes > WINDOW
    pacing.sent(WINDOW - LEAST_BYTES, 14.0)
    pacing.taken(WINDOW // 2, 15.0)
    assert pacing.limit_bytes > WINDOW


def test_an_end_that_only_paused_is_spared_again_afterwards() -> None:
    pacing = Pacing()
    pacing.sent(LEAST_BYTES, 10.0)
    pacing.taken(LEAST_BYTES, 10.0 + SILENCE_S)
    pacing.sent(WINDOW - LEAST_BYTES, 14.0)
    pacing.taken(WINDOW - STEP, 15.0)
    assert pacing.limit_bytes == LEAST_BYTES


def test_a_pause_of_the_sender_is_no_silence() -> None:
    pacing = Pacing()
    pacing.sent(PIECE, 10.0)
    pacing.taken(0, 10.1)
    pacing.sent(PIECE, 100.0)
    pacing.taken(PIECE, 100.1)
    assert pacing.limit_bytes < WINDOW
