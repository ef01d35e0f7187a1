"""What people ask of the engine and what it answers: a door of its own, because the engine may live elsewhere.

Web processes ask and look; the engine takes, tells how far it is, and answers. Knows the kinds by name only: what they
take is checked by who asks, and once more by who acts.
"""

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from jobs.bell import Bell
from jobs.errors import InvalidInput, NotFound, TooMuch
from jobs.model import Command, CommandState
from jobs.store import Store, commands

KINDS: Final = frozenset({"machine.add", "doctor", "trust", "admit", "purge", "log"})
ARGS_LIMIT_BYTES: Final = 16 * 1024
ANSWER_LIMIT_BYTES: Final = 1024 * 1024
#: Lines of progress kept of one command, and the room for each.
LINES_LIMIT: Final = 200
LINE_LIMIT_BYTES: Final = 16 * 1024
#: Commands without an answer at any time.
OPEN_LIMIT: Final = 200
#: What no engine has taken after this long is ended by the next one that starts.
STALE_S: Final = 120.0
KEPT_S: Final = 7 * 86400.0
LIST_LIMIT: Final = 100

RESTARTED: Final = "the server was restarted before this ended; ask again"
NOT_TAKEN: Final = "no engine was there to take this in time; ask again"


def _silent() -> None:
    """A bell nobody has hung up."""


class Commands:
    """See the module. Safe from every thread."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._bell = Bell()
        self._telling = threading.Lock()
        #: Something was asked in this process: called after the commit, must be quick.
        self.on_asked: Callable[[], None] = _silent

    # who asks

    def ask(self, kind: str, machine_id: str = "", args: Mapping[str, Any] | None = None, *, who: str) -> int:
        """Write down what is wanted; its number. Raises InvalidInput, TooMuch."""
        if kind not in KINDS:
            raise InvalidInput("kind", f"must be one of {', '.join(sorted(KINDS))}")
        text = json.dumps(dict(args or {}))
        if len(text) > ARGS_LIMIT_BYTES:
            raise InvalidInput("args", f"are longer than {ARGS_LIMIT_BYTES} bytes")
        with self._store.read() as conn:
            if commands.count_open(conn) >= OPEN_LIMIT:
                raise TooMuch(f"{OPEN_LIMIT} commands wait for the engine already; try again later")
        number = self._store.write(lambda tx: commands.ask(tx, kind, machine_id, text, who, self._clock()))
        self.on_asked()
        return number

    def command(self, number: int) -> Command:
        """How far it is. Raises NotFound."""
        with self._store.read() as conn:
            found = commands.one(conn, number)
        if found is None:
            raise NotFound(f"there is no command {number}")
        return found

    def wait(self, number: int, *, seen: int, timeout_s: float) -> Command:
        """As ``command``, once it has ended or said more than ``seen`` lines, or time is up. Raises NotFound."""
        rung = self._bell.count
        found = self.command(number)
        if timeout_s > 0 and not found.has_news(seen):
            self._bell.wait(rung, timeout_s, elsewhere=lambda: self.command(number).has_news(seen))
            found = self.command(number)
        return found

    def newest(self, size: int, *, machine_id: str | None = None, kind: str | None = None) -> list[Command]:
        """The latest ones. Raises InvalidInput."""
        if not 1 <= size <= LIST_LIMIT:
            raise InvalidInput("size", f"must be from 1 to {LIST_LIMIT}")
        with self._store.read() as conn:
            return commands.newest(conn, size, machine_id, kind)

    def forget(self, number: int) -> None:
        """Nobody needs to know of it any more."""
        self._store.write(lambda tx: commands.drop(tx, number))

    # the engine

    def take(self, limit: int) -> list[Command]:
        """Begin the oldest ones that wait; costs one small read where there are none."""
        with self._store.read() as conn:
            numbers = commands.waiting(conn, limit)
        if not numbers:
            return []
        now = self._clock()
        taken = self._store.write(lambda tx: [commands.begin(tx, number, now) for number in numbers])
        return [command for command in taken if command is not None]

    def tell(self, number: int, line: object) -> None:
        """One thing to say on the way; too many or too long ones are left out."""
        if len(json.dumps(line)) > LINE_LIMIT_BYTES:
            return
        with self._telling:
            said = [*self.command(number).progress, line][:LINES_LIMIT]
            self._store.write(lambda tx: commands.tell(tx, number, said))
        self._bell.ring()

    def end(self, number: int, answer: Mapping[str, Any], *, failed: bool = False) -> None:
        """The last word; whoever waits hears it."""
        if len(json.dumps(answer)) > ANSWER_LIMIT_BYTES:
            answer, failed = {"error": "the answer is too long to be kept"}, True
        state = CommandState.FAILED if failed else CommandState.DONE
        self._store.write(lambda tx: commands.end(tx, number, state, answer, self._clock()))
        self._bell.ring()

    def end_stale(self) -> int:
        """At the start of an engine: what the one before had begun, and what waited too long, ends here; how many."""
        now = self._clock()
        ended = self._store.write(lambda tx: commands.end_running(tx, {"error": RESTARTED}, now))
        return ended + self._store.write(lambda tx: commands.end_waiting(tx, now - STALE_S, {"error": NOT_TAKEN}, now))

    def expire(self) -> None:
        """Forget what was answered long ago."""
        before = self._clock() - KEPT_S
        self._store.write(lambda tx: commands.expire(tx, before))
