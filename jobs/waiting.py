"""Why a job waits: from what it asks for and how the machines are. Pure; the same words for page, CLI and SDK."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from jobs.model import MachineState, MachineView, WaitCode, WaitingBecause

_HELD_BACK = frozenset({MachineState.PAUSED, MachineState.DRAINING, MachineState.CLOSED})
_AWAY = frozenset({MachineState.UNREACHABLE, MachineState.CONNECTING})


class Wish(NamedTuple):
    """What a waiting job asks for."""

    job_type: str
    tag: str
    #: Not before this time; None: at once.
    due_at: float | None


def because(wish: Wish, machines: Sequence[MachineView], now: float, *, known: bool) -> WaitingBecause:
    """The nearest cause: what would have to change first. ``known``: its job type has a version."""
    if wish.due_at is not None and wish.due_at > now:
        at = datetime.fromtimestamp(wish.due_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return WaitingBecause(WaitCode.BACKING_OFF, f"tries again at {at}")
    if not known:
        return WaitingBecause(WaitCode.NO_VERSION, f"job type {wish.job_type!r} was deleted; publish it again")
    if not machines:
        return WaitingBecause(WaitCode.NO_MACHINES, "there is no machine in the inventory")
    carrying = [machine for machine in machines if not wish.tag or wish.tag in machine.tags]
    if not carrying:
        return WaitingBecause(WaitCode.NO_TAG, f"no machine carries the tag {wish.tag!r}")
    ready = [machine for machine in carrying if machine.state == MachineState.READY]
    return _among_ready(ready) if ready else _none_ready(carrying)


def _among_ready(ready: Sequence[MachineView]) -> WaitingBecause:
    if all(machine.running >= machine.limit_process for machine in ready):
        return WaitingBecause(WaitCode.ALL_FULL, f"all {len(ready)} ready machines that suit it are full")
    return WaitingBecause(WaitCode.NEXT, "it is in line; a machine that suits it takes it soon")


def _none_ready(machines: Sequence[MachineView]) -> WaitingBecause:
    if all(machine.state in _HELD_BACK for machine in machines):
        return WaitingBecause(WaitCode.ALL_PAUSED, "all machines that suit it are paused or closed")
    if all(machine.state in _AWAY | _HELD_BACK for machine in machines):
        return WaitingBecause(WaitCode.ALL_UNREACHABLE, "no machine that suits it can be reached")
    first = next(machine for machine in machines if machine.state not in _AWAY | _HELD_BACK)
    text = f"no machine that suits it is fit; {first.machine_id} is {first.state}"
    return WaitingBecause(WaitCode.ALL_UNFIT, f"{text}: {first.text}" if first.text else text)
