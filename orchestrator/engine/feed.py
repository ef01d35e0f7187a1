"""How far ahead of itself a machine is fed. Pure: durations in, a bound on unstarted jobs out.

A machine that holds only what it runs idles for a round trip after each job. So it is given, besides, as much unstarted
work as covers that trip and never more than a second of it: what waits there cannot go elsewhere.
"""

from dataclasses import dataclass
from typing import Final

#: Seconds of unstarted work a slot may hold when jobs are shorter than this.
REACH_S: Final = 0.1
#: A job longer than this is never sent ahead: a second, and what waking up and measuring add to a job of one second.
LONGEST_AHEAD_S: Final = 1.05
#: No machine holds more than this many per slot, however short they are.
AHEAD_LIMIT: Final = 400
#: Weight of the newest batch in a type's mean duration.
WEIGHT: Final = 0.2
#: A mean counts as at most this, so that no machine's nonsense spoils what is known of a type for long.
LONGEST_COUNTED_S: Final = 10.0
#: What a job costs around its work(), so that no-op jobs are not thought to be free.
OVERHEAD_S: Final = 0.0001


@dataclass(frozen=True, slots=True)
class Appetite:
    """What is known of a job type's duration. ``known`` false: nothing has ended yet, so nothing is sent ahead."""

    job_s: float = LONGEST_AHEAD_S
    known: bool = False

    def takes(self, slots: int, held: int, held_s: float) -> bool:
        """Whether a machine with so many slots, holding so much, may be given one more."""
        if held < slots:
            return True
        if not self.known or self.job_s > LONGEST_AHEAD_S or held >= slots * AHEAD_LIMIT:
            return False
        return held < 2 * slots or held_s < slots * REACH_S

    def after(self, total_s: float, count: int) -> "Appetite":
        """The same after ``count`` more jobs ended that took ``total_s`` together."""
        mean = min(max(0.0, total_s / count), LONGEST_COUNTED_S) + OVERHEAD_S
        if not self.known:
            return Appetite(mean, known=True)
        return Appetite(self.job_s + WEIGHT * (mean - self.job_s), known=True)
