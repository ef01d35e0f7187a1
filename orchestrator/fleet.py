"""All machines with their sessions: what follows for them from what happened. Memory only; what the store has to learn
of it is owed.

Owned by the engine's thread. Nothing here waits for a machine or for the store, so no event can get lost half-way.
"""

import itertools
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from inventory.file import Inventory
from inventory.machine import Machine
from jobs.model import AttemptKey, Claimed, JobVersion, MachineState, OpenAttempt
from jobs.service import JobService
from jobs.status import Reason
from orchestrator import deploy
from orchestrator.clock import Clock
from orchestrator.events import (
    Connected,
    Deployed,
    DeployFailed,
    Down,
    KillAsked,
    Loaded,
    MachineEvent,
    ReportStored,
    RunnerGone,
    RunnerUp,
    Told,
    Trouble,
)
from orchestrator.feed import Appetite
from orchestrator.owed import Owed
from orchestrator.roster import Held, Member
from orchestrator.session import Session
from remote_runner import protocol

log = logging.getLogger(__name__)

#: Folders on their way to one machine at once, so that a slow one leaves hands for the others.
DEPLOYS_AT_ONCE: Final = 2
#: How often a machine whose owner sent us away (an End file) is looked at again.
END_LOOK_S: Final = 300.0
#: How long a machine without room for its journal gets nothing new.
DISK_REST_S: Final = 60.0

#: Makes the session of a machine; what the session is given to call tells the fleet's owner.
MakeSession = Callable[[Machine, Callable[[MachineEvent], None]], Session]


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """The engine's share of the settings."""

    poll_s: float
    lost_after_s: float
    grace_s: float


class Fleet:
    """See the module. ``hear`` what happened; ``members`` may be looked at."""

    def __init__(
        self,
        service: JobService,
        owed: Owed,
        make_session: MakeSession,
        tell: Callable[[Told], None],
        timing: Timing,
        clock: Clock,
    ) -> None:
        self.members: dict[str, Member] = {}
        self.appetites: defaultdict[str, Appetite] = defaultdict(Appetite)
        #: The newest version of each job type.
        self.newest: dict[str, JobVersion] = {}
        self._service = service
        self._owed = owed
        self._make_session = make_session
        self._tell = tell
        self._timing = timing
        self._clock = clock
        self._numbers = itertools.count(1)
        self._sessions: dict[str, Session] = {}
        #: The sessions listened to, by machine.
        self._current: dict[str, int] = {}
        #: Told to stop, and not known to have ended.
        self._leaving: list[Session] = []
        self._takers: dict[type[MachineEvent], Callable[[Member, Any], None]] = {
            Connected: self._connected,
            Down: self._down,
            Loaded: self._loaded,
            Deployed: self._deployed,
            DeployFailed: self._deploy_failed,
            RunnerUp: self._runner_up,
            RunnerGone: self._runner_gone,
            Trouble: self._trouble,
        }

    # the inventory

    def learn_versions(self, newest: dict[str, JobVersion]) -> None:
        self.newest = newest
        for member in self.members.values():
            self._recognise_versions(member)

    def take_over(self, inventory: Inventory, attempts: Iterable[OpenAttempt]) -> None:
        """Begin, with the attempts that an earlier engine left open."""
        open_on: defaultdict[str, list[OpenAttempt]] = defaultdict(list)
        for attempt in attempts:
            open_on[attempt.machine_id].append(attempt)
        for machine_id in open_on.keys() | inventory.machines.keys():
            machine = inventory.machines.get(machine_id)
            member = Member(machine or Machine(machine_id=machine_id), removed=machine is None)
            self.members[machine_id] = member
            self._hold_open(member, open_on[machine_id])
            self._open_session(member)

    def _hold_open(self, member: Member, attempts: Iterable[OpenAttempt]) -> None:
        for attempt in attempts:
            key = (attempt.job_id, attempt.attempt)
            member.hold(key, Held(attempt.job_type, Appetite().job_s))
            member.shown_unreachable |= attempt.unreachable
            if attempt.started:
                member.started(key)

    def inventory_changed(self, inventory: Inventory) -> None:
        for machine_id, machine in inventory.machines.items():
            member = self.members.get(machine_id)
            if member is None:
                self.members[machine_id] = Member(machine)
                self._open_session(self.members[machine_id])
            elif member.machine != machine or member.removed:
                self._change(member, machine)
        for machine_id, member in list(self.members.items()):
            if machine_id not in inventory.machines and not member.removed:
                member.removed = member.changed = True
                self._empty(member)

    def _change(self, member: Member, machine: Machine) -> None:
        """Take a machine's new line: at once where it only concerns what is sent, by a new connection otherwise."""
        old, member.machine, member.removed = member.machine, machine, False
        member.changed = True
        session = self._sessions[machine.machine_id]
        if old.reach != machine.reach or not session.running:
            self._let_go(member)
            self._open_session(member)
            return
        session.reconfigure(machine)
        if member.wants_empty:
            self._empty(member)

    def _open_session(self, member: Member) -> None:
        """Connect, unless nothing is wanted of the machine: a closed one is, while it holds work."""
        machine_id = member.machine.machine_id
        number = next(self._numbers)
        self._current[machine_id] = number
        session = self._make_session(member.machine, lambda event: self._tell(Told(number, event)))
        self._sessions[machine_id] = session
        if member.removed:
            text = "no longer in the inventory, so its work cannot be collected"
            self._down(member, Down(machine_id, "unreachable", text))
        elif member.machine.closed and not member.held:
            member.away()
        else:
            member.connecting()
            session.start()

    def _let_go(self, member: Member) -> None:
        """Stop the session and listen to it no more; what it has not sent comes back."""
        machine_id = member.machine.machine_id
        session = self._sessions[machine_id]
        if session.running:
            self._leaving.append(session)
        session.stop()
        self._current.pop(machine_id, None)
        self._give_back_unsent(member)

    # what happened to jobs

    def send(self, jobs: Sequence[Claimed]) -> None:
        """Hand claimed jobs to the sessions of their machines."""
        by_machine: defaultdict[str, list[Claimed]] = defaultdict(list)
        for job in jobs:
            held = Held(job.job_type, self.appetites[job.job_type].job_s)
            self.members[job.machine_id].hold((job.job_id, job.attempt), held)
            by_machine[job.machine_id].append(job)
        for machine_id, its_jobs in by_machine.items():
            versions = [self.newest[job_type] for job_type in {job.job_type for job in its_jobs}]
            refs = {version.job_type: version.ref for version in versions}
            self._sessions[machine_id].assign(
                [protocol.Assignment(job.job_id, job.attempt, refs[job.job_type], job.input) for job in its_jobs],
                [_on_the_wire(version) for version in versions],
            )

    def prepare(self, machine_id: str, job_type: str) -> None:
        """Bring the newest folder of a job type to a machine, and its runner up meanwhile."""
        member, version = self.members[machine_id], self.newest[job_type]
        if len(member.coming) >= DEPLOYS_AT_ONCE:
            return  # asked for again when one of them is there
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

    def report_stored(self, event: ReportStored) -> None:
        member = self.members.get(event.machine_id)
        if member is None:
            return
        spent: defaultdict[str, list[float]] = defaultdict(list)
        for item in event.items:
            key = (item.job_id, item.attempt)
            if item.kind == "start":
                member.started(key)
                continue
            if item.kind == "end" and key in member.held:
                spent[member.held[key].job_type].append(item.spend_s)
            member.let_go([key])
        for job_type, seconds in spent.items():
            self.appetites[job_type] = self.appetites[job_type].after(sum(seconds), len(seconds))
        self._leave_if_done(member)

    def kill_asked(self, event: KillAsked) -> None:
        if event.machine_id in self._sessions:
            self._sessions[event.machine_id].kill(event.keys, self._timing.grace_s)

    # what happened to machines

    def hear(self, told: Told) -> None:
        machine_id = told.event.machine_id
        if self._current.get(machine_id) == told.session:
            self._takers[type(told.event)](self.members[machine_id], told.event)

    def _connected(self, member: Member, event: Connected) -> None:
        member.connected(event.contact, self._clock.time())
        member.next_poll_s = self._now_s() + self._timing.poll_s
        self._recognise_versions(member)
        if member.held or event.contact.journals or member.unproven:
            self._sessions[event.machine_id].ensure_runner()
        if member.wants_empty:
            self._empty(member)

    def _recognise_versions(self, member: Member) -> None:
        """Newest versions whose folder is on the machine already."""
        for job_type, version in self.newest.items():
            if deploy.version_name(version.version, version.node_digest) in member.present.get(job_type, ()):
                member.ready.add((job_type, version.version))

    def _down(self, member: Member, event: Down) -> None:
        log.info("machine %s: %s", event.state, event.text, extra={"machine": event.machine_id})
        member.down(event.state, event.text, self._now_s())
        self._give_back_unsent(member)
        self._show_unreachable(member, bool(member.held))

    def _show_unreachable(self, member: Member, unreachable: bool) -> None:
        if member.shown_unreachable != unreachable:
            member.shown_unreachable = unreachable
            self._owed.add(self._service.mark_unreachable, member.machine.machine_id, unreachable)

    def _loaded(self, member: Member, event: Loaded) -> None:
        emptying = member.wants_empty
        member.loaded(event.load, self._clock.time())
        if member.wants_empty and not emptying:
            self._empty(member)

    def _deployed(self, member: Member, event: Deployed) -> None:
        member.deployed((event.job_type, event.version), event.name)

    def _deploy_failed(self, member: Member, event: DeployFailed) -> None:
        log.warning(
            "%s@%s not sent: %s", event.job_type, event.version, event.text, extra={"machine": event.machine_id}
        )
        self._put_off(member, event.job_type, event.version, event.text)

    def _put_off(self, member: Member, job_type: str, version: int, why: str) -> None:
        spread = random.random()  # noqa: S311 - jitter, not a secret
        member.deploy_failed((job_type, version), why, self._now_s(), spread)

    def _runner_up(self, member: Member, event: RunnerUp) -> None:
        member.runner_up(event)
        self._show_unreachable(member, False)

    def compared(self, member: Member, up: RunnerUp, *, known_life: str | None, unwanted: Sequence[AttemptKey]) -> None:
        """Settle what the runner does not know of, then let the session feed it.

        ``known_life``: the life of the node that was met last. ``unwanted``: what the runner is to end.
        """
        session = self._sessions[up.machine_id]
        unstarted = not up.unread and member.same_life(known_life)
        self._settle_missing(member, member.in_doubt(up.held, session.unsent()), unstarted=unstarted)
        if member.life != known_life:
            self._owed.add(self._service.set_meta, life_key(up.machine_id), member.life)
        member.compared()
        session.go_on(up.stream)
        if unwanted:
            session.kill(unwanted, self._timing.grace_s)
        if member.wants_empty:
            self._empty(member)

    def _runner_gone(self, member: Member, event: RunnerGone) -> None:
        session = self._sessions[event.machine_id]
        if member.runner_gone(event.stream) and event.left:
            # it was compared, and held nothing when it said goodbye: whatever crossed with that was not started
            self._settle_missing(member, member.in_doubt(frozenset(), session.unsent()), unstarted=True)
        if member.held and member.greeting is None:
            session.ensure_runner()
        self._leave_if_done(member)

    def _settle_missing(self, member: Member, keys: Sequence[AttemptKey], *, unstarted: bool) -> None:
        if not keys:
            return
        machine_id = member.machine.machine_id
        if unstarted:
            self._owed.add(self._service.give_back, machine_id, keys, Reason.GIVEN_BACK)
        else:
            self._owed.add(self._service.lose, machine_id, keys, f"the runner on {machine_id} knows nothing of it")
        member.let_go(keys)

    def _trouble(self, member: Member, event: Trouble) -> None:
        log.warning("%s: %s", event.reason, event.text, extra={"machine": event.machine_id})
        member.note = f"{event.reason}: {event.text}"
        member.changed = True
        if event.reason == "disk_full":
            member.rest(event.text, self._now_s() + DISK_REST_S)
        if event.reason.startswith("version_"):  # damaged or gone there: send all anew, in a while
            member.present.clear()
            for job_type, version in list(member.ready):
                self._put_off(member, job_type, version, event.text)

    # letting go

    def _empty(self, member: Member) -> None:
        """No new work, unstarted work back; what runs goes on, and when it is done the machine may be let go."""
        self._give_back_unsent(member)
        self._sessions[member.machine.machine_id].recall()
        self._leave_if_done(member)

    def _give_back_unsent(self, member: Member) -> None:
        session = self._sessions[member.machine.machine_id]
        self._settle_missing(member, session.withdraw_unsent(), unstarted=True)

    def _leave_if_done(self, member: Member) -> None:
        if member.held or not member.wants_away or member.state is MachineState.CLOSED:
            return
        machine_id = member.machine.machine_id
        self._let_go(member)
        if member.removed:
            del self.members[machine_id], self._sessions[machine_id]
            self._owed.add(self._service.drop_machines, [machine_id])
        else:
            member.away()
            member.next_poll_s = self._now_s() + END_LOOK_S

    def stop(self, timeout_s: float) -> None:
        """Let go of all machines; what runs on them goes on."""
        sessions = [*self._sessions.values(), *self._leaving]
        for session in sessions:
            session.stop()
        ends_at_s = self._now_s() + timeout_s
        for session in sessions:
            session.join(max(0.0, ends_at_s - self._now_s()))

    # time

    def time_passed(self) -> None:
        now_s = self._now_s()
        self._leaving = [session for session in self._leaving if session.alive]
        for member in list(self.members.values()):
            member.time_passed(now_s)
            if member.next_poll_s <= now_s:
                self._look(member, now_s)
            self._give_up_if_lost(member, now_s)

    def _look(self, member: Member, now_s: float) -> None:
        member.next_poll_s = now_s + self._timing.poll_s
        if member.state is MachineState.READY:
            self._sessions[member.machine.machine_id].poll()
        elif member.state is MachineState.CLOSED and not member.machine.closed:  # perhaps the End file is gone
            self._open_session(member)

    def _give_up_if_lost(self, member: Member, now_s: float) -> None:
        """After so long without contact its attempts are given up; a late success is still taken (T8)."""
        if member.silent_since_s is None or not member.held or member.state is MachineState.READY:
            return
        if now_s - member.silent_since_s < self._timing.lost_after_s:
            return
        machine_id, keys = member.machine.machine_id, list(member.held)
        reason = f"no contact with {machine_id} for {self._timing.lost_after_s / 60:.0f} min"
        self._owed.add(self._service.lose, machine_id, keys, reason)
        member.let_go(keys)
        self._leave_if_done(member)

    def _now_s(self) -> float:
        return self._clock.monotonic()


def life_key(machine_id: str) -> str:
    """Where the store keeps which life of a node was met last."""
    return f"life:{machine_id}"


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
    )
