"""How long a session waits: for answers, before it connects or attaches again. Pure."""

from dataclasses import dataclass
from typing import Final

from orchestrator.errors import (
    HostKeyRefused,
    NodeRefused,
    NodeUnfit,
    OrchestratorError,
    ProtocolError,
)
from orchestrator.node.events import DownState

#: A connection or stream that lasted so long was a good one: what breaks it is a new trouble.
STEADY_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """The sessions' share of the settings."""

    #: Waits between tries to connect, or to attach to the runner: the first, and the longest, before jitter.
    retry_first_s: float = 1.0
    retry_longest_s: float = 60.0
    #: The wait where only a person can mend it, so that no account gets locked by our knocking.
    retry_refused_s: float = 60.0
    contact_s: float = 30.0
    poll_timeout_s: float = 20.0

    def next_wait_s(self, before_s: float, error: OrchestratorError, lasted_s: float) -> float:
        """How long to wait before connecting again, but for the jitter."""
        if isinstance(error, NodeUnfit) or (isinstance(error, NodeRefused) and error.pause):
            return self.retry_refused_s
        if lasted_s >= STEADY_S:
            return self.retry_first_s
        return min(max(before_s * 2, self.retry_first_s), self.retry_longest_s)

    def attach_wait_s(self, breaks: int) -> float:
        """How long to wait before attaching again when so many streams in a row broke off: not at all at first."""
        if breaks <= 1:
            return 0.0
        return min(self.retry_first_s * 2.0 ** min(breaks - 2, 16), self.retry_longest_s)


def down_state(error: OrchestratorError) -> DownState:
    """What people are shown for it."""
    match error:
        case HostKeyRefused():
            return "untrusted"
        case NodeRefused(pause=True):
            return "refused"
        case NodeUnfit() | ProtocolError():
            return "unfit"
        case _:
            return "unreachable"
