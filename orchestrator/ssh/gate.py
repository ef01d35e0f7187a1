"""How many connections may be on their way at once. No SSH here: a counter with two limits."""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

from orchestrator.errors import NodeUnreachable

_JITTER_S = 0.05


class _Turn:
    """Somebody who waits; ``come`` is set by whoever lets them in."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.come = threading.Event()


class ConnectGate:
    """Lets ``total`` attempts pass at once, ``per_address`` to one address (sshd drops more, by MaxStartups).

    In the order they came, but for those whose address is busy. Who leaves wakes only who may enter: one of a thousand
    that wait.
    """

    def __init__(self, total: int = 32, per_address: int = 3) -> None:
        self._total = total
        self._per_address = per_address
        self._inside: Counter[str] = Counter()
        self._count = 0
        self._waiting: dict[_Turn, None] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def passing(self, address: str, timeout_s: float) -> Iterator[None]:
        """Hold a place while connecting; who had to wait for it starts a random moment later than it could."""
        self._enter(address, timeout_s)
        try:
            yield
        finally:
            self._leave(address)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody new passes meanwhile: a thousand threads start in a second while none of them is at work yet."""
        total, self._total = self._total, 0
        try:
            yield
        finally:
            with self._lock:
                self._total = total
                self._let_in()

    def _enter(self, address: str, timeout_s: float) -> None:
        turn = _Turn(address)
        with self._lock:
            self._waiting[turn] = None
            self._let_in()
        if turn.come.is_set():
            return
        if not turn.come.wait(timeout_s):
            with self._lock:
                if not turn.come.is_set():  # nobody let it in since
                    del self._waiting[turn]
                    raise NodeUnreachable(f"{address}: no turn to connect within {timeout_s:g} s")
        time.sleep(random.uniform(0, _JITTER_S))  # noqa: S311 - spread, not secrecy

    def _leave(self, address: str) -> None:
        with self._lock:
            self._count -= 1
            self._inside[address] -= 1
            if not self._inside[address]:
                del self._inside[address]
            self._let_in()

    def _let_in(self) -> None:
        """All for whom there is room."""
        passed = []
        for turn in self._waiting:
            if self._count >= self._total:
                break
            if self._inside[turn.address] < self._per_address:
                self._inside[turn.address] += 1
                self._count += 1
                turn.come.set()
                passed.append(turn)
        for turn in passed:
            del self._waiting[turn]
