"""One machine as the inventory describes it. A frozen value: no file, no connection, no state of the day."""

from dataclasses import dataclass, field
from typing import Literal

Report = Literal["tunnel", "direct", "drain"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A place that can run jobs, with everything needed to reach it and to decide what it may run."""

    #: The key in inventory.yml: what everything else calls ``machine_id``.
    machine_id: str
    #: "ssh", or "local" for the server's own machine.
    connection: Literal["ssh", "local"] = "ssh"
    #: Address or alias of ~/.ssh/config; empty for the local connection.
    host: str = ""
    port: int | None = None
    user: str | None = None
    gateway: str | None = None
    #: Pinned fingerprint, ``SHA256:…``; None asks the known hosts.
    host_key: str | None = None
    identity_file: str | None = None
    #: Where the password is, never the password: ``env:NAME`` or ``file:/path``.
    password: str | None = field(default=None, repr=False)
    name: str = ""
    tags: frozenset[str] = frozenset()
    limit_process: int = 1
    #: Interpreter path on the node; None: found at first contact.
    python: str | None = None
    root: str = "~/.multijob"
    env: tuple[tuple[str, str], ...] = ()
    paused: bool = False
    closed: bool = False
    #: Load average per core above which nothing new is sent; None: no gate.
    max_load: float | None = None
    min_free_memory_bytes: int = 0
    min_free_disk_bytes: int = 0
    report: Report = "tunnel"

    @property
    def reach(self) -> tuple[object, ...]:
        """What the connection depends on: a machine whose reach changed is connected to anew."""
        return (
            self.connection,
            self.host,
            self.port,
            self.user,
            self.gateway,
            self.host_key,
            self.identity_file,
            self.password,
            self.python,
            self.root,
            self.env,
            self.report,
        )
