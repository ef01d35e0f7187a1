"""What people ask of the engine: add a machine, look one over, trust its key, empty it. Asked here, answered there.

Every path writes a command down and answers its number; ``GET /commands/ID`` says how far it is. What only sets a value
on top of the inventory (pause, resume, drain, close) is done at once and answered in the same shape.
"""

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from flask import Blueprint, Response
from pydantic import Field

from inventory import fields
from jobs.errors import InvalidInput, NotFound
from jobs.model import Command, CommandState
from jobs.names import check_plain
from web import auditing, gate
from web.accounts import Scope, needs
from web.api.answering import answer
from web.api.asking import Body, Query, body_of, query_of, raw_body
from web.api.machines import override
from web.rooms import rooms, service

blueprint = Blueprint("commands", __name__)

#: A waiting request looks up this often whether the server is going away.
_SLICE_S: Final = 1.0

#: What each lever sets on top of the inventory. A drained machine finishes what it runs and is then let go of, as a
#: closed one; the two words stand for what a person means by it.
LEVERS: Final[Mapping[str, Mapping[str, bool]]] = {
    "pause": {"paused": True},
    "resume": {"paused": False, "closed": False},
    "drain": {"paused": True, "closed": True},
    "close": {"closed": True},
}


class Entry(Body):
    """A machine as the inventory writes it, and how to add it."""

    machine_id: str
    connection: str | None = None
    host: str | None = None
    port: int | None = None
    user: str | None = None
    gateway: str | None = None
    host_key: str | None = None
    identity_file: str | None = None
    password: str | None = None
    name: str | None = None
    tag: list[str] | str | None = None
    limit_process: int | None = None
    python: str | None = None
    root: str | None = None
    env: dict[str, str] | None = None
    paused: bool | None = None
    closed: bool | None = None
    max_load: float | None = None
    min_free_memory: str | int | None = None
    min_free_disk: str | int | None = None
    report: str | None = None
    #: The fingerprint of the host key that the person has compared and accepts.
    accept: str | None = None
    #: False: append the line without looking the machine over.
    check: bool = True
    #: True: append the line although the machine was found wanting (a host key must be accepted all the same).
    force: bool = False


class Trusted(Body):
    """The fingerprint that was compared with the machine's own."""

    fingerprint: Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")]


class Patience(Query):
    """How long to wait for something new, and how much of the progress is known already."""

    wait_s: Annotated[float, Field(ge=0, le=25, allow_inf_nan=False)] = 0
    seen: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class Chosen(Query):
    """Which commands."""

    size: int = 20
    machine_id: str | None = None
    kind: str | None = None


@blueprint.post("/machines")
@needs(Scope.ADMIN)
def add() -> Response:
    """Look a new machine over, then append it to inventory.yml."""
    entry = body_of(Entry).model_dump(exclude_none=True)
    machine_id = check_plain("machine_id", entry.pop("machine_id"))
    how: dict[str, Any] = {key: entry.pop(key) for key in ("accept", "check", "force") if key in entry}
    for key, value in entry.items():
        try:
            fields.parse(key, value)
        except fields.FieldInvalid as error:
            raise InvalidInput(key, f"{error}; {error.remedy}") from error
    return _asked("machine.add", machine_id, {"settings": entry, **how})


@blueprint.post("/machines/<machine_id>/doctor")
@needs(Scope.ADMIN)
def doctor(machine_id: str) -> Response:
    """Look a machine over, step by step."""
    _check_nothing_said()
    return _asked("doctor", _known(machine_id), {})


@blueprint.post("/server/doctor")
@needs(Scope.ADMIN)
def doctor_of_server() -> Response:
    """Look the server itself over."""
    _check_nothing_said()
    return _asked("doctor", "", {})


@blueprint.post("/machines/<machine_id>/trust")
@needs(Scope.ADMIN)
def trust(machine_id: str) -> Response:
    """Accept the host key with this fingerprint, which the machine has shown."""
    return _asked("trust", _known(machine_id), {"fingerprint": body_of(Trusted).fingerprint})


@blueprint.post("/machines/<machine_id>/admit")
@needs(Scope.ADMIN)
def admit(machine_id: str) -> Response:
    """Let a machine that was benched take jobs again: a person says that it is mended."""
    _check_nothing_said()
    return _asked("admit", _known(machine_id), {})


@blueprint.post("/machines/<machine_id>/purge")
@needs(Scope.ADMIN)
def purge(machine_id: str) -> Response:
    """Remove everything of ours from a machine."""
    _check_nothing_said()
    return _asked("purge", _known(machine_id), {})


def _puller(lever: str) -> Callable[[str], Response]:
    @needs(Scope.ADMIN)
    def pull(machine_id: str) -> Response:
        _check_nothing_said()
        changed = override(machine_id, LEVERS[lever])
        return answer({"command_id": None, "state": CommandState.DONE, "answer": {"changed": changed}})

    pull.__doc__ = f"{lever.capitalize()} a machine, on top of the inventory; in force within seconds."
    return pull


for _lever in LEVERS:
    blueprint.add_url_rule(f"/machines/<machine_id>/{_lever}", _lever, _puller(_lever), methods=["POST"])


@blueprint.get("/commands")
@needs(Scope.ADMIN)
def latest() -> Response:
    """The latest commands, newest first."""
    asked = query_of(Chosen)
    found = service().commands.newest(asked.size, machine_id=asked.machine_id, kind=asked.kind)
    return answer({"commands": [_of_command(command) for command in found]})


@blueprint.get("/commands/<id:number>")
@needs(Scope.ADMIN)
def one(number: int) -> Response:
    """How far a command is; with ``wait_s`` as soon as there is something new."""
    asked = query_of(Patience)
    here = rooms()
    if asked.wait_s == 0 or not here.waiting.acquire(blocking=False):
        return answer(_of_command(service().commands.command(number)))
    try:
        return answer(_of_command(_wait(number, asked)))
    finally:
        here.waiting.release()


def _wait(number: int, asked: Patience) -> Command:
    deadline, stopping = time.monotonic() + asked.wait_s, rooms().options.stopping
    while True:
        left_s = deadline - time.monotonic()
        found = service().commands.wait(number, seen=asked.seen, timeout_s=min(left_s, _SLICE_S))
        if found.has_news(asked.seen) or left_s <= _SLICE_S or stopping.is_set():
            return found


def _asked(kind: str, machine_id: str, args: Mapping[str, Any]) -> Response:
    number = service().commands.ask(kind, machine_id, args, who=gate.caller().name)
    auditing.note(f"machines.{kind.rpartition('.')[2]}", {"machine_id": machine_id, "command_id": number}, rows=1)
    return answer({"command_id": number, "state": CommandState.WAITING, "answer": None}, 202)


def _known(machine_id: str) -> str:
    if all(machine.machine_id != machine_id for machine in service().machines()):
        raise NotFound(f"there is no machine {machine_id}")
    return machine_id


def _check_nothing_said() -> None:
    """No body, or an empty object: a page that sends JSON with everything may."""
    if raw_body().strip() not in (b"", b"{}"):
        raise InvalidInput("body", "this takes none")


def _of_command(command: Command) -> dict[str, Any]:
    return {
        "command_id": command.command_id,
        "kind": command.kind,
        "machine_id": command.machine_id,
        "asked_by": command.asked_by,
        "state": command.state,
        "progress": list(command.progress),
        "answer": command.answer,
        "created_at": command.created_at,
        "begun_at": command.begun_at,
        "ended_at": command.ended_at,
    }
