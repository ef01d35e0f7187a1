"""The key of each runner: made from the server's secret file and a salt the store keeps, never stored itself.

Whoever has the database alone cannot sign a report, and a restarted server still knows every runner (guarantees S6).
"""

import hashlib
import hmac
import logging
import secrets

from jobs.errors import StoreUnavailable
from jobs.service import JobService
from web.reports import RunnerKey

log = logging.getLogger(__name__)


class RunnerKeys:
    """Hands out, recalls and ends keys. Safe from every thread."""

    def __init__(self, service: JobService, secret: bytes) -> None:
        self._service = service
        self._secret = secret
        #: Of runners that are not known to have ended; what is not here is read.
        self._known: dict[str, RunnerKey] = {}

    def new_runner(self, machine_id: str) -> tuple[str, bytes]:
        """An id and a key for a runner about to start on the machine; written down before they are used."""
        runner_id, salt = secrets.token_hex(8), secrets.token_hex(16)
        self._service.open_runner(runner_id, machine_id, salt)
        return runner_id, self._key(runner_id, salt)

    def of(self, runner_id: str) -> RunnerKey | None:
        """Whose reports the runner may sign, and with what; None: we never started it, or it has ended."""
        known = self._known.get(runner_id)
        if known is None:
            known = self._read(runner_id)
            if known is not None:
                self._known[runner_id] = known
        return known

    def runner_up(self, machine_id: str, offered: str, runner_id: str) -> None:
        """A machine's runner answered: a key it was offered and did not take, or one of a runner before it, ends."""
        try:
            if runner_id != offered:
                self._end(offered)
            if self._is_of(machine_id, runner_id):
                self._follow_up(machine_id, runner_id)
        except StoreUnavailable as error:  # the key of a runner that is gone has time
            log.warning("old keys are not ended: %s", error, extra={"machine": machine_id})

    def runner_left(self, machine_id: str, runner_id: str) -> None:
        """It said goodbye, with all it had to say stored."""
        try:
            if self._is_of(machine_id, runner_id):
                self._end(runner_id)
        except StoreUnavailable as error:  # the next runner's coming ends it
            log.warning("a key is not ended: %s", error, extra={"machine": machine_id})

    def _is_of(self, machine_id: str, runner_id: str) -> bool:
        """Machines speak for their own runners only."""
        key = self.of(runner_id)
        return key is not None and key.machine_id == machine_id

    def _follow_up(self, machine_id: str, runner_id: str) -> None:
        """One root has one runner at a time, so the one before is gone."""
        before = self._service.meta(f"runner:{machine_id}")
        if before == runner_id:
            return
        self._service.set_meta(f"runner:{machine_id}", runner_id)
        if before is not None:
            self._end(before)

    def _end(self, runner_id: str) -> None:
        self._service.close_runner(runner_id)
        self._known.pop(runner_id, None)

    def _read(self, runner_id: str) -> RunnerKey | None:
        info = self._service.runner(runner_id)
        if info is None or info.ended_at is not None:
            return None
        return RunnerKey(machine_id=info.machine_id, key=self._key(runner_id, info.key_salt))

    def _key(self, runner_id: str, salt: str) -> bytes:
        return hmac.new(self._secret, f"runner\0{runner_id}\0{salt}".encode(), hashlib.sha256).digest()
