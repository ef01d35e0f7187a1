"""Jobs on their way to machines and back: what is sent where, and what their ends teach. Memory only.

Owned by the engine's thread, through the fleet.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from jobs.model import AttemptKey, Claimed, EnvironmentState, JobVersion, Pick, Reported
from jobs.service import JobService
from jobs.status import Reason
from orchestrator.clock import Clock
from orchestrator.engine.equipment import Candidate, Kit, hopeless
from orchestrator.engine.feed import Appetite
from orchestrator.engine.pace import Patience
from orchestrator.engine.roster import Held, Member
from orchestrator.engine.scheduler import Head, Seat, VersionKey
from orchestrator.engine.sessions import Sessions
from orchestrator.engine.verdicts import Verdicts
from orchestrator.node.events import NotEquipped
from remote_runner import protocol

#: Folders on their way to one machine at once, so that a slow one leaves hands for the others.
DEPLOYS_AT_ONCE: Final = 2
#: What an installer refused rests as if it had failed so often before: long enough that all machines have said the same
#: by then, and that what they refused is known to be hopeless.
FINAL_STEPS: Final = 3


class Flow:
    """See the module. ``members`` and ``sessions`` are the fleet's."""

    def __init__(
        self,
        service: JobService,
        members: Mapping[str, Member],
        sessions: Sessions,
        verdicts: Verdicts,
        patience: Patience,
        clock: Clock,
    ) -> None:
        self.appetites: defaultdict[str, Appetite] = defaultdict(Appetite)
        #: The newest version of each job type.
        self.newest: dict[str, JobVersion] = {}
        self._service = service
        self._members = members
        self._sessions = sessions
        self._verdicts = verdicts
        self._patience = patience
        self._clock = clock

    def seats(self) -> list[Seat]:
        """The machines that may take work, as the scheduler sees them."""
        return [member.seat() for member in self._members.values() if not member.gate]

    def send(self, jobs: Sequence[Claimed]) -> None:
        """Hand claimed jobs to the sessions of their machines."""
        expected = {job_type: Held(job_type, self.appetites[job_type].job_s) for job_type in {j.job_type for j in jobs}}
        by_machine: defaultdict[str, list[Claimed]] = defaultdict(list)
        for job in jobs:
            self._members[job.machine_id].hold((job.job_id, job.attempt), expected[job.job_type])
            by_machine[job.machine_id].append(job)
        for machine_id, its_jobs in by_machine.items():
            versions = [self.newest[job_type] for job_type in {job.job_type for job in its_jobs}]
            exclusive = [version.ref for version in versions if version.settings.exclusive]
            refs = {version.job_type: version.ref for version in versions}
            self._sessions[machine_id].assign(
                [protocol.Assignment(job.job_id, job.attempt, refs[job.job_type], job.input) for job in its_jobs],
                [_on_the_wire(version) for version in versions],
                exclusive,
            )

    def prepare(self, machine_id: str, job_type: str) -> None:
        """Bring the newest folder of a job type to a machine, and its runner up meanwhile."""
        member, version = self._members[machine_id], self.newest[job_type]
        if version.settings.environment:
            self._equip(member, version)
        if (job_type, version.version) not in member.ready:
            self._send_folder(member, version)

    def _equip(self, member: Member, version: JobVersion) -> None:
        """Have the packages it asks for installed, unless that goes on already or is not to be tried now."""
        digest = version.settings.environment
        if not member.equipment.may_begin(digest):
            return
        member.equipment.begin(digest)
        member.changed = True
        lines = partial(self._service.packages, version.job_type, version.version)
        self._sessions[member.machine.machine_id].equip(digest, lines)

    def not_equipped(self, member: Member, event: NotEquipped) -> None:
        """It gets none of the versions that ask for these packages for a while, ever longer."""
        member.changed = True
        if not event.why:
            member.equipment.interrupted(event.digest)
            return
        spread = random.random()  # noqa: S311 - jitter, not a secret
        failures = member.equipment.failures(event.digest) + (FINAL_STEPS if event.is_final else 0)
        wait_s = self._patience.wait_s(failures, spread)
        until_s = self._clock.monotonic() + wait_s
        member.equipment.failed(event.digest, event.why, event.log, is_final=event.is_final, until_s=until_s)

    def hopeless(self, heads: Sequence[Head], limit: int) -> list[Pick]:
        """Jobs whose packages no machine can get."""
        if not any(member.equipment.refusals() for member in self._members.values()):
            return []
        able = [member for member in self._members.values() if not member.gate or member.is_connecting]
        versions = {job_type: version.version for job_type, version in self.newest.items()}
        return hopeless(heads, [_candidate(member) for member in able], versions, limit)

    def give_up(self, jobs: Sequence[Claimed]) -> list[tuple[str, list[AttemptKey], Kit]]:
        """These claimed jobs by machine, with what that says of their packages."""
        found: defaultdict[tuple[str, VersionKey], list[AttemptKey]] = defaultdict(list)
        for job in jobs:
            found[job.machine_id, (job.job_type, job.version)].append((job.job_id, job.attempt))
        return [
            (machine_id, keys, self._members[machine_id].equipment.refusal(key) or Kit(EnvironmentState.FAILED))
            for (machine_id, key), keys in found.items()
        ]

    def _send_folder(self, member: Member, version: JobVersion) -> None:
        if len(member.coming) >= DEPLOYS_AT_ONCE:
            return  # asked for again when one of them is there
        machine_id, job_type = member.machine.machine_id, version.job_type
        member.coming.add((job_type, version.version))
        session = self._sessions[machine_id]
        session.ensure_runner()
        session.send_version(
            job_type,
            version.version,
            version.node_digest,
            partial(self._service.node_folder, job_type, version.version),
            member.present.get(job_type, ()),
        )

    def ended(self, member: Member, items: Sequence[Reported]) -> bool:
        """What was reported of its attempts is stored; True: the machine is benched because of it."""
        for item in items:
            if item.kind == "start":
                member.started((item.job_id, item.attempt))
        ends = [item for item in items if item.kind != "start"]
        gone = member.let_go([(item.job_id, item.attempt) for item in ends])
        known = [(held.job_type, item) for held, item in zip(gone, ends, strict=True) if held is not None]
        spent: defaultdict[str, list[float]] = defaultdict(list)
        for job_type, item in known:
            if item.kind == "end":
                spent[job_type].append(item.spend_s)
        for job_type, seconds in spent.items():
            self.appetites[job_type] = self.appetites[job_type].after(sum(seconds), len(seconds))
            member.refusals.pop(job_type, None)
        refused = {job_type for job_type, item in known if item.reason == Reason.DISPATCH_FAILED}
        for job_type in refused & self.newest.keys():
            version = self.newest[job_type]
            self.put_off(member, version.job_type, version.version)
        return self._judge(member, known)

    def _judge(self, member: Member, ends: Sequence[tuple[str, Reported]]) -> bool:
        """Learn from them, in their order, whether the machine fails jobs unlike others do; True: it is benched."""
        benched = False
        well: Counter[str] = Counter()
        for job_type, item in ends:
            if item.reason == Reason.NONE:
                well[job_type] += 1
                continue
            self._verdicts.succeeded(member, well)
            well.clear()
            benched |= self._verdicts.failed(member, job_type, item)
        self._verdicts.succeeded(member, well)
        return benched

    def put_off(self, member: Member, job_type: str, version: int, why: str | None = None) -> None:
        """It gets none of this version for a while, ever longer: it could not be sent (``why``), or not be begun."""
        key = (job_type, version)
        failures = member.refusals[job_type] if why is None else member.failures[key]
        spread = random.random()  # noqa: S311 - jitter, not a secret
        until_s = self._clock.monotonic() + self._patience.wait_s(failures, spread)
        if why is None:
            member.refused(key, until_s)
        else:
            member.deploy_failed(key, why, until_s)


def _on_the_wire(version: JobVersion) -> protocol.Version:
    settings = version.settings
    return protocol.Version(
        job_type=version.job_type,
        version=version.version,
        folder=version.folder,
        digest=version.node_digest,
        timeout_s=settings.timeout_s,
        env=dict(settings.env),
        fresh_process=settings.fresh_process,
        max_jobs_per_worker=settings.max_jobs_per_worker,
        environment=settings.environment,
    )


def _candidate(member: Member) -> Candidate:
    return Candidate(
        member.machine.machine_id, member.machine.tags, member.unsuited, member.is_connecting, member.equipment
    )
