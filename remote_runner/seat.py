"""What a worker is given when it is forked: its number, its descriptors, its version. Values only."""

from typing import NamedTuple, Tuple

from remote_runner.marks import Page
from remote_runner.protocol import Version

#: A job's input up to this size travels in its packet, a larger one in a file beside.
INLINE_BYTES = 100000
PACKET_BYTES = INLINE_BYTES + 4096

Seat = NamedTuple(
    "Seat",
    [
        ("number", int),
        ("control", int),  # packets to and from the runner
        ("jobs", int),  # packets "entry job attempt kind\n" + input
        ("results", int),  # lines "entry stdout_total stderr_total spent_us body"
        ("stdout", int),
        ("stderr", int),
        ("page", Page),
        ("version", Version),
        ("root", str),
        ("run", str),  # root/run
        ("check", bool),  # compare the version's digest before the first executor
    ],
)


def descriptors(seat: Seat) -> Tuple[int, ...]:
    """All that the supervisor keeps open."""
    return (seat.control, seat.jobs, seat.results, seat.stdout, seat.stderr)
