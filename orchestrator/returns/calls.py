"""Run return_main for jobs whose remote part is done: on the server, in processes of its own, never in ours.

Each job type may always have one call running, and beyond that the types share so many places; so a type whose calls
hang, or come by the hundred thousand, holds up no other. The outcome goes back to the store, which decides what follows
(guarantees T12 to T14). A call that our own stop cut short is told apart from one that failed.
"""

import logging
import queue
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jobs.errors import JobsError, StoreUnavailable
from jobs.model import PendingReturn, ReturnAnswer, ReturnOutcome
from jobs.service import JobService
from orchestrator.returns.account import Quarters
from orchestrator.returns.packages import HomeEnvironments
from orchestrator.returns.warm import STOP_GRACE_S, TIMEOUT_S, ReturnFailed, ReturnInterrupted, Warm

log = logging.getLogger(__name__)

#: Calls taken from the store at once, and how many of a type may wait here for each place there is.
TAKE: Final = 100
AHEAD: Final = 25
#: Warm processes for each place.
WARM: Final = 4
IDLE_S: Final = 1.0
STORE_AWAY_S: Final = 1.0
#: Between two looks for calls that are due, at least, so that calls that come one by one are taken together.
PACE_S: Final = 0.02
#: How long an outcome may wait for others, to be told to the store together.
TELL_S: Final = 0.02
#: Job types that may each have a call running at once beyond the shared places.
TYPES: Final = 1000


@dataclass(slots=True)
class _Line:
    """The calls of one job type that were taken."""

    waiting: deque[PendingReturn] = field(default_factory=deque)
    running: int = 0
    #: When a call of it was begun last, as a number that grows.
    turn: int = 0

    def __len__(self) -> int:
        return len(self.waiting) + self.running


class Lines:
    """Who is next: the type with the fewest calls running, of those the one that waited longest. Thread-safe."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._most = places * AHEAD
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._running = 0
        self._turns = 0

    def add(self, call: PendingReturn) -> None:
        """A call was taken."""
        with self._lock:
            self._lines.setdefault(call.job_type, _Line()).waiting.append(call)

    def begin(self) -> PendingReturn | None:
        """The next call that may run now; it counts as running."""
        with self._lock:
            able = [line for line in self._lines.values() if line.waiting and self._may_run(line)]
            if not able:
                return None
            line = min(able, key=lambda one: (one.running, one.turn))
            self._turns += 1
            self._running += 1
            line.running, line.turn = line.running + 1, self._turns
            return line.waiting.popleft()

    def _may_run(self, line: _Line) -> bool:
        return line.running == 0 or self._running < self._places

    def end(self, job_type: str) -> bool:
        """A call of that type has ended; True: a type that may have been full has room again."""
        with self._lock:
            line = self._lines[job_type]
            line.running -= 1
            self._running -= 1
            if not len(line):
                del self._lines[job_type]
            return len(line) == self._most // 2

    def full(self) -> list[str]:
        """Types of which nothing more should be taken now."""
        with self._lock:
            return sorted(job_type for job_type, line in self._lines.items() if len(line) >= self._most)

    def drain(self) -> list[PendingReturn]:
        """What was not begun, and never will be."""
        with self._lock:
            left = [call for line in self._lines.values() for call in line.waiting]
            for line in self._lines.values():
                line.waiting.clear()
            return left


class Returns:
    """One thread takes calls, others run them, one tells how they went.

    ``start`` once, ``wake`` when a job may be ready, ``stop`` once.
    """

    def __init__(
        self,
        service: JobService,
        quarters: Quarters,
        logs: Path,
        places: int,
        timeout_s: float = TIMEOUT_S,
        *,
        environments: HomeEnvironments,
    ) -> None:
        self._service = service
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._lines = Lines(places)
        self._warm = Warm(
            service,
            quarters,
            logs,
            self._stopping,
            environments=environments,
            most=places * WARM,
            timeout_s=timeout_s,
        )
        self._runners = ThreadPoolExecutor(places + TYPES, thread_name_prefix="returns")
        self._taker = threading.Thread(target=self._take, name="returns", daemon=True)
        self._answers: queue.SimpleQueue[ReturnAnswer | None] = queue.SimpleQueue()
        self._teller = threading.Thread(target=self._tell, name="returns-told", daemon=True)

    def start(self) -> None:
        """Put back what an earlier life of the server began and did not end, then work."""
        self._service.recover_returns()
        for thread in (self._taker, self._teller):
            thread.start()

    def wake(self) -> None:
        """Jobs may be ready. Never blocks."""
        self._ready.set()

    def stop(self) -> None:
        """Interrupt what runs; it will run again."""
        self._stopping.set()
        self._ready.set()
        if self._taker.ident is None:
            return
        self._taker.join(STOP_GRACE_S)
        for call in self._lines.drain():
            self._answers.put(ReturnAnswer(call.job_id, call.attempt, ReturnOutcome.INTERRUPTED))
        self._runners.shutdown(wait=True)
        self._answers.put(None)
        self._teller.join(STOP_GRACE_S)
        self._warm.close()

    # taking

    def _take(self) -> None:
        while not self._stopping.is_set():
            try:
                looked_s = time.monotonic()
                if not self._take_some():
                    self._ready.wait(IDLE_S)
                    self._stopping.wait(max(0.0, looked_s + PACE_S - time.monotonic()))
                    self._ready.clear()
            except StoreUnavailable as error:
                log.warning("the store does not answer: %s", error)
                self._stopping.wait(STORE_AWAY_S)
            except Exception:
                log.exception("taking returns failed")
                self._stopping.wait(STORE_AWAY_S)

    def _take_some(self) -> bool:
        """Take what is due of the types that have room; False: nothing more is due just now."""
        taken = self._service.take_returns(TAKE, but=self._lines.full())
        for call in taken:
            self._lines.add(call)
        self._begin()
        return len(taken) == TAKE

    def _begin(self) -> None:
        """Give every place that is free a call."""
        while not self._stopping.is_set() and (call := self._lines.begin()) is not None:
            self._runners.submit(self._run, call)

    # running

    def _run(self, call: PendingReturn) -> None:
        """This one, and then whichever may follow it in its place: handing that to another thread costs more."""
        following: PendingReturn | None = call
        while following is not None:
            try:
                self._answers.put(self._outcome(following))
            finally:
                if self._lines.end(following.job_type):
                    self._ready.set()
            following = None if self._stopping.is_set() else self._lines.begin()

    def _outcome(self, call: PendingReturn) -> ReturnAnswer:
        """Run it. Whatever goes wrong, there is an answer: a call without one would never end."""
        try:
            while not self._stopping.is_set():
                try:
                    self._warm.call(call)
                    return ReturnAnswer(call.job_id, call.attempt, ReturnOutcome.DONE)
                except StoreUnavailable as error:  # its version could not be read: it has not begun
                    log.warning("the store does not answer: %s", error)
                    self._stopping.wait(STORE_AWAY_S)
        except ReturnInterrupted:
            pass
        except (ReturnFailed, JobsError, OSError) as error:
            return ReturnAnswer(call.job_id, call.attempt, ReturnOutcome.FAILED, _storable(str(error)))
        except Exception as error:
            log.exception("a return failed in us", extra={"job": call.job_id})
            return ReturnAnswer(call.job_id, call.attempt, ReturnOutcome.FAILED, _storable(repr(error)))
        return ReturnAnswer(call.job_id, call.attempt, ReturnOutcome.INTERRUPTED)

    # telling

    def _tell(self) -> None:
        """Tell the store how calls went, those that ended about the same time together."""
        while (first := self._answers.get()) is not None:
            time.sleep(TELL_S)
            self._tell_some([first, *self._more_answers()])

    def _more_answers(self) -> list[ReturnAnswer]:
        answers: list[ReturnAnswer] = []
        while len(answers) < TAKE - 1:
            try:
                answer = self._answers.get_nowait()
            except queue.Empty:
                break
            if answer is None:
                self._answers.put(None)
                break
            answers.append(answer)
        return answers

    def _tell_some(self, answers: list[ReturnAnswer]) -> None:
        """For as long as the store needs to listen; one that it can never take does not cost the others theirs."""
        try:
            while True:
                try:
                    self._service.answer_returns(answers)
                    return
                except StoreUnavailable as error:
                    log.warning("the store does not answer: %s", error)
                    if self._stopping.wait(STORE_AWAY_S):
                        return  # told at the next start: what was taken and not answered was interrupted
        except Exception:
            log.exception("the outcome of returns was not taken", extra={"jobs": [one.job_id for one in answers]})
            if len(answers) > 1:
                for one in answers:
                    self._tell_some([one])


def _storable(text: str) -> str:
    """Whatever user code put into its error, as text that every database takes."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{SYMBOL FOR NULL}")
