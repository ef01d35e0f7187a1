"""Look one machine over, through the same connector and transports that jobs go through."""

from collections.abc import Callable

from inventory.machine import Machine
from orchestrator.doctor import inside, reach
from orchestrator.doctor.plan import Report, Tell, follow
from orchestrator.doctor.visit import Tools, Visit

__all__ = ["Tools", "examine"]


def _refuse(_fingerprint: str) -> bool:
    return False


def examine(
    machine: Machine,
    tools: Tools,
    tell: Tell = lambda _result: None,
    *,
    accept: Callable[[str], bool] = _refuse,
) -> Report:
    """Take all steps; ``accept`` is asked whether an unknown host key with this fingerprint is the right one."""
    visit = Visit(machine, tools)
    way, place = reach.Reach(visit, accept), inside.Inside(visit)
    steps = [*reach.STEPS, *inside.STEPS]
    if machine.connection == "local":
        steps = [step for step in inside.STEPS if step.name not in inside.BETWEEN]
    try:
        results = follow(steps, {**way.hands(), **place.hands()}, tell)
    finally:
        way.close()
        visit.close()
    return Report(about=machine.machine_id, results=results, fingerprint=visit.unknown_key)
