"""Steps that stand on one another: which are taken, which are skipped, what came of each. Pure but for the clock."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from orchestrator.errors import OrchestratorError


class State(StrEnum):
    """How a step ended. A warning harms nothing and stands in no other step's way."""

    FINE = "fine"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Step(NamedTuple):
    """One thing to look at. ``needs``: what must not have failed before."""

    name: str
    title: str
    needs: tuple[str, ...] = ()


class Said(NamedTuple):
    """What a hand has to say about its step."""

    state: State
    finding: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One step, taken or skipped."""

    step: str
    title: str
    state: State
    finding: str
    remedy: str = ""
    spend_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"state": str(self.state), "spend_s": round(self.spend_s, 4)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All steps of one look. ``about``: a machine's id, or empty for the server itself."""

    about: str
    results: Sequence[Result]
    #: Of a host key that a person has to accept first.
    fingerprint: str = ""

    @property
    def ok(self) -> bool:
        return all(result.state is not State.FAILED for result in self.results)

    def as_dict(self) -> dict[str, Any]:
        return {
            "about": self.about,
            "ok": self.ok,
            "fingerprint": self.fingerprint or None,
            "steps": [result.as_dict() for result in self.results],
        }


Hand = Callable[[], Said]
Tell = Callable[[Result], None]
#: What a step that broke unexpectedly says of itself.
_BROKEN: Final = "this look itself failed"


def fine(finding: str) -> Said:
    return Said(State.FINE, finding)


def warning(finding: str, remedy: str) -> Said:
    return Said(State.WARNING, finding, remedy)


def failed(finding: str, remedy: str) -> Said:
    return Said(State.FAILED, finding, remedy)


def follow(
    steps: Sequence[Step],
    hands: Mapping[str, Hand],
    tell: Tell,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> list[Result]:
    """Take the steps in order, telling of each as soon as it is over."""
    results: dict[str, Result] = {}
    for step in steps:
        result = _skipped(step, results) or _taken(step, hands[step.name], monotonic)
        results[step.name] = result
        tell(result)
    return list(results.values())


def _skipped(step: Step, results: Mapping[str, Result]) -> Result | None:
    for name in step.needs:
        before = results.get(name)
        if before is not None and before.state in (State.FAILED, State.SKIPPED):
            why = before.finding if before.state is State.SKIPPED else f"needs: {before.title}"
            return Result(step=step.name, title=step.title, state=State.SKIPPED, finding=why)
    return None


def _taken(step: Step, hand: Hand, monotonic: Callable[[], float]) -> Result:
    began = monotonic()
    try:
        said = hand()
    except OrchestratorError as error:
        said = failed(str(error), "")
    except Exception as error:  # noqa: BLE001 - a doctor that stumbles over one organ looks at the others all the same
        said = failed(f"{_BROKEN}: {type(error).__name__}: {error}", "please report this")
    return Result(
        step=step.name,
        title=step.title,
        state=said.state,
        finding=said.finding,
        remedy=said.remedy,
        spend_s=monotonic() - began,
    )
