"""Why a job waits: from what it asks for and how the machines are. Pure; the same words for page, CLI and SDK."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from jobs.model import EnvironmentState, MachineState, MachineView, WaitCode, WaitingBecause
from jobs.pythons import suits

_HELD_BACK = frozenset({MachineState.PAUSED, MachineState.DRAINING, MachineState.CLOSED})
_AWAY = frozenset({MachineState.UNREACHABLE, MachineState.CONNECTING})


class Wish(NamedTuple):
    """What a waiting job asks for."""

    job_type: str
    tag: str
    #: Not before this time; None: at once.
    due_at: float | None
    #: Machines it must not go to.
    avoid: frozenset[str] = frozenset()


def because(
    wish: Wish,
    machines: Sequence[MachineView],
    now: float,
    *,
    known: bool,
    python: str = "",
    environment: str = "",
) -> WaitingBecause:
    """The nearest cause: what would have to change first.

    ``known``: its job type has a version; ``python``: the versions of Python that one takes; ``environment``: the
    packages it asks for.
    """
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
    carrying = [machine for machine in carrying if machine.machine_id not in wish.avoid]
    if not carrying:
        avoided = ", ".join(sorted(wish.avoid))
        text = f"it must not go to {avoided} (they failed it, or it was asked for on one other), and none else suits it"
        return WaitingBecause(WaitCode.ALL_AVOIDED, f"{text}; rerun it plainly, or add a machine")
    carrying = [machine for machine in carrying if not machine.python or suits(python, machine.python)]
    if not carrying:
        text = f"job type {wish.job_type!r} asks for Python {python}, and no machine that suits it otherwise has that"
        return WaitingBecause(WaitCode.NO_PYTHON, text)
    ready = [machine for machine in carrying if machine.state == MachineState.READY]
    if not ready:
        return _none_ready(carrying)
    fit = [machine for machine in ready if benched(wish.job_type, machine) is None]
    if not fit:
        return _all_benched(wish.job_type, ready[0])
    return _among_ready(fit) if not environment else _among_equipped(fit, environment)


def benched(job_type: str, machine: MachineView) -> str | None:
    """Why the machine gets no jobs of this type for a while; None: it does."""
    return machine.benched.get("", machine.benched.get(job_type))


def _among_equipped(fit: Sequence[MachineView], digest: str) -> WaitingBecause:
    """Some have its packages, or will have, or could not get them."""
    having = [(machine, one) for machine in fit for one in machine.environments if one.digest == digest]
    equipped = [machine for machine, one in having if one.state is EnvironmentState.READY]
    if equipped:
        return _among_ready(equipped)
    building = [machine.machine_id for machine, one in having if one.state is EnvironmentState.BUILDING]
    if building:
        return WaitingBecause(WaitCode.BUILDING_ENVIRONMENT, f"building environment on {', '.join(building)}")
    if not having:
        return _among_ready(fit)
    machine, failed = having[0]
    text = f"its packages could not be installed on {machine.machine_id}; tried again in a while: {failed.why}"
    return WaitingBecause(WaitCode.BUILDING_ENVIRONMENT, text)


def _all_benched(job_type: str, first: MachineView) -> WaitingBecause:
    text = "all machines that suit it are benched and tried by one job now and then"
    return WaitingBecause(WaitCode.ALL_BENCHED, f"{text}; {first.machine_id}: {benched(job_type, first)}")


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
