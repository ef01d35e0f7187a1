"""Which machines fail jobs unlike the others do, and how long they get none. Pure: ends and times in, Benches out.

A machine is compared with all others, for each job type, and for all types together ("") where only failures of the
plumbing count: a process that died, a job that could not be begun. It is benched when it failed so many different jobs
in a row that, going by how often the others fail, chance is no explanation; so a type that fails everywhere benches
nobody. A benched machine is tried again by one job after a while that grows from bench to bench; a success there
admits it, a failure benches it for longer.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from jobs.model import BenchRow
from jobs.status import PLUMBING, Reason

#: All job types together.
WHOLE: Final = ""
#: A streak that chance explains less often than this is no chance.
CHANCE: Final = 0.001
#: Ends of a type on a machine that are looked back on; older ones fade.
LOOK_BACK: Final = 100
#: These say nothing about the machine: a person's wish, or what the job returned.
_SILENT: Final = frozenset(
    {
        Reason.KILLED,
        Reason.KILL_UNCONFIRMED,
        Reason.GIVEN_BACK,
        Reason.TYPE_DELETED,
        Reason.LOST,
        Reason.RETURN_ERROR,
        Reason.ENVIRONMENT_FAILED,
    }
)
#: What depends on the job alone: it counts neither way, or bad input would hide a bad machine.
_THE_JOB_S: Final = frozenset({Reason.BAD_RESULT, Reason.RESULT_TOO_LARGE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """The settings. ``after`` 0: nobody is ever benched."""

    #: So many different jobs in a row must have failed at least.
    after: int = 5
    first_s: float = 60.0
    longest_s: float = 3600.0


class Failed(NamedTuple):
    """One attempt that came to a bad end on a machine."""

    machine_id: str
    job_type: str
    job_id: int
    reason: Reason


@dataclass(slots=True)
class _Tally:
    """How a type (or all) went on one machine of late."""

    good: float = 0.0
    bad: float = 0.0
    #: Different jobs that failed since the last success.
    streak: set[int] = field(default_factory=set)

    def failed(self, job_id: int) -> None:
        if len(self.streak) < LOOK_BACK:
            self.streak.add(job_id)
        self.bad += 1
        self._fade()

    def succeeded(self, times: int) -> None:
        """So often in a row: the same as one by one, in a step for each time that older ends fade."""
        self.streak.clear()
        while times > 0:
            room = math.floor(LOOK_BACK - self.good - self.bad)  # rounding may make it -1
            step = min(times, max(room, 0) + 1)
            self.good += step
            self._fade()
            times -= step

    def _fade(self) -> None:
        if self.good + self.bad > LOOK_BACK:
            self.good, self.bad = self.good / 2, self.bad / 2


@dataclass(slots=True)
class Bench:
    """A machine benched for a type, or for all."""

    machine_id: str
    job_type: str
    why: str
    #: How often in a row.
    level: int
    #: Monotonic.
    until_s: float


class Benching:
    """Remembers how jobs went, machine by machine. One thread; ``spread`` in its calls is from 0 to 1."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._tallies: defaultdict[str, dict[str, _Tally]] = defaultdict(dict)
        self._benches: dict[tuple[str, str], Bench] = {}
        #: How often in a row a machine was benched that is not benched now, and until when that counts.
        self._levels: dict[tuple[str, str], tuple[int, float]] = {}

    # what happened

    def succeeded(self, machine_id: str, job_type: str, times: int, now_s: float) -> list[tuple[str, str]]:
        """So many ends in a row were good: the (machine, type) pairs that are admitted again."""
        if not self._rule.after:
            return []
        keys = [(machine_id, job_type), (machine_id, WHOLE)]
        for key in keys:
            self._tally(key).succeeded(times)
        return [self._admit(key, now_s) for key in keys if key in self._benches]

    def failed(self, ended: Failed, now_s: float, spread: float) -> list[tuple[str, str]]:
        """What this end changes: the (machine, type) pairs that are benched by it, now or for longer."""
        if ended.reason in _SILENT or ended.reason in _THE_JOB_S or not self._rule.after:
            return []
        about = [ended.job_type, WHOLE] if ended.reason in PLUMBING else [ended.job_type]
        changed = [self._failed(ended, job_type, now_s, spread) for job_type in about]
        return [key for key in changed if key is not None]

    def _failed(self, ended: Failed, job_type: str, now_s: float, spread: float) -> tuple[str, str] | None:
        key = (ended.machine_id, job_type)
        tally = self._tally(key)
        tally.failed(ended.job_id)
        benched = self._benches.get(key)
        if benched is not None:
            return self._bench(key, benched.why, now_s, spread) if now_s >= benched.until_s else None
        if self._is_unlike_others(key, tally):
            return self._bench(key, self._words(key, len(tally.streak), ended.reason), now_s, spread)
        return None

    def _tally(self, key: tuple[str, str]) -> _Tally:
        machine_id, job_type = key
        return self._tallies[job_type].setdefault(machine_id, _Tally())

    def _is_unlike_others(self, key: tuple[str, str], tally: _Tally) -> bool:
        if len(tally.streak) < self._rule.after:
            return False
        good, bad = self._elsewhere(key)
        return good > 0 and ((bad + 1) / (good + bad + 2)) ** len(tally.streak) < CHANCE

    def _elsewhere(self, key: tuple[str, str]) -> tuple[float, float]:
        others = [tally for machine_id, tally in self._tallies[key[1]].items() if machine_id != key[0]]
        return sum(tally.good for tally in others), sum(tally.bad for tally in others)

    def _words(self, key: tuple[str, str], streak: int, reason: Reason) -> str:
        good, bad = self._elsewhere(key)
        what = f"jobs of {key[1]}" if key[1] else "jobs of whatever type"
        share = 100 * good / (good + bad)
        return f"the last {streak} {what} failed here ({reason}), while {share:.0f} % succeed on the other machines"

    def _bench(self, key: tuple[str, str], why: str, now_s: float, spread: float) -> tuple[str, str]:
        level = 1 + self._level(key, now_s)
        wait_s = min(self._rule.first_s * 2.0 ** min(level - 1, 32), self._rule.longest_s) * (0.5 + spread)
        self._benches[key] = Bench(*key, why, level, now_s + wait_s)
        return key

    def _level(self, key: tuple[str, str], now_s: float) -> int:
        """How often in a row before: a machine that was well for as long as the longest bench begins anew."""
        benched = self._benches.get(key)
        if benched is not None:
            return benched.level
        level, until_s = self._levels.pop(key, (0, 0.0))
        return level if now_s < until_s else 0

    def _admit(self, key: tuple[str, str], now_s: float) -> tuple[str, str]:
        self._levels[key] = (self._benches.pop(key).level, now_s + self._rule.longest_s)
        return key

    # what people and restarts do

    def admit(self, machine_id: str) -> list[tuple[str, str]]:
        """A person says that it is mended, or it left: nothing of it counts any more. What it was benched for."""
        keys = [key for key in self._benches if key[0] == machine_id]
        for key in keys:
            del self._benches[key]
        for tallies in self._tallies.values():
            tallies.pop(machine_id, None)
        self._levels = {key: level for key, level in self._levels.items() if key[0] != machine_id}
        return keys

    def recall(self, rows: Iterable[BenchRow], now: float, now_s: float) -> None:
        """Take up what an earlier life wrote down; nobody sits longer than the rule allows now."""
        for row in rows:
            left_s = min(max(0.0, row.until_at - now), 1.5 * self._rule.longest_s)
            if self._rule.after:
                bench = Bench(row.machine_id, row.job_type, row.why, row.level, now_s + left_s)
                self._benches[row.machine_id, row.job_type] = bench

    # what follows

    def bench(self, key: tuple[str, str]) -> Bench | None:
        """The machine's bench for a type, if it sits there."""
        return self._benches.get(key)

    def of(self, machine_id: str) -> Mapping[str, Bench]:
        """All its benches by type."""
        return {job_type: bench for (owner, job_type), bench in self._benches.items() if owner == machine_id}
