"""How long the runner may leave its workers alone, so that it looks once for many results. Pure."""

from typing import Iterable, Tuple

REST_S = 0.005
#: A shorter rest costs more than it spares.
SHORT_REST_S = 0.001


def rest_s(before: Iterable[Tuple[int, float]]) -> float:
    """Seconds until a worker may need a hand, at most ``REST_S``; 0: look now.

    ``before``: of each worker that has jobs, how many, and how long one of them takes on average (µs). Half of what
    stands before the quickest of them is left as a margin; who has one job only may need the next at any time.
    """
    rest = min(((jobs - 1) * average_us / 2e6 for jobs, average_us in before), default=0.0)
    return 0.0 if rest < SHORT_REST_S else min(rest, REST_S)
