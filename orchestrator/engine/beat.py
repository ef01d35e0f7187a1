"""The beat: takes what happened, asks the pure rooms what follows, lets the hands act.

One thread owns everything here. Others only put events into the inbox. Taking an event never touches the store (fleet);
the steps after it do, and each of them is tried again by the next beat, so that an outage of the store delays
decisions and loses none. Nothing in a beat waits for a machine.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from apscheduler.schedulers.background import BackgroundScheduler

from inventory.file import Inventory
from jobs.errors import StoreUnavailable
from jobs.model import AttemptKey, Claimed, Pick
from jobs.service import JobService
from orchestrator.clock import Clock
from orchestrator.engine import looks, scheduler
from orchestrator.engine.backlog import Backlog
from orchestrator.engine.fleet import Fleet, life_key
from orchestrator.engine.inbox import Inbox
from orchestrator.engine.owed import Owed
from orchestrator.engine.pace import Timing
from orchestrator.engine.roster import Member
from orchestrator.engine.scheduler import Head
from orchestrator.engine.sessions import MakeSession
from orchestrator.errors import UserError
from orchestrator.node.events import (
    Admit,
    Beat,
    Event,
    InventoryChanged,
    KillAsked,
    Published,
    PurgeAsked,
    ReportStored,
    RunnerUp,
    Stop,
    Submitted,
    Told,
)

log = logging.getLogger(__name__)

BEAT_S: Final = 1.0
#: Jobs claimed in one go: bounds how long a beat may take.
PICKS_PER_BEAT: Final = 1000
#: After a beat that claimed jobs the engine rests as long as the beat took, at most this long.
BREATH_LONGEST_S: Final = 0.01
STOP_TIMEOUT_S: Final = 10.0


class Engine:
    """See the module. ``start`` once, ``tell`` from anywhere, ``stop`` once."""

    def __init__(
        self,
        service: JobService,
        make_session: MakeSession,
        timing: Timing,
        clock: Clock,
        chores: Sequence[Callable[[], object]] = (),
    ) -> None:
        """``chores``: what else is to be done at each housekeeping."""
        self._service = service
        self._timing = timing
        self._chores = (service.housekeeping, *chores)
        self._clock = clock
        self._inbox = Inbox()
        self._owed = Owed()
        self._fleet = Fleet(service, self._owed, make_session, self.tell, timing, clock)
        self._backlog = Backlog(service.lanes, service.heads)
        self._timers = BackgroundScheduler(timezone="UTC")
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._stopped = False
        self._ticked = self._published = self._has_claimed = False
        #: A claim failed in a way that does not tell whether the store took it.
        self._claim_in_doubt = False
        self._store_away = False
        self._shown_s = self._looked_s = 0.0
        #: Views on their way to the store, and whose they are.
        self._showing: Future[None] = Future()
        self._showing.set_result(None)
        self._shown: list[Member] = []
        self._takers: dict[type[Event], Callable[[Any], None]] = {
            Submitted: lambda event: self._backlog.submitted(event.best_ranks),
            ReportStored: self._fleet.report_stored,
            KillAsked: self._fleet.kill_asked,
            Published: self._note_published,
            InventoryChanged: lambda event: self._fleet.inventory_changed(event.inventory),
            Told: self._fleet.hear,
            Admit: self._fleet.admit,
            PurgeAsked: self._fleet.purge_asked,
            Beat: self._note_tick,
            Stop: lambda _: None,
        }
        #: What needs the store, in this order; each is due again at the next beat until it is done.
        self._steps: Sequence[Callable[[], None]] = (
            self._owed.pay,
            self._learn_versions,
            self._settle_claims,
            self._compare_runners,
            self._owed.pay,
            self._release_due,
            self._dispatch,
            self._show,
        )

    def start(self, inventory: Inventory) -> None:
        """Take up what an earlier engine left, then beat."""
        self._fleet.learn_versions(self._service.current_versions())
        self._fleet.take_over(inventory, self._service.open_attempts(), self._service.benches())
        self._timers.add_job(self.tell, "interval", [Beat()], seconds=BEAT_S, max_instances=1, coalesce=True)
        self._timers.add_job(self._housekeep, "interval", seconds=self._timing.housekeeping_s, coalesce=True)
        self._timers.start()
        self._thread.start()

    def stop(self) -> None:
        """Let go of all machines; what runs on them goes on."""
        if self._timers.running:
            self._timers.shutdown(wait=False)
            self._stopped = True
            self.tell(Stop())
            self._thread.join(STOP_TIMEOUT_S)
        self._fleet.stop(STOP_TIMEOUT_S)

    def _housekeep(self) -> None:
        """One chore's failure is not the next one's."""
        for chore in self._chores:
            try:
                chore()
            except StoreUnavailable as error:
                log.warning("the store does not answer: %s", error)
            except Exception:
                log.exception("a chore of housekeeping failed")

    def tell(self, event: Event) -> None:
        """Something happened. From any thread; never blocks."""
        self._inbox.put(event)

    def purge(self, machine_id: str, timeout_s: float) -> Mapping[str, Any]:
        """Leave nothing of ours on a machine: its jobs end, ours is removed, it stays closed. Not from the beat.

        Answers ``removed`` (path, files, bytes of each entry) and ``left`` (paths; empty). Raises UserError.
        """
        done: Future[Mapping[str, Any]] = Future()
        self.tell(PurgeAsked(machine_id, done))
        try:
            return done.result(timeout_s)
        except TimeoutError:
            done.cancel()
            text = f"{machine_id} still has running jobs after {timeout_s:.0f} s; it is removed when they have ended"
            raise UserError(text) from None

    # the beat

    def _run(self) -> None:
        while not self._stopped:
            events = self._inbox.take()
            began_s = self._now_s()
            self._has_claimed = False
            if not self.beat(events):
                time.sleep(BEAT_S)
            elif self._has_claimed:  # what happens meanwhile is claimed together: fewer, larger transactions under load
                time.sleep(min(self._now_s() - began_s, BREATH_LONGEST_S))

    def beat(self, events: Sequence[Event]) -> bool:
        """Take these events, then do what follows from all that is known; False: something is left for the next."""
        for event in events:
            self._take(event)
        try:
            left = [step for step in self._steps if not self._done(step)]
        except StoreUnavailable as error:
            if not self._store_away:
                log.warning("the store does not answer: %s", error)
            self._store_away = True
            return False
        self._store_away = False
        return not left

    def _take(self, event: Event) -> None:
        try:
            self._takers[type(event)](event)
        except Exception:
            log.exception("an event was not taken: %.500r", event)

    def _done(self, step: Callable[[], None]) -> bool:
        """One step's failure is not the next one's, but for the store being away."""
        try:
            step()
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("a step of the beat failed")
            return False
        return True

    def _note_published(self, _: Published) -> None:
        self._published = True

    def _note_tick(self, _: Beat) -> None:
        self._ticked = True
        self._fleet.time_passed()

    def _learn_versions(self) -> None:
        if self._published:
            self._fleet.learn_versions(self._service.current_versions())
            self._published = False

    def _release_due(self) -> None:
        """Back-offs that are over; now and then also a look at the queue that nobody asked for."""
        if not self._ticked:
            return
        self._service.due(self._clock.time())
        if self._now_s() - self._looked_s >= self._timing.look_s:
            self._backlog.look_again()
            self._looked_s = self._now_s()
        self._ticked = False

    # choosing and sending

    def _dispatch(self) -> None:
        """Claim what can run now and send it off; ask for folders that stand in the way."""
        if self._backlog.is_empty():  # a look at a thousand machines costs as much as three polls
            return
        seats = self._fleet.flow.seats()
        if not seats:
            return
        newest = {job_type: version.version for job_type, version in self._fleet.flow.newest.items()}
        tags = frozenset().union(*(seat.tags for seat in seats))
        heads = self._backlog.heads(lambda job_type, tag: job_type in newest and (not tag or tag in tags))
        if not heads:
            return
        most = min(PICKS_PER_BEAT, self._backlog.reach)
        plan = scheduler.plan(heads, seats, newest, self._fleet.flow.appetites, most)
        for wanted in plan.wanted:
            self._fleet.flow.prepare(wanted.machine_id, wanted.job_type)
        if plan.picks:
            self._has_claimed = True
            self._fleet.flow.send(self._claim(plan.picks))
            self._backlog.taken(plan.lanes, [pick.job_id for pick in plan.picks])
        self._give_up(heads)
        if len(plan.picks) == most:
            self.tell(Submitted({}))  # there may be room for more: another beat at once

    def _give_up(self, heads: Sequence[Head]) -> None:
        """Jobs whose packages no machine can get fail, in the installer's words, rather than wait for ever."""
        picks = self._fleet.flow.hopeless(heads, PICKS_PER_BEAT)
        if not picks:
            return
        claimed = self._claim(picks)
        for machine_id, keys, kit in self._fleet.flow.give_up(claimed):
            self._owed.add(self._service.environment_failed, machine_id, keys, kit.why, kit.log)
        gone = {pick.job_id for pick in picks}
        lanes = {head.lane_id for head in heads if any(job.job_id in gone for job in head.jobs)}
        self._backlog.taken(lanes, gone)
        self.tell(Submitted({}))  # there may be more of them; and what is owed is paid

    def _claim(self, picks: Sequence[Pick]) -> list[Claimed]:
        try:
            return self._service.claim(picks).result()
        except Exception:
            self._claim_in_doubt = True  # a commit whose answer got lost is a commit
            raise

    def _settle_claims(self) -> None:
        """Attempts that are open and that no machine holds were claimed, and we did not hear of it: never sent."""
        if not self._claim_in_doubt:
            return
        for attempt in self._service.open_attempts():
            member = self._fleet.members.get(attempt.machine_id)
            if member is None or (attempt.job_id, attempt.attempt) not in member.held:
                self._service.give_back(attempt.machine_id, [(attempt.job_id, attempt.attempt)])
        self._claim_in_doubt = False

    # runners that answered

    def _compare_runners(self) -> None:
        for member in list(self._fleet.members.values()):
            if member.greeting is not None:
                self._done(partial(self._compare, member, member.greeting))

    def _compare(self, member: Member, up: RunnerUp) -> None:
        """What the runner holds with what it should hold."""
        known_life = self._service.meta(life_key(up.machine_id))
        foreign = self._service.superseded(up.machine_id, sorted(up.held - member.held.keys()))
        unwanted = foreign + self._kill_requested(up.machine_id)
        self._fleet.compared(member, up, known_life=known_life, unwanted=unwanted)

    def _kill_requested(self, machine_id: str) -> list[AttemptKey]:
        """Kills asked for while nobody could be told."""
        attempts = self._service.open_attempts(machine_id)
        return [(one.job_id, one.attempt) for one in attempts if one.kill_requested]

    # showing

    def _show(self) -> None:
        """Write down how the machines look, for whoever reads the store; at most once a beat, and one at a time."""
        now_s = self._now_s()
        if now_s - self._shown_s < BEAT_S or not self._showing.done():
            return
        if self._showing.exception() is not None:  # nobody saw it
            self._show_again()
        changed = [member for member in self._fleet.members.values() if member.changed]
        if changed:
            self._shown = changed
            self._showing = self._service.put_machines([looks.view(member, self._clock.time()) for member in changed])
        for member in changed:
            member.changed = False
        self._shown_s = now_s

    def _show_again(self) -> None:
        for member in self._shown:
            member.changed = True

    def _now_s(self) -> float:
        return self._clock.monotonic()
