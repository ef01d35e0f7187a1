"""Takes what people ask of the engine from the table, has it done by hands of its own, writes the answers down.

Looks cheaply once a second; asked in this process, it is woken at once. Knows the kinds by their handlers only.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from inventory.file import InventoryInvalid
from jobs.commands import Commands
from jobs.errors import JobsError, StoreUnavailable
from jobs.model import Command
from orchestrator.errors import OrchestratorError

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
#: Commands done at once; the others wait their turn in the table.
HANDS: Final = 4
#: Whoever looks at a log asks again and again: for a while after, it is looked more often.
QUICK_LOOK_S: Final = 0.2
QUICK_FOR_S: Final = 10.0
STORE_AWAY_S: Final = 2.0
#: What commands in hand get to end when the server stops; looking at a silent machine may take longer.
STOP_S: Final = 4.0

#: Says something on the way: a JSON value.
Say = Callable[[object], None]
#: Does one kind of command; what it returns is the answer, what it raises the reason why not.
Handler = Callable[[Command, Say], Mapping[str, Any]]


class NotDone(OrchestratorError):
    """A command that ended without doing what was asked: ``answer`` says more than the reason."""

    def __init__(self, reason: str, answer: Mapping[str, Any]) -> None:
        super().__init__(reason)
        self.answer = {**answer, "error": reason}


class CommandDesk:
    """See the module. ``start`` once, ``stop`` once."""

    def __init__(self, commands: Commands, handlers: Mapping[str, Handler]) -> None:
        self._commands = commands
        self._handlers = handlers
        self._asked = threading.Event()
        self._stopping = threading.Event()
        self._quick_until_s = 0.0
        self._free = threading.BoundedSemaphore(HANDS)
        self._busy: set[threading.Thread] = set()
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)

    def start(self) -> None:
        """End what an engine before this one left, then take what comes."""
        self._commands.end_stale()
        self._commands.on_asked = self._asked.set
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more; what is being done is ended by the next start."""
        self._stopping.set()
        self._asked.set()
        if self._thread.ident is not None:
            self._thread.join()
        for hand in list(self._busy):
            hand.join(STOP_S / HANDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._asked.wait(QUICK_LOOK_S if time.monotonic() < self._quick_until_s else LOOK_S)
            self._asked.clear()
            try:
                self._take_all()
            except StoreUnavailable as error:
                log.warning("the store does not answer: %s", error)
                self._stopping.wait(STORE_AWAY_S)
            except Exception:
                log.exception("commands could not be taken")
                self._stopping.wait(STORE_AWAY_S)

    def _take_all(self) -> None:
        """As long as there is a free hand and something to do."""
        while not self._stopping.is_set() and self._free.acquire(blocking=False):
            taken: list[Command] = []
            try:
                taken = self._commands.take(1)
            finally:
                if not taken:
                    self._free.release()
            if not taken:
                return
            if taken[0].kind == "log":
                self._quick_until_s = time.monotonic() + QUICK_FOR_S
            hand = threading.Thread(target=self._do, args=taken, name=f"command-{taken[0].command_id}", daemon=True)
            self._busy.add(hand)
            hand.start()

    def _do(self, command: Command) -> None:
        try:
            answer, failed = self._answer(command)
            self._tell(command, answer, failed)
        except Exception:
            log.exception("a command was not answered", extra={"command": command.command_id})
        finally:
            self._busy.discard(threading.current_thread())
            self._free.release()
            self._asked.set()

    def _answer(self, command: Command) -> tuple[Mapping[str, Any], bool]:
        handler = self._handlers.get(command.kind)
        if handler is None:
            return {"error": f"this server cannot do {command.kind}"}, True
        try:
            return handler(command, lambda line: self._commands.tell(command.command_id, line)), False
        except NotDone as error:
            return error.answer, True
        except (OrchestratorError, JobsError, InventoryInvalid) as error:
            return {"error": str(error)}, True
        except Exception:
            log.exception("a command failed", extra={"command": command.command_id})
            return {"error": "something went wrong; the server's log says how"}, True

    def _tell(self, command: Command, answer: Mapping[str, Any], failed: bool) -> None:
        """As soon as the store is there."""
        while True:
            try:
                return self._commands.end(command.command_id, answer, failed=failed)
            except StoreUnavailable as error:
                log.warning("the store does not answer: %s", error)
                if self._stopping.wait(STORE_AWAY_S):
                    return None
