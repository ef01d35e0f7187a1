"""An environment as a machine describes it. Values only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """The packages of one lock, there and whole."""

    digest: str
    #: The version of Python they are for.
    python: str
    size_bytes: int
    #: Wall time of that machine.
    used_at: float
