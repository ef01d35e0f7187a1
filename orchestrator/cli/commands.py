"""What the engine is asked to do, in its own time: wait for the answer, and show how far it is."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli import asks
from orchestrator.cli.shell import JobFailed, NoAnswer, note

if TYPE_CHECKING:
    from multijob import Client

#: A purge or a look at a machine that does not answer takes its time; a server without an engine never answers.
PATIENCE_S: Final = 180.0
WAITING: Final = ("waiting", "running")
#: How a step ended, as the doctor says it, and its colour.
STEP_STYLES: Final[Mapping[str, str]] = {"fine": "green", "warning": "yellow", "failed": "red", "skipped": ""}


def finished(client: "Client", command: Mapping[str, Any], tell: Callable[[Any], None]) -> Mapping[str, Any]:
    """The command as it ended, well or not; its lines go to ``tell`` on the way. Raises NoAnswer."""
    give_up_at, seen = time.monotonic() + PATIENCE_S, 0
    while True:
        lines = command.get("progress") or []
        for line in lines[seen:]:
            tell(line)
        seen = max(seen, len(lines))
        if command["state"] not in WAITING:
            return command
        if time.monotonic() > give_up_at:
            raise NoAnswer("the server has not done it yet, and still may; look again:  mj machine list")
        command = asks.command(client, command["command_id"], seen)


def answer_of(ended: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The answer of a command that ended well. Raises JobFailed, with the reason and what to do."""
    answer = dict(ended.get("answer") or {})
    if ended["state"] != "failed":
        return answer
    said = answer.get("error") or answer.get("text") or "the server's log says why"
    raise JobFailed(
        (f"{what}: {said}" if what else str(said)) + (f"\n    {answer['remedy']}" if answer.get("remedy") else "")
    )


def say_step(step: Any) -> None:
    """One step of looking a machine over: how it went, what was found, what to do. Skipped ones say nothing new."""
    if not isinstance(step, dict):
        note(f"  {step}")
        return
    state, title = str(step.get("state", "")), str(step.get("title") or step.get("step") or "")
    if state == "skipped":
        return
    note(f"  {state:8}{title}: {step.get('finding', '')}", style=STEP_STYLES.get(state, ""))
    if step.get("remedy"):
        note(f"          {step['remedy']}")
