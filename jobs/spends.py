"""How long jobs take, kept as a histogram: a number of jobs a step, twelve steps a doubling. Pure.

Adding a job costs one number, asking for a percentile a few dozen, however many jobs there were. What is told lies
within 3 % of the exact value (half a step), from 0.1 ms up; below that it is 0.1 ms.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

LEAST_S: Final = 1e-4
STEPS_A_DOUBLING: Final = 12
#: Longer than any job: 2^40 times the least, over three years.
STEPS: Final = 40 * STEPS_A_DOUBLING


class Percentiles(NamedTuple):
    """Seconds that half, nineteen of twenty, and ninety-nine of a hundred finished jobs did not exceed."""

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


NONE: Final = Percentiles(None, None, None)


def step_of(spend_s: float) -> int:
    """The step a duration belongs to."""
    if spend_s <= LEAST_S:
        return 0
    return min(STEPS, math.ceil(math.log2(spend_s / LEAST_S) * STEPS_A_DOUBLING))


def seconds_of(step: int) -> float:
    """What a step stands for: the middle of it, to four digits."""
    middle = LEAST_S if step == 0 else LEAST_S * 2 ** ((step - 0.5) / STEPS_A_DOUBLING)
    return float(f"{middle:.4g}")


def percentiles(steps: Mapping[int, int]) -> Percentiles:
    """Of jobs counted by step; Nones where there are none."""
    counts = sorted((step, jobs) for step, jobs in steps.items() if jobs > 0)
    total = sum(jobs for _, jobs in counts)
    if not total:
        return NONE
    return Percentiles(*(_at(counts, math.ceil(total * share)) for share in (0.5, 0.95, 0.99)))


def _at(counts: list[tuple[int, int]], rank: int) -> float:
    seen = 0
    for step, jobs in counts:
        seen += jobs
        if seen >= rank:
            return seconds_of(step)
    return seconds_of(counts[-1][0])
