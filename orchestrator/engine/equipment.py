"""The packages a machine has, gets or could not get, and what follows for the versions that ask for them. Memory only.

An environment belongs to a lock, not to a job type: whoever asks for the same lock shares it. One that cannot be built
keeps its own job types from that machine and nobody else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from jobs.model import EnvironmentState, EnvironmentView, Pick
from orchestrator.engine.scheduler import Head, VersionKey
from orchestrator.node.found import Found

#: Builds on one machine at once: they take its processors from the jobs that run there.
BUILDS_AT_ONCE: Final = 2


@dataclass(slots=True)
class Kit:
    """One environment on one machine, as the engine knows it."""

    state: EnvironmentState
    found: Found | None = None
    #: Of a failed one: the installer's words and all it printed, and whether another try would end the same.
    why: str = ""
    log: str = ""
    is_final: bool = False
    #: How often in a row it failed, and the monotonic time until which it is not tried again.
    failures: int = 0
    until_s: float = 0.0


@dataclass(slots=True)
class Equipment:
    """All environments of one machine. Owned by the engine's thread."""

    #: The newest versions that ask for packages, and for which.
    asked: dict[VersionKey, str] = field(default_factory=dict)
    kits: dict[str, Kit] = field(default_factory=dict)

    # what happened

    def ask(self, environments: Mapping[VersionKey, str]) -> None:
        """These are the newest versions; those without packages ask for nothing."""
        self.asked = {key: digest for key, digest in environments.items() if digest}

    def doubt(self) -> None:
        """Nothing is known any more of what is there; what failed keeps its rest."""
        self.kits = {digest: kit for digest, kit in self.kits.items() if kit.state is EnvironmentState.FAILED}

    def begin(self, digest: str) -> None:
        """It is being built."""
        failures = self.kits[digest].failures if digest in self.kits else 0
        self.kits[digest] = Kit(EnvironmentState.BUILDING, failures=failures)

    def ready(self, found: Found) -> None:
        """It is there."""
        self.kits[found.digest] = Kit(EnvironmentState.READY, found)

    def failed(self, digest: str, why: str, log: str, *, is_final: bool, until_s: float) -> None:
        """It could not be built, and is not tried again before then."""
        failures = self.failures(digest) + 1
        self.kits[digest] = Kit(
            EnvironmentState.FAILED, why=why, log=log, is_final=is_final, failures=failures, until_s=until_s
        )

    def interrupted(self, digest: str) -> None:
        """Nobody knows how far it is; it is asked for again."""
        self.kits.pop(digest, None)

    def listed(self, found: Iterable[Found], python: str) -> None:
        """All that the machine has for its Python; what it is building, or failed to, is known better here."""
        rows = {one.digest: one for one in found if _minor(one.python) == _minor(python)}
        busy = {digest: kit for digest, kit in self.kits.items() if kit.state is not EnvironmentState.READY}
        self.kits = {digest: Kit(EnvironmentState.READY, one) for digest, one in rows.items()} | busy

    def time_passed(self, now_s: float) -> None:
        """What has rested long enough may be tried again."""
        for kit in self.kits.values():
            if kit.until_s and kit.until_s <= now_s:
                kit.until_s = 0.0

    # what follows from it

    def failures(self, digest: str) -> int:
        return self.kits[digest].failures if digest in self.kits else 0

    def may_begin(self, digest: str) -> bool:
        """Whether a build of it can begin now."""
        kit = self.kits.get(digest)
        if kit is not None and (kit.state is not EnvironmentState.FAILED or kit.until_s):
            return False
        building = [one for one in self.kits.values() if one.state is EnvironmentState.BUILDING]
        return len(building) < BUILDS_AT_ONCE

    def lacking(self) -> set[VersionKey]:
        """Versions whose packages are not there."""
        return {key for key in self.asked if self._state(key) is not EnvironmentState.READY}

    def coming(self) -> set[VersionKey]:
        """Of these, those whose packages are being installed."""
        return {key for key in self.asked if self._state(key) is EnvironmentState.BUILDING}

    def resting(self) -> set[VersionKey]:
        """Of these, those that failed and are not tried again just now."""
        return {key for key, digest in self.asked.items() if digest in self.kits and self.kits[digest].until_s}

    def refusal(self, key: VersionKey) -> Kit | None:
        """Why this machine cannot get what a version asks for; None: it has it, or may get it still."""
        kit = self.kits.get(self.asked.get(key, ""))
        return kit if kit is not None and kit.is_final and kit.until_s else None

    def refusals(self) -> bool:
        """Whether any failed in a way that another try would not change."""
        return any(kit.is_final and kit.until_s for kit in self.kits.values())

    def _state(self, key: VersionKey) -> EnvironmentState | None:
        kit = self.kits.get(self.asked[key])
        return None if kit is None else kit.state

    def views(self) -> tuple[EnvironmentView, ...]:
        """For people."""
        return tuple(self._view(digest, kit) for digest, kit in sorted(self.kits.items()))

    def _view(self, digest: str, kit: Kit) -> EnvironmentView:
        found = kit.found
        return EnvironmentView(
            digest=digest,
            python=found.python if found else "",
            state=kit.state,
            size_bytes=found.size_bytes if found else None,
            used_at=found.used_at if found else None,
            job_types=tuple(sorted(job_type for (job_type, _), asked in self.asked.items() if asked == digest)),
            why=kit.why or None,
        )


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What ``hopeless`` needs to know of a machine."""

    machine_id: str
    tags: frozenset[str]
    unsuited: frozenset[str]
    #: It has not answered yet, and may be the one that can.
    is_connecting: bool
    equipment: Equipment


def hopeless(
    heads: Sequence[Head], machines: Sequence[Candidate], versions: Mapping[str, int], limit: int
) -> list[Pick]:
    """Jobs whose packages every machine that suits them has tried and refused, each with the first of these. Pure."""
    picks: list[Pick] = []
    for lane in heads:
        key = (lane.job_type, versions.get(lane.job_type, -1))
        suiting = [one for one in machines if _suits(one, lane)]
        if not suiting or any(one.is_connecting or one.equipment.refusal(key) is None for one in suiting):
            continue
        picks += [Pick(job.job_id, suiting[0].machine_id, key[1]) for job in lane.jobs[: limit - len(picks)]]
    return picks


def _suits(machine: Candidate, lane: Head) -> bool:
    if lane.job_type in machine.unsuited or machine.machine_id in lane.avoid:
        return False
    return not lane.tag or lane.tag in machine.tags
