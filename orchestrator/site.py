"""Where our things are on one machine, and how to call them there. Values only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """Our folder on a machine, the interpreter that runs there, and the runner's bundle."""

    #: ``<machine root>/<server id>``, absolute.
    root: str
    python: str
    #: Absolute path of the runner's bundle; its name is its digest.
    runner: str

    def command(self, verb: str, *rest: str) -> list[str]:
        """The command line of one of the runner's verbs (remote_runner.__main__)."""
        return [self.python, "-I", self.runner, verb, *rest]
