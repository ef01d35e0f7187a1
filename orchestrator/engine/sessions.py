"""The sessions of all machines: which one is listened to, and which have been told to stop. Decides nothing.

Owned by the engine's thread.
"""

import itertools
import time
from collections.abc import Callable

from inventory.machine import Machine
from orchestrator.node.events import MachineEvent, Told
from orchestrator.node.session import Session

#: Makes the session of a machine; what the session is given to call tells the fleet's owner.
MakeSession = Callable[[Machine, Callable[[MachineEvent], None]], Session]


class Sessions:
    """One for each machine at most is listened to."""

    def __init__(self, make_session: MakeSession, tell: Callable[[Told], None]) -> None:
        self._make_session = make_session
        self._tell = tell
        self._numbers = itertools.count(1)
        self._sessions: dict[str, Session] = {}
        #: The sessions listened to, by machine.
        self._current: dict[str, int] = {}
        #: Told to stop, and not known to have ended.
        self._leaving: list[Session] = []

    def __getitem__(self, machine_id: str) -> Session:
        return self._sessions[machine_id]

    def __contains__(self, machine_id: str) -> bool:
        return machine_id in self._sessions

    def make(self, machine: Machine) -> Session:
        """The machine's new session, not started yet; from now on it is the one that is listened to."""
        number = next(self._numbers)
        self._current[machine.machine_id] = number
        session = self._make_session(machine, lambda event: self._tell(Told(number, event)))
        self._sessions[machine.machine_id] = session
        return session

    def listens_to(self, told: Told) -> bool:
        """Whether this came from a session that was not let go of."""
        return self._current.get(told.event.machine_id) == told.session

    def let_go(self, machine_id: str) -> Session:
        """Stop the machine's session and listen to it no more."""
        session = self._sessions[machine_id]
        if session.running:
            self._leaving.append(session)
        session.stop()
        self._current.pop(machine_id, None)
        return session

    def forget(self, machine_id: str) -> None:
        """The machine is gone for good."""
        del self._sessions[machine_id]

    def time_passed(self) -> None:
        """Those that have ended need not be waited for."""
        self._leaving = [session for session in self._leaving if session.alive]

    def stop(self, timeout_s: float) -> None:
        """Let go of all machines; what runs on them goes on."""
        sessions = [*self._sessions.values(), *self._leaving]
        for session in sessions:
            session.stop()
        ends_at_s = time.monotonic() + timeout_s
        for session in sessions:
            session.join(max(0.0, ends_at_s - time.monotonic()))
