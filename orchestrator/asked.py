"""What the engine's process does when asked: looks machines over, adds them, trusts their keys, empties them.

The verbs behind the table of commands, put together from the parts of one server. Decides nothing about jobs.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from inventory import fields
from inventory.file import append_machine, load
from inventory.machine import Machine
from jobs.errors import InvalidInput
from jobs.model import Command
from orchestrator.commands import Handler, NotDone, Say
from orchestrator.config import Settings
from orchestrator.doctor.machine import Tools, examine
from orchestrator.doctor.server import examine_server
from orchestrator.doctor.words import verdict
from orchestrator.errors import UserError
from orchestrator.ssh.keys import KnownHosts

#: Removes everything of ours from a machine within so many seconds; what it removed, for people.
Purge = Callable[[str, float], Mapping[str, Any]]
PURGE_S: Final = 300.0
#: Tells of a machine that something about it was mended.
Nudge = Callable[[str], None]

#: Answers a question whose arguments are these.
Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Asked:
    """Handlers for ``CommandDesk``."""

    def __init__(
        self,
        settings: Settings,
        known_hosts: KnownHosts,
        tools: Tools,
        *,
        purge: Purge,
        admit: Nudge,
        try_again: Nudge,
        log: Answer,
    ) -> None:
        self._settings = settings
        self._known_hosts = known_hosts
        self._tools = tools
        self._purge = purge
        self._admit = admit
        self._try_again = try_again
        self._log = log

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "machine.add": self.add,
            "doctor": self.doctor,
            "trust": self.trust,
            "admit": self.admit,
            "purge": self.purge,
            "log": self.log,
        }

    def add(self, command: Command, say: Say) -> Mapping[str, Any]:
        """Look a machine over and append it to the inventory; not when it was found wanting, unless told so."""
        args = command.args
        settings: Mapping[str, Any] = args["settings"]
        machine = machine_of(command.machine_id, settings)
        if command.machine_id in load(self._inventory).machines:
            raise UserError(f"there is a machine {command.machine_id} already; choose another machine_id")
        answer: Mapping[str, Any] = {}
        if args.get("check", True):
            answer = self._looked_over(machine, command, say)
        append_machine(self._inventory, command.machine_id, settings)
        return {**answer, "added": True, "machine_id": command.machine_id}

    def _looked_over(self, machine: Machine, command: Command, say: Say) -> Mapping[str, Any]:
        """The report. Raises NotDone with it, where the key is nobody's yet or the machine is not fit."""
        accepted, forced = command.args.get("accept"), command.args.get("force", False)
        report = examine(machine, self._tools, lambda result: say(result.as_dict()), accept=lambda key: key == accepted)
        answer = {**report.as_dict(), "added": False, "machine_id": machine.machine_id}
        if report.fingerprint:
            raise NotDone(f"the host key {report.fingerprint} is unknown; compare it, then accept it", answer)
        if not (report.ok or forced):
            raise NotDone(f"{verdict(report)}; it was not added", answer)
        return answer

    def doctor(self, command: Command, say: Say) -> Mapping[str, Any]:
        """Look over the machine that is named, or the server."""
        if not command.machine_id:
            return examine_server(self._settings, lambda result: say(result.as_dict())).as_dict()
        report = examine(self._machine(command.machine_id), self._tools, lambda result: say(result.as_dict()))
        return report.as_dict()

    def trust(self, command: Command, _say: Say) -> Mapping[str, Any]:
        """Accept the key that the machine has shown."""
        fingerprint = str(command.args.get("fingerprint", ""))
        if not self._known_hosts.accept(command.machine_id, fingerprint):
            raise UserError(f"{command.machine_id} has shown no key {fingerprint}; look it over, then compare again")
        self._try_again(command.machine_id)
        return {"trusted": fingerprint}

    def admit(self, command: Command, _say: Say) -> Mapping[str, Any]:
        """Let the machine, benched for its failures, take jobs again."""
        self._admit(self._machine(command.machine_id).machine_id)
        return {"admitted": command.machine_id}

    def purge(self, command: Command, _say: Say) -> Mapping[str, Any]:
        """Remove everything of ours from the machine."""
        return self._purge(self._machine(command.machine_id).machine_id, PURGE_S)

    def log(self, command: Command, _say: Say) -> Mapping[str, Any]:
        """What a running attempt prints, for a process that does not hold the connections."""
        return self._log(command.args)

    def _machine(self, machine_id: str) -> Machine:
        found = load(self._inventory).machines.get(machine_id)
        if found is None:
            raise UserError(f"there is no machine {machine_id} in the inventory")
        return found

    @property
    def _inventory(self) -> Path:
        return self._settings.home / "inventory.yml"


def machine_of(machine_id: str, settings: Mapping[str, Any]) -> Machine:
    """The machine that a line of the inventory would make. Raises InvalidInput."""
    try:
        fields.machine_id(machine_id)
        parsed = {fields.KEYS[key][0]: fields.parse(key, value) for key, value in settings.items()}
    except fields.FieldInvalid as error:
        raise InvalidInput("settings", f"{error}; {error.remedy}") from error
    except KeyError as error:
        raise InvalidInput("settings", f"there is no key {error}") from error
    if parsed.get("connection") != "local" and not parsed.get("host"):
        raise InvalidInput("host", "must be given, or connection: local for the server's own machine")
    return Machine(machine_id=machine_id, **{"name": machine_id, **parsed})
