"""One look at one machine: what the hands know of it by now, and the connection they share."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inventory.machine import Machine
from orchestrator.doctor import look
from orchestrator.errors import NodeUnfit, OrchestratorError, ProtocolError
from orchestrator.node.transport import Transport
from orchestrator.ssh.connect import Connector
from orchestrator.ssh.look import Address
from orchestrator.ssh.tunnel import Pump

RUN_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What looking needs of the server it is done for."""

    connector: Connector
    pump: Pump
    server_id: str
    ssh_config: Path | None = None
    #: Where machines with ``report: direct`` post to.
    report_url: str | None = None


class Visit:
    """See the module. ``close`` it in the end."""

    def __init__(self, machine: Machine, tools: Tools) -> None:
        self.machine = machine
        self.tools = tools
        self.address = Address("", 0, "", "")
        self.transport: Transport | None = None
        #: Path of the interpreter there, once it is found.
        self.python = ""
        #: The fingerprint of a host key that nobody knows yet.
        self.unknown_key = ""

    def here(self) -> Transport:
        if self.transport is None:
            raise NodeUnfit("there is no connection")
        return self.transport

    def look(self, verb: str, *args: str) -> Mapping[str, Any]:
        """Look at one thing there. Raises ProtocolError with the last words of what went wrong."""
        done = self.here().run(look.command(self.python, verb, *args), timeout_s=RUN_S)
        if done.exit_code != 0:
            words = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no word"]
            raise ProtocolError(f"looking there failed: {look.text(words[-1])}")
        return look.facts(done.stdout)

    def close(self) -> None:
        if self.transport is not None:
            with contextlib.suppress(OrchestratorError, OSError, EOFError):
                self.transport.close()
