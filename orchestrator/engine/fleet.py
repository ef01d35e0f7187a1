"""All machines with their sessions: what follows for them from what happened. Memory only; what the store has to learn
of it is owed.

Owned by the engine's thread. Nothing here waits for a machine or for the store, so no event can get lost half-way.
"""

import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from inventory.file import Inventory
from inventory.machine import Machine
from jobs.model import AttemptKey, BenchRow, JobVersion, MachineOverride, MachineState, OpenAttempt
from jobs.service import JobService
from jobs.status import Reason
from orchestrator.clock import Clock
from orchestrator.engine import looks
from orchestrator.engine.feed import Appetite
from orchestrator.engine.flow import Flow
from orchestrator.engine.owed import Owed
from orchestrator.engine.pace import Timing
from orchestrator.engine.purges import Purges
from orchestrator.engine.roster import MARK_S, Held, Member
from orchestrator.engine.sessions import MakeSession, Sessions
from orchestrator.engine.verdicts import Verdicts
from orchestrator.errors import UserError
from orchestrator.node import deploy
from orchestrator.node.events import (
    Admit,
    Connected,
    Deployed,
    DeployFailed,
    Down,
    Equipped,
    KillAsked,
    Loaded,
    MachineEvent,
    NotEquipped,
    PurgeAsked,
    Purged,
    ReportStored,
    RunnerGone,
    RunnerUp,
    Swept,
    Told,
    Trouble,
)
from orchestrator.node.health import Contact

log = logging.getLogger(__name__)

#: Between two looks at the clock more time than this has passed: we were stopped or asleep, and it does not count.
GAP_S: Final = 10.0
#: A machine met again is swept within this share of the time between two sweeps.
SOON: Final = 1 / 24


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
        self._service = service
        self._owed = owed
        self._timing = timing
        self._clock = clock
        self._looked_s = clock.monotonic()
        self._sessions = Sessions(make_session, tell)
        self._verdicts = Verdicts(service, owed, timing.bench, clock)
        self._purges = Purges()
        self.flow = Flow(service, self.members, self._sessions, self._verdicts, timing.deploy, clock)
        self._takers: dict[type[MachineEvent], Callable[[Member, Any], None]] = {
            Connected: self._connected,
            Down: self._down,
            Loaded: self._loaded,
            Deployed: self._deployed,
            DeployFailed: self._deploy_failed,
            Equipped: self._equipped,
            NotEquipped: self._not_equipped,
            Swept: self._swept,
            RunnerUp: self._runner_up,
            RunnerGone: self._runner_gone,
            Trouble: self._trouble,
            Purged: self._purged,
        }

    # the inventory

    def learn_versions(self, newest: dict[str, JobVersion]) -> None:
        self.flow.newest = newest
        for member in self.members.values():
            self._recognise_versions(member)

    def take_over(
        self, inventory: Inventory, attempts: Iterable[OpenAttempt], benches: Iterable[BenchRow] = ()
    ) -> None:
        """Begin, with the attempts that an earlier engine left open, and who was benched then."""
        self._verdicts.recall(benches)
        open_on: defaultdict[str, list[OpenAttempt]] = defaultdict(list)
        for attempt in attempts:
            open_on[attempt.machine_id].append(attempt)
        for machine_id in open_on.keys() | inventory.machines.keys():
            machine = inventory.machines.get(machine_id)
            member = Member(machine or Machine(machine_id=machine_id), removed=machine is None)
            self.members[machine_id] = member
            self._verdicts.show(member)
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
        session = self._sessions.make(member.machine)
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
        self._sessions.let_go(member.machine.machine_id)
        self._give_back_unsent(member)

    # what happened to jobs

    def report_stored(self, event: ReportStored) -> None:
        member = self.members.get(event.machine_id)
        if member is None:
            return
        self._heard_of(member)
        if self.flow.ended(member, event.items):  # benched because of it: nothing more of what it has is begun there
            self._give_back_unsent(member)
            self._sessions[event.machine_id].recall()
        self._leave_if_done(member)

    def _heard_of(self, member: Member) -> None:
        """A report is contact too, by whatever way it came."""
        if member.silent_since_s is not None:
            member.silent_since_s = self._now_s()

    def kill_asked(self, event: KillAsked) -> None:
        if event.machine_id in self._sessions:
            self._sessions[event.machine_id].kill(event.keys, self._timing.grace_s)

    # what happened to machines

    def hear(self, told: Told) -> None:
        if self._sessions.listens_to(told):
            self._takers[type(told.event)](self.members[told.event.machine_id], told.event)

    def admit(self, event: Admit) -> None:
        """A person says that a machine is mended."""
        member = self.members.get(event.machine_id)
        if member is not None:
            self._verdicts.admit(member)

    def _connected(self, member: Member, event: Connected) -> None:
        member.connected(event.contact, self._clock.time())
        member.next_poll_s = self._now_s() + self._timing.poll_s
        member.next_sweep_s = self._now_s() + self._timing.sweep_s * _sweep_share(event.contact)
        self._recognise_versions(member)
        if member.held or event.contact.journals or member.unproven:
            self._sessions[event.machine_id].ensure_runner()
        if member.wants_empty:
            self._empty(member)

    def _recognise_versions(self, member: Member) -> None:
        """Newest versions whose folder is on the machine already."""
        for job_type, version in self.flow.newest.items():
            if deploy.version_name(version.version, version.node_digest) in member.present.get(job_type, ()):
                member.ready.add((job_type, version.version))
        newest = self.flow.newest.values()
        member.fit_versions({version.job_type: version.settings.python for version in newest})
        member.equipment.ask({(one.job_type, one.version): one.settings.environment for one in newest})

    def _down(self, member: Member, event: Down) -> None:
        log.info("machine %s: %s", event.state, event.text, extra={"machine": event.machine_id})
        member.down(event, self._now_s())
        self._give_back_unsent(member)
        self._show_unreachable(member, bool(member.held))
        if member.purging:
            self._purged(member, Purged(event.machine_id, {}, f"it cannot be reached: {event.text or event.state}"))

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
        self.flow.put_off(member, event.job_type, event.version, event.text)

    def _equipped(self, member: Member, event: Equipped) -> None:
        member.equipment.ready(event.found)
        member.changed = True

    def _not_equipped(self, member: Member, event: NotEquipped) -> None:
        log.warning("packages not installed: %s", event.why, extra={"machine": event.machine_id})
        self.flow.not_equipped(member, event)

    def _swept(self, member: Member, event: Swept) -> None:
        member.equipment.listed(event.environments, member.contact.python_version if member.contact else "")
        member.changed = True

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
            reason = f"the runner on {machine_id} knows nothing of it"
            self._owed.add(self._service.lose, machine_id, keys, reason, looks.snapshot(member))
        member.let_go(keys)

    def _trouble(self, member: Member, event: Trouble) -> None:
        log.warning("%s: %s", event.reason, event.text, extra={"machine": event.machine_id})
        member.note = f"{event.reason}: {event.text}"
        member.changed = True
        if event.reason == "disk_full":
            member.rest(event.text, self._now_s() + self._timing.disk_rest_s)
        if event.reason == "unkillable":
            member.mark(event.reason, event.text, self._now_s() + MARK_S)
        if event.reason.startswith("version_"):  # damaged or gone there: send all anew, in a while
            member.present.clear()
            member.equipment.doubt()
            for job_type, version in list(member.ready):
                self.flow.put_off(member, job_type, version, event.text)

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
        if not member.held and member.purging:
            self._purge(member)
        if member.held or not member.wants_away or member.state is MachineState.CLOSED:
            return
        machine_id = member.machine.machine_id
        self._let_go(member)
        if member.removed:
            del self.members[machine_id]
            self._sessions.forget(machine_id)
            self._verdicts.forget(machine_id)
            self._owed.add(self._service.drop_machines, [machine_id])
        else:
            member.away()
            member.next_poll_s = self._now_s() + self._timing.end_look_s

    def stop(self, timeout_s: float) -> None:
        """Let go of all machines; what runs on them goes on."""
        self._purges.fail_all("the server is stopping")
        self._sessions.stop(timeout_s)

    # leaving nothing behind

    def purge_asked(self, event: PurgeAsked) -> None:
        """Drain the machine, then remove all that is ours from it; the event's promise is kept or broken."""
        member = self.members.get(event.machine_id)
        if member is None:
            event.done.set_exception(UserError(f"there is no machine {event.machine_id}"))
            return
        self._purges.add(event.machine_id, event.done)
        member.purging = member.changed = True
        if not self._sessions[event.machine_id].running:
            member.connecting()
            self._sessions.make(member.machine).start()
        self._empty(member)

    def _purge(self, member: Member) -> None:
        if member.state is MachineState.READY and self._purges.begin(member.machine.machine_id):
            self._sessions[member.machine.machine_id].purge()

    def _purged(self, member: Member, event: Purged) -> None:
        """Nothing is left, and it stays closed, or the next connection would begin to leave things there again."""
        member.purging = False
        member.changed = True
        if event.error:
            self._purges.fail(event.machine_id, event.error)
            return
        self._let_go(member)
        member.away()
        closed = MachineOverride(machine_id=event.machine_id, key="closed", value="true")
        self._owed.add(self._service.override, [closed])
        self._purges.keep(event.machine_id, event.answer)

    # time

    def time_passed(self) -> None:
        now_s = self._now_s()
        self._forgive_gap(now_s)
        self._sessions.time_passed()
        for member in list(self.members.values()):
            member.time_passed(now_s)
            if member.next_poll_s <= now_s:
                self._look(member, now_s)
            self._give_up_if_lost(member, now_s)

    def _forgive_gap(self, now_s: float) -> None:
        """While we were stopped or asleep nobody could have made contact: that time counts against no machine."""
        gap_s = now_s - self._looked_s
        self._looked_s = now_s
        if gap_s < GAP_S:
            return
        for member in self.members.values():
            if member.silent_since_s is not None:
                member.silent_since_s += gap_s

    def _look(self, member: Member, now_s: float) -> None:
        member.next_poll_s = now_s + self._timing.poll_s
        if member.state is MachineState.READY:
            self._sessions[member.machine.machine_id].poll()
            if member.next_sweep_s <= now_s:
                member.next_sweep_s = now_s + self._timing.sweep_s
                self._sessions[member.machine.machine_id].sweep()
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
        self._owed.add(self._service.lose, machine_id, keys, reason, looks.snapshot(member))
        member.let_go(keys)
        self._leave_if_done(member)

    def _now_s(self) -> float:
        return self._clock.monotonic()


def _sweep_share(contact: Contact) -> float:
    """Soon, for what an earlier life left may be old, but not all at once; where no runner was, nothing of ours was."""
    return random.uniform(0, SOON) if contact.runners else 1.0  # noqa: S311 - spread, not secrecy


def life_key(machine_id: str) -> str:
    """Where the store keeps which life of a node was met last."""
    return f"life:{machine_id}"
