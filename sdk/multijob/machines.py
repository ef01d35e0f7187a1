"""The client's part about machines, and one machine as an object."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .asking import Asking, part
from .errors import MultiJobError, NotFound, WaitTimeout
from .row import JsonObject, Row

if TYPE_CHECKING:
    from .client import Client

#: How long one question for a command's end may stay open at the server.
WAIT_S = 20.0
LOOK_S = 0.1


class Machine(Row):
    """Made by ``client.machine(id)`` without asking; its members are as last seen until ``refresh``."""

    def __init__(self, client: Client, machine_id: str, seen: JsonObject | None = None) -> None:
        super().__init__(client, seen)
        self.id = machine_id

    def _fetch(self) -> JsonObject:
        for row in self._client.machines():
            if row.id == self.id:
                return dict(row)
        raise NotFound(f"there is no machine {self.id}", remedy="client.machines() lists those of inventory.yml")

    def _title(self) -> str:
        state = "" if self._seen is None else f" {self._seen.get('state', '')}"
        return f"Machine {self.id}{state}"

    @property
    def name(self) -> str:
        """As people call it."""
        return str(self._member("name"))

    @property
    def state(self) -> str:
        """ready, paused, draining, closed, unreachable …; ``text`` says more."""
        return str(self._member("state"))

    @property
    def text(self) -> str:
        """What it is about its state, and what to do."""
        return str(self._member("text") or "")

    @property
    def tags(self) -> list[str]:
        """The tags it carries."""
        return list(self._member("tags") or [])

    @property
    def running(self) -> int:
        """Jobs that run on it."""
        return int(self._member("running") or 0)

    @property
    def limit_process(self) -> int:
        """Jobs that it runs at once."""
        return int(self._member("limit_process") or 0)

    def set(self, **changes: Any) -> Machine:
        """Set name, tag or limit_process on top of the inventory; see ``Client.change_machine``."""
        self._client.change_machine(self.id, **changes)
        return self._forget()

    def pause(self) -> Machine:
        """No new jobs; running ones go on, assigned ones go elsewhere."""
        return self._told("pause")

    def resume(self) -> Machine:
        """Take jobs again, after a pause, a drain or a close."""
        return self._told("resume")

    def drain(self) -> Machine:
        """Pause, then disconnect when nothing runs on it any more."""
        return self._told("drain")

    def close(self) -> Machine:
        """Drain it and stay away from it until resumed."""
        return self._told("close")

    def trust(self, fingerprint: str) -> Machine:
        """Accept its host key, after comparing this fingerprint with the machine's own."""
        return self._told("trust", {"fingerprint": fingerprint})

    def doctor(self, *, timeout_s: float | None = None) -> JsonObject:
        """Look it over, step by step; answers what was found."""
        return self._client.command(f"/machines/{part(self.id)}/doctor", timeout_s=timeout_s)

    def purge(self, *, timeout_s: float | None = None) -> JsonObject:
        """Remove everything of ours from it; answers what was removed."""
        return self._client.command(f"/machines/{part(self.id)}/purge", timeout_s=timeout_s)

    def _told(self, verb: str, said: JsonObject | None = None) -> Machine:
        self._client.command(f"/machines/{part(self.id)}/{verb}", said)
        return self._forget()

    def _forget(self) -> Machine:
        """What was seen is of before the change."""
        self._seen, self._whole = None, False
        return self


class Machines(Asking):
    """All machines, one of them, and changes on top of the inventory."""

    def machines(self) -> list[Machine]:
        """The machines, as last seen."""
        return [Machine(self._me, row["machine_id"], row) for row in self._rows("/api/v1/machines", "machines")]

    def machine(self, machine_id: str) -> Machine:
        """One machine. Nothing is asked until something of it is wanted."""
        return Machine(self._me, machine_id)

    def change_machine(self, machine_id: str, **changes: Any) -> list[str]:
        """Set name, tag, limit_process, paused or closed on top of the inventory; answers what was set.

        It holds until the inventory's own value for that key changes. Needs the scope admin.
        """
        changed: list[str] = self._object("PATCH", f"/api/v1/machines/{part(machine_id)}", json_body=changes)["changed"]
        return changed

    def command(self, path: str, said: JsonObject | None = None, *, timeout_s: float | None = None) -> JsonObject:
        """Ask the engine for something and wait for its answer."""
        asked = self._object("POST", f"/api/v1{path}", json_body=said, repeatable=False)
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        while asked["state"] in ("waiting", "running"):
            left_s = WAIT_S if give_up_at is None else give_up_at - time.monotonic()
            if left_s <= 0:
                raise WaitTimeout(None)
            where = f"/api/v1/commands/{asked['command_id']}"
            # With more progress than there can be called known, the server answers at the end alone.
            asked = self._object("GET", where, {"wait_s": round(min(left_s, WAIT_S), 3), "seen": 1_000_000})
            time.sleep(LOOK_S if asked["state"] in ("waiting", "running") else 0)
        answer: JsonObject = asked.get("answer") or {}
        if asked["state"] == "failed":
            raise MultiJobError(str(answer.get("error") or f"{path} failed"), remedy=str(answer.get("remedy") or ""))
        return answer
