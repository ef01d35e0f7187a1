"""The crew: all attempts this runner holds and the workers that do them. Decides who does what next."""

import time
from typing import Any, Dict, Iterable, List, Optional, Set

from remote_runner import endings, pauses, progress, snapshot
from remote_runner.attempt import Attempt
from remote_runner.journal import Key
from remote_runner.marks import IDLE
from remote_runner.places import Places, Tools
from remote_runner.protocol import Assignment, Version
from remote_runner.queues import Queues
from remote_runner.station import Station

#: An attempt that runs this long is reported as started even if nothing else is; with a report that goes anyway, one
#: that runs a little while. What is shorter is known by its end alone.
TELL_START_S = 0.5
TELL_START_ALONG_S = 0.1
#: Jobs shorter than this are handed out ahead, up to this much of them and at most so many.
AHEAD_S = 0.02
AHEAD_JOBS = 16
#: After its time an attempt is asked to end, and so much later made to.
TIMEOUT_GRACE_S = 2.0
TICK_S = 0.1
#: What an exclusive attempt gets to end by itself, as a share of the silence that was bearable, and at most.
SILENCE_GRACE_SHARE = 0.1


class Crew:
    """Holds attempts from assignment to last record."""

    def __init__(self, tools: Tools, limit: int) -> None:
        self._tools = tools
        self._places = Places(tools, limit, self._finished, self._heard)
        self._queues = Queues()
        self._told: Dict[str, Version] = {}
        self._versions: Dict[str, Version] = {}  # the same, with the machine's variables
        self._damaged: Set[str] = set()
        self._exclusive: Set[str] = set()
        self._machine_env: Dict[str, str] = {}
        self._held: Dict[Key, Attempt] = {}
        self._average_us: Dict[str, float] = {}
        self._order = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def has_waiting(self) -> bool:
        """Whether attempts wait that no worker was given yet."""
        return bool(self._queues)

    # -- what the server asks for

    def set_limit(self, limit: int) -> None:
        """How many may run at once from now on; what runs, runs on."""
        self._places.limit = limit

    def set_env(self, env: Dict[str, str]) -> None:
        """The machine's own variables, below those of a version; workers that have others are used no more."""
        if env != self._machine_env:
            self._machine_env = env
            self._versions = {ref: self._with_env(version) for ref, version in self._told.items()}

    def learn(self, versions: Dict[str, Version], exclusive: Iterable[str] = ()) -> None:
        """Know these versions from now on. One that was damaged has been sent anew and gets another check."""
        self._told.update(versions)
        self._versions.update({ref: self._with_env(version) for ref, version in versions.items()})
        self._damaged.difference_update(versions)
        self._exclusive.difference_update(versions)
        self._exclusive.update(exclusive)

    def assign(self, jobs: Iterable[Assignment]) -> List[Key]:
        """Hold these attempts (rows will do); answer those that are new."""
        new = []
        for job, attempt, ref, text in jobs:
            key = (job, attempt)
            if key in self._held:
                continue
            new.append(key)
            self._order += 1
            held = self._held[key] = Attempt(self._order, job, attempt, ref, text.encode("utf-8", "surrogatepass"))
            self._queues.add(held)
        return new

    def recall(self, keys: Optional[Set[Key]], why: str) -> None:
        """Give back those of ``keys`` (None: all) that have not begun."""
        for attempt in self._take_unbegun(keys):
            self._end(attempt, b"back", endings.back(why, failed=False))

    def kill(self, keys: Set[Key], grace_s: float, reason: str = "killed") -> None:
        """End these attempts: those that have not begun at once, the others with all their processes."""
        for attempt in self._take_unbegun(keys):
            self._end(attempt, b"end", endings.unstarted(reason))
        for key in keys & self._held.keys():
            _doom(self._held[key], reason, grace_s)
        self._ask_kills()

    def exclusive(self) -> Set[Key]:
        """The attempts held that may not run while another machine does the same job."""
        if not self._exclusive:
            return set()
        return {key for key, each in self._held.items() if each.ref in self._exclusive}

    def end_exclusive(self, silence_s: float) -> None:
        """The server may soon hand them to others: what has not begun goes back, what runs ends."""
        keys = self.exclusive()
        if not keys:
            return
        why = "no contact with the server for %.0f s" % silence_s
        self.recall(keys, why)
        for key in keys & self._held.keys():
            attempt = self._held[key]
            attempt.kill_why = attempt.kill_why or "%s: an exclusive job ends before it could run elsewhere too" % why
            _doom(attempt, "died", min(TIMEOUT_GRACE_S, silence_s * SILENCE_GRACE_SHARE))
        self._ask_kills()

    def held_keys(self) -> List[Key]:
        """Every attempt that has no end yet."""
        return list(self._held)

    def held(self) -> List[List[Any]]:
        """The same, with its state, for the server."""
        return [[each.job, each.attempt, self._state(each)] for each in self._held.values()]

    def find(self, key: Key) -> Optional[Attempt]:
        """An attempt that is held."""
        return self._held.get(key)

    def progress(self) -> List[List[Any]]:
        """How far those are that run, as far as they say."""
        rows = []
        for station in self._places.busy():
            running = station.running()
            if running is not None and running.told:
                began_s = (station.started_us(running) or 0) / 1000000
                reached = progress.of(self._tools.run, running, began_s)
                if reached is not None:
                    rows.append([running.job, running.attempt, reached.n, reached.total])
        return rows

    def _state(self, attempt: Attempt) -> str:
        station = None if attempt.worker is None else self._places.stations[attempt.worker]
        return "queued" if station is None or station.started_us(attempt) is None else "running"

    def _put_back(self, attempts: List[Attempt]) -> None:
        """Attempts that were handed out but have not begun wait again; those to be ended end."""
        self._queues.put_back([each for each in attempts if not each.kill])
        for attempt in attempts:
            if attempt.kill:
                self._end(attempt, b"end", endings.unstarted(attempt.kill))

    def _take_unbegun(self, keys: Optional[Set[Key]]) -> List[Attempt]:
        """Take out what has not begun, also from the workers' sockets; what was not meant waits again."""
        for station in self._places.busy():
            if keys is None or any(each.key in keys for each in station.handed.values()):
                self._put_back(station.take_back())
        return self._queues.take(keys)

    # -- handing out

    def dispatch(self) -> None:
        """Give every free place the oldest job there is, then hand short jobs out ahead."""
        blocked: Set[str] = set()
        while self._queues and not self._places.is_full():
            ref = self._queues.oldest(blocked)
            if ref is None:
                break
            station = self._place(ref)
            if station is None or not self._hand(station, ref):
                blocked.add(ref)
        if self._queues:
            for station in self._places.busy():
                self._hand_ahead(station)

    def _place(self, ref: str) -> Optional[Station]:
        """Who takes the next job of this version; without anyone ever, its jobs go back."""
        version = self._versions.get(ref)
        why = "its version is not known here"
        if ref in self._damaged:
            why = "its version is damaged, or cannot be run here"
        elif version is not None:
            try:
                return self._places.find(version, ref)
            except OSError as error:
                self._tools.trouble("no_worker", "a worker could not be started: %s" % error)
                why = "no worker could be started"
        for attempt in self._queues.drop(ref):
            self._end(attempt, b"back", endings.back(why, failed=True))
        return None

    def _with_env(self, version: Version) -> Version:
        return version._replace(env=dict(self._machine_env, **version.env)) if self._machine_env else version

    def _hand(self, station: Station, ref: str) -> bool:
        if not station.hand(self._queues.first(ref)):
            return False
        self._queues.leave(ref)
        return True

    def _hand_ahead(self, station: Station) -> None:
        depth = self._depth(station)
        if len(station.handed) * 2 > depth:
            return
        while len(station.handed) < depth and station.ref in self._queues and self._hand(station, station.ref):
            pass

    def _depth(self, station: Station) -> int:
        """How many jobs a worker may have at hand: a few if they are short, by what they took so far."""
        if station.is_leaving or station.is_ending:
            return 0
        average = self._average_us.get(station.ref)
        if average is None:
            return 1
        return max(1, min(AHEAD_JOBS, int(AHEAD_S * 1000000 / (average + 1))))

    # -- what becomes of attempts

    def _finished(self, station: Station, attempt: Attempt, spent_us: int, body: bytes) -> None:
        """A worker has sent a result; it stands, whatever was asked meanwhile."""
        average = self._average_us.get(station.ref, spent_us)
        self._average_us[station.ref] = average + (spent_us - average) * 0.2
        self._end(attempt, b"end", body)
        if not station.handed:
            station.idle_since = time.monotonic()

    def _end(self, attempt: Attempt, kind: bytes, body: bytes) -> None:
        if attempt.logs is not None:
            body = endings.with_logs(body, attempt.logs)
        if endings.is_failure(body):
            body = endings.with_machine(body, snapshot.take(self._tools.run))
        attempt.remove_files(self._tools.run)
        self._tools.outbox.add(kind, attempt.job, attempt.attempt, body)
        del self._held[attempt.key]

    def _ask_kills(self) -> None:
        for station in self._places.busy():
            for attempt in station.handed.values():
                if attempt.kill and not attempt.asked:
                    attempt.asked = station.is_ending = True
                    station.say("kill %d %.3f" % (attempt.entry, attempt.grace_s))

    def _end_victim(self, station: Station, victim: Attempt, status: Optional[int]) -> None:
        """The process ended under this attempt."""
        started_us = station.page.started_us(victim.entry, victim.job, victim.attempt)
        spent_s = 0.0 if started_us is None else max(0.0, time.monotonic() - started_us / 1000000)
        self._end(victim, b"end", endings.died(status, victim.kill, victim.kill_why, spent_s))

    # -- what supervisors say

    def _heard(self, station: Station, words: List[str]) -> None:
        if not words:
            self._lost(station)
        elif words[0] == "ready":
            self._places.checked.add(station.ref)
        elif words[0] in ("damaged", "broken"):
            self._damaged.add(station.ref)
            self._tools.trouble("version_" + words[0], "%s: %s" % (station.ref, " ".join(words[1:])))
        elif words[0] == "late":
            self._was_late(station, int(words[1]))
        elif words[0] == "unkillable":
            self._tools.trouble("unkillable", "%s processes of a job cannot be ended" % words[1])
        elif words[0] == "exit":
            self._executor_ended(station, int(words[1]), int(words[2]), words[3] == "1")

    def _was_late(self, station: Station, entry: int) -> None:
        """That entry was not running just then: its result is on its way, or it is about to begin; ask again later."""
        station.is_ending = False
        attempt = station.handed.get(entry)
        if attempt is not None:
            attempt.asked = False

    def _executor_ended(self, station: Station, status: int, entry: int, swept: bool) -> None:
        station.is_ending = False
        if swept or status != 0 or entry != IDLE:
            station.drain(station.handed.get(entry))
        victim = station.handed.pop(entry, None)
        if victim is not None:
            self._end_victim(station, victim, status)
        if status != 0 or entry != IDLE:
            self._put_back(station.take_all_back())
            station.say("go")
        station.idle_since = time.monotonic()

    def _lost(self, station: Station) -> None:
        """The supervisor is gone: asked to leave, or killed. Nothing below it may live on."""
        self._places.forget(station)
        victim = station.running()  # only now that nothing goes on
        station.drain(victim)
        if victim is not None and station.handed.pop(victim.entry, None) is not None:
            self._end_victim(station, victim, None)
        self._put_back(station.take_all_back())
        self._places.clear(station)

    def result_by_path(self, number: int, line: bytes) -> None:
        """A worker whose job closed its descriptors sends its result this way."""
        station = self._places.stations.get(number)
        if station is not None:
            station.result(line.rstrip(b"\n"))

    # -- time

    def tick(self, now: float) -> None:
        """What only the clock can tell: starts to report, time limits, jobs stuck behind a long one, idle workers."""
        for station in self._places.busy():
            running = station.running()
            if running is not None:
                self._watch_running(station, running, now)
        self._places.let_spare_go(now, bool(self._queues))
        self._ask_kills()

    def _watch_running(self, station: Station, attempt: Attempt, now: float) -> None:
        age_s = _age_s(station, attempt, now)
        if age_s >= AHEAD_S and len(station.handed) > 1:
            self._put_back(station.take_back())
        if age_s >= TELL_START_S:
            self._tell_start(attempt)
            for log in attempt.logs or ():
                log.keep()
        timeout_s = station.version.timeout_s
        if timeout_s is not None and age_s >= timeout_s:
            _doom(attempt, "timeout", TIMEOUT_GRACE_S)

    def tell_starts(self, now: float) -> None:
        """Record the start of what has run for a while."""
        for station in self._places.busy():
            running = station.running()
            if running is not None and _age_s(station, running, now) >= TELL_START_ALONG_S:
                self._tell_start(running)

    def _tell_start(self, attempt: Attempt) -> None:
        if not attempt.told:
            attempt.told = True
            self._tools.outbox.add(b"start", attempt.job, attempt.attempt, b"{}")

    def tick_s(self) -> Optional[float]:
        """How often ``tick`` is due now; None: not at all."""
        if not self._places.stations:
            return None
        if any(len(each.handed) > 1 for each in self._places.stations.values()):
            return AHEAD_S
        return TICK_S if self._held else 5.0

    def rest_s(self) -> float:
        """How long nobody needs a hand."""
        busy = self._places.busy()
        return pauses.rest_s((len(each.handed), self._average_us.get(each.ref, 0.0)) for each in busy)

    def dismiss(self) -> None:
        """Let go of every worker."""
        self._places.dismiss()


def _age_s(station: Station, attempt: Attempt, now: float) -> float:
    return now - (station.started_us(attempt) or 0) / 1000000


def _doom(attempt: Attempt, reason: str, grace_s: float) -> None:
    """Have an attempt ended; the first reason stays."""
    if not attempt.kill:
        attempt.kill, attempt.grace_s = reason, grace_s
