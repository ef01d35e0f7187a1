"""Where our things are on one machine, and how to call them there. Values only."""

from dataclasses import dataclass
from typing import Final

_IN_SCOPE: Final = ("systemd-run", "--user", "--scope", "--quiet", "--collect")


@dataclass(frozen=True, slots=True)
class Site:
    """Our folder on a machine, the interpreter that runs there, and the runner's bundle."""

    #: ``<machine root>/<server id>``, absolute.
    root: str
    python: str
    #: Absolute path of the runner's bundle; its name is its digest.
    runner: str
    #: What is to outlive the connection must be started in a scope of the account's own service manager.
    in_scope: bool = False

    def command(self, verb: str, *rest: str) -> list[str]:
        """The command line of one of the runner's verbs (remote_runner.__main__)."""
        return [self.python, "-I", self.runner, verb, *rest]

    def quick(self, verb: str, *rest: str) -> list[str]:
        """The same, for a verb that needs the standard library alone: not what site-packages run at each start."""
        return [self.python, "-I", "-S", self.runner, verb, *rest]

    def lasting(self, verb: str, *rest: str) -> list[str]:
        """The same, for a verb that leaves something running."""
        scope = [*_IN_SCOPE, "--"] if self.in_scope else []
        return [*scope, *self.command(verb, *rest)]
