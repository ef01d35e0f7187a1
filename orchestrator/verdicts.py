"""Keeps who is benched in step: with the ends that come in, with what machines show, and with the store.

Owned by the engine's thread; what the store has to learn is owed. The deciding is in ``benching``.
"""

import logging
import random
from collections.abc import Iterable

from jobs.model import BenchRow, Reported
from jobs.service import JobService
from orchestrator.benching import Benching, Ended, Rule
from orchestrator.clock import Clock
from orchestrator.owed import Owed
from orchestrator.roster import Member

log = logging.getLogger(__name__)


class Verdicts:
    """See the module."""

    def __init__(self, service: JobService, owed: Owed, rule: Rule, clock: Clock) -> None:
        self._service = service
        self._owed = owed
        self._clock = clock
        self._benching = Benching(rule)

    def recall(self, rows: Iterable[BenchRow]) -> None:
        """Take up what an earlier life of the server wrote down."""
        self._benching.recall(rows, self._clock.time(), self._clock.monotonic())

    def show(self, member: Member) -> None:
        """Let a member know where it stands."""
        member.judged(self._benching.of(member.machine.machine_id))

    def ended(self, member: Member, job_type: str, item: Reported) -> bool:
        """An attempt ended there; True: the machine is benched because of it, now or again."""
        now_s = self._clock.monotonic()
        ended = Ended(member.machine.machine_id, job_type, item.job_id, item.reason)
        spread = random.random()  # noqa: S311 - jitter, not a secret
        changed = self._benching.note(ended, now_s, spread)
        for key in changed:
            self._write(*key)
        if changed:
            self.show(member)
        return any(self._benching.bench(key) is not None for key in changed)

    def admit(self, member: Member) -> bool:
        """A person says that it is mended; False: it was not benched."""
        keys = self._benching.admit(member.machine.machine_id)
        for key in keys:
            self._write(*key)
        self.show(member)
        return bool(keys)

    def forget(self, machine_id: str) -> None:
        """It left the inventory; the store forgets it with the machine."""
        self._benching.admit(machine_id)

    def _write(self, machine_id: str, job_type: str) -> None:
        bench = self._benching.bench((machine_id, job_type))
        facts = {"machine": machine_id, "job_type": job_type}
        if bench is None:
            log.info("admitted again", extra=facts)
            self._owed.add(self._service.drop_bench, machine_id, job_type)
            return
        log.warning("benched: %s", bench.why, extra=facts)
        now = self._clock.time()
        row = BenchRow(
            machine_id=machine_id,
            job_type=job_type,
            why=bench.why,
            level=bench.level,
            since_at=now,
            until_at=now + bench.until_s - self._clock.monotonic(),
        )
        self._owed.add(self._service.put_bench, row)
