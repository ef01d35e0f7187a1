"""The door for looking: failures in groups, batches, the timeline, and all that the home page shows at once.

Reads counters and small tables; where jobs or attempts themselves are read, never more than a few thousand of them.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from jobs import submitting
from jobs.errors import InvalidInput, NotFound
from jobs.failures import FINGERPRINT
from jobs.model import Attempt, MachineState, MachineView
from jobs.store import Store, batches, browse, counters, durations, failures, home, machines, timeline
from jobs.views import BatchPlace, BatchView, FailureGroup, FailuresAsked, Home, Shares, Timeline

#: Failures and jobs are counted by the hour.
HOUR_S: Final = counters.HOUR_S
#: How much of each the home page shows.
TOP_FAILURES: Final = 8
TOP_BATCHES: Final = 10
TOP_MACHINES: Final = 100
WINDOW_LIMIT_S: Final = 31 * 86400

#: What wants somebody's attention comes first.
_TROUBLE: Final = (
    MachineState.REFUSED,
    MachineState.UNTRUSTED,
    MachineState.UNREACHABLE,
    MachineState.UNFIT,
    MachineState.CONNECTING,
    MachineState.DRAINING,
    MachineState.PAUSED,
    MachineState.READY,
    MachineState.CLOSED,
)


class Insight:
    """Nothing here changes a job. Safe to use from any thread."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    # ------------------------------------------------------------------------------------------------------- failures

    def failures(self, asked: FailuresAsked) -> list[FailureGroup]:
        """Groups in which something failed in the hours asked for, the latest first."""
        submitting.check_number("size", asked.size, 1, submitting.PAGE_LIMIT)
        with self._store.read() as conn:
            return failures.page(conn, asked)

    def failure(self, fingerprint: str) -> FailureGroup:
        """One group. Raises NotFound."""
        with self._store.read() as conn:
            found = failures.one(conn, fingerprint) if FINGERPRINT.fullmatch(fingerprint) else None
        if found is None:
            raise NotFound(f"there is no group of failures {fingerprint[:64]!r}")
        return found

    def sample(self, group: FailureGroup) -> Attempt | None:
        """The latest attempt that ended so; None: it was deleted."""
        with self._store.read() as conn:
            found = browse.attempts_of(conn, group.sample_job, group.sample_attempt)
        return found[0] if found else None

    def mute(self, fingerprint: str, muted: bool) -> FailureGroup:
        """Mute a group until its job type has a newer version, or no longer. Raises NotFound."""
        self.failure(fingerprint)
        self._store.write(lambda tx: failures.mute(tx, fingerprint, muted))
        return self.failure(fingerprint)

    # -------------------------------------------------------------------------------------------------------- batches

    def batches(
        self, size: int = 50, after: BatchPlace | None = None, q: str = ""
    ) -> tuple[list[BatchView], BatchPlace | None]:
        """(A page of batches, the newest first; where the next begins, None: this is the end)."""
        submitting.check_number("size", size, 1, submitting.PAGE_LIMIT)
        with self._store.read() as conn:
            return batches.page(conn, self._clock(), size, after, q)

    def batch(self, name: str) -> tuple[BatchView, Shares]:
        """One batch, and which machines did it. Raises NotFound."""
        with self._store.read() as conn:
            found = batches.named(conn, [name], self._clock())
            if not found:
                raise NotFound(f"there is no batch {name[:64]!r} with jobs in it")
            return found[0], batches.shares(conn, name, sum(found[0].jobs.values()))

    # ------------------------------------------------------------------------------------------------- timeline, home

    def timeline(self, since: float, until: float, machine_id: str | None = None) -> Timeline:
        """What ran in a window of time."""
        if not 0 < until - since <= WINDOW_LIMIT_S:
            raise InvalidInput("until", f"must be later than since, by at most {WINDOW_LIMIT_S // 86400} days")
        with self._store.read() as conn:
            return timeline.window(conn, since, until, self._clock(), machine_id)

    def home(self, window_s: int) -> Home:
        """All that the home page shows, in one go."""
        submitting.check_number("window_s", window_s, HOUR_S, WINDOW_LIMIT_S)
        now = self._clock()
        first_hour = int(now - window_s) // HOUR_S + 1
        with self._store.read() as conn:
            running, in_all = batches.running(conn, now, TOP_BATCHES)
            everyone = machines.everyone(conn)
            return Home(
                now=now,
                first_hour=first_hour,
                totals=home.totals(conn),
                hours=counters.history(conn, first_hour),
                took=durations.of_hours(conn, first_hour),
                types=home.types(conn, first_hour),
                failures=failures.largest(conn, first_hour, TOP_FAILURES),
                machines=sorted(everyone, key=_urgency)[:TOP_MACHINES],
                machine_states=Counter(str(machine.state) for machine in everyone),
                batches=running,
                running_batches=in_all,
            )

    def expire(self) -> None:
        """Forget failures of long ago."""
        self._store.write(lambda tx: failures.expire(tx, self._clock()))


def _urgency(machine: MachineView) -> tuple[int, int, str]:
    """A machine that is ready but benched or marked wants attention too."""
    rank = _TROUBLE.index(machine.state)
    if machine.benched or machine.marks:
        rank = min(rank, _TROUBLE.index(MachineState.UNFIT))
    return rank, -machine.running, machine.machine_id
