"""pauses.rest_s: the runner looks away only while every worker has enough before it."""

import pytest

from remote_runner.pauses import REST_S, rest_s


@pytest.mark.parametrize(
    ("before", "expected_s"),
    [
        ([], 0.0),
        ([(1, 1e6)], 0.0),
        ([(16, 20.0)], 0.0),
        ([(9, 1000.0)], 0.004),
        ([(9, 1000.0), (5, 1000.0)], 0.002),
        ([(16, 1000.0), (1, 1000.0)], 0.0),
        ([(16, 0.0)], 0.0),
        ([(2, 20_000.0)], REST_S),
    ],
    ids=["idle", "one job", "very short jobs", "half of what waits", "the quickest counts", "one may end", "unknown",
         "at most"],
)  # fmt: skip
def test_rest(before: list[tuple[int, float]], expected_s: float) -> None:
    assert rest_s(before) == pytest.approx(expected_s)
