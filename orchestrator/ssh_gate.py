"""How many connections may be on their way at once. No SSH here: a counter with two limits."""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

from orchestrator.errors import NodeUnreachable

_JITTER_S = 0.05


class ConnectGate:
    """Lets ``total`` attempts pass at once, ``per_address`` to one address (sshd drops more, by MaxStartups)."""

    def __init__(self, total: int = 32, per_address: int = 3) -> None:
        self._total = total
        self._per_address = per_address
        self._inside: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def passing(self, address: str, timeout_s: float) -> Iterator[None]:
        """Hold a place while connecting; who had to wait for it starts a random moment later than it could."""
        self._enter(address, timeout_s)
        try:
            yield
        finally:
            self._leave(address)

    def _enter(self, address: str, timeout_s: float) -> None:
        with self._changed:
            waited = not self._free(address)
            if not self._changed.wait_for(lambda: self._free(address), timeout_s):
                raise NodeUnreachable(f"{address}: no turn to connect within {timeout_s:g} s")
            self._inside[address] += 1
        if waited:
            time.sleep(random.uniform(0, _JITTER_S))  # noqa: S311 - spread, not secrecy

    def _leave(self, address: str) -> None:
        with self._changed:
            self._inside[address] -= 1
            if not self._inside[address]:
                del self._inside[address]
            self._changed.notify_all()

    def _free(self, address: str) -> bool:
        return self._inside.total() < self._total and self._inside[address] < self._per_address
