"""Keeps who is benched in step: with the ends that come in, with what machines show, and with the store.

Owned by the engine's thread; what the store has to learn is owed. The deciding is in ``benching``.
"""

import logging
import random
from collections.abc import Collection, Iterable, Mapping

from jobs.model import BenchRow, Reported
from jobs.service import JobService
from orchestrator.clock import Clock
from orchestrator.engine.benching import Benching, Failed, Rule
from orchestrator.engine.owed import Owed
from orchestrator.engine.roster import Member

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

    def succeeded(self, member: Member, by_type: Mapping[str, int]) -> None:
        """So many attempts in a row ended well there, by job type: it is admitted again where it was benched."""
        machine_id, now_s = member.machine.machine_id, self._clock.monotonic()
        for job_type, times in by_type.items():
            self._changed(member, self._benching.succeeded(machine_id, job_type, times, now_s))

    def failed(self, member: Member, job_type: str, item: Reported) -> bool:
        """An attempt ended badly there; True: the machine is benched because of it, now or again."""
        ended = Failed(member.machine.machine_id, job_type, item.job_id, item.reason)
        spread = random.random()  # noqa: S311 - jitter, not a secret
        return self._changed(member, self._benching.failed(ended, self._clock.monotonic(), spread))

    def _changed(self, member: Member, keys: Collection[tuple[str, str]]) -> bool:
        """Write down and show what changed for it; whether anything did."""
        for key in keys:
            self._write(*key)
        if keys:
            self.show(member)
        return bool(keys)

    def admit(self, member: Member) -> bool:
        """A person says that it is mended; False: it was not benched."""
        return self._changed(member, self._benching.admit(member.machine.machine_id))

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
