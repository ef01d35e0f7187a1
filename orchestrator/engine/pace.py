"""How long the engine waits: for the next look, before the next try after what went wrong. Pure."""

from dataclasses import dataclass, field

from orchestrator.engine.benching import Rule


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a version that could not be sent to a machine, or begun there, waits for the next try."""

    first_s: float = 10.0
    longest_s: float = 300.0

    def wait_s(self, failures: int, spread: float) -> float:
        """After so many failures before this one; ``spread`` from 0 to 1 keeps machines from trying together."""
        return min(self.first_s * 2.0 ** min(failures, 16), self.longest_s) * (0.5 + spread)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """The engine's share of the settings."""

    poll_s: float = 30.0
    lost_after_s: float = 1800.0
    grace_s: float = 10.0
    #: How often a machine whose owner sent us away (an End file) is looked at again.
    end_look_s: float = 300.0
    #: How long a machine without room for its journal gets nothing new.
    disk_rest_s: float = 60.0
    #: How often what is old on a machine is removed.
    sweep_s: float = 86400.0
    #: How often the queue is read without being told that something was added.
    look_s: float = 30.0
    #: How often what is past its time is dropped from the store.
    housekeeping_s: float = 3600.0
    deploy: Patience = field(default_factory=Patience)
    bench: Rule = field(default_factory=Rule)
