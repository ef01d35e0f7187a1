"""Who waits for a machine to be left without a trace: promises by machine, each kept or broken once.

Owned by the engine's thread; the promises may be waited for on any.
"""

from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from orchestrator.errors import UserError

Promise = Future[Mapping[str, Any]]


class Purges:
    """See the module."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Promise]] = {}
        self._begun: set[str] = set()

    def add(self, machine_id: str, promise: Promise) -> None:
        """Somebody waits."""
        self._waiting.setdefault(machine_id, []).append(promise)

    def begin(self, machine_id: str) -> bool:
        """Whether it is to be begun now: somebody waits, and nobody has begun."""
        if machine_id not in self._waiting or machine_id in self._begun:
            return False
        self._begun.add(machine_id)
        return True

    def keep(self, machine_id: str, answer: Mapping[str, Any]) -> None:
        """It is done."""
        for promise in self._end(machine_id):
            with suppress(InvalidStateError):  # who waited has given up
                promise.set_result(answer)

    def fail(self, machine_id: str, error: str) -> None:
        """It cannot be done."""
        for promise in self._end(machine_id):
            with suppress(InvalidStateError):
                promise.set_exception(UserError(error))

    def fail_all(self, error: str) -> None:
        """Nobody will do it any more."""
        for machine_id in list(self._waiting):
            self.fail(machine_id, error)

    def _end(self, machine_id: str) -> list[Promise]:
        self._begun.discard(machine_id)
        return self._waiting.pop(machine_id, [])
