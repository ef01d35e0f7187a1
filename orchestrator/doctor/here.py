"""What looking at machines takes where no server runs: connections of our own, closed afterwards."""

from types import TracebackType
from typing import Final, Self

from inventory.machine import Machine
from orchestrator.config import Settings
from orchestrator.doctor.machine import Tools, examine
from orchestrator.doctor.plan import Report
from orchestrator.ssh.connect import Connector
from orchestrator.ssh.gate import ConnectGate
from orchestrator.ssh.keys import KnownHosts
from orchestrator.ssh.tunnel import Pump

#: Stands for a server's own folder in a machine's root; tried and removed again.
NAME: Final = "doctor"


class Here:
    """Use it ``with``."""

    def __init__(self, settings: Settings) -> None:
        self._pump = Pump()
        known_hosts = KnownHosts(settings.home / "known_hosts")
        self._tools = Tools(
            connector=Connector(known_hosts, ConnectGate()),
            pump=self._pump,
            server_id=NAME,
            report_url=settings.report_url,
        )

    def __enter__(self) -> Self:
        self._pump.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pump.stop()

    def examine(self, machine: Machine) -> Report:
        """Look one machine over; keys that nobody knows are refused."""
        return examine(machine, self._tools)
