"""What sessions and the service tell the engine. Values only; the engine's inbox is the one place they go."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from inventory.file import Inventory
from jobs.model import AttemptKey, Reported
from orchestrator.node.found import Found
from orchestrator.node.health import Contact, Load

#: Why a machine cannot be used now, as people see it on the machines page.
DownState = Literal["unreachable", "untrusted", "refused", "unfit"]


@dataclass(frozen=True, slots=True)
class Submitted:
    """Jobs wait in these lanes; the smallest rank among the new ones. Empty: look at everything."""

    best_ranks: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class ReportStored:
    machine_id: str
    items: Sequence[Reported]


@dataclass(frozen=True, slots=True)
class KillAsked:
    machine_id: str
    keys: Sequence[AttemptKey]


@dataclass(frozen=True, slots=True)
class Published:
    """A job type has a new version, or is gone."""


@dataclass(frozen=True, slots=True)
class InventoryChanged:
    inventory: Inventory


@dataclass(frozen=True, slots=True)
class Connected:
    machine_id: str
    contact: Contact


@dataclass(frozen=True, slots=True)
class Down:
    machine_id: str
    state: DownState
    text: str
    #: The host key it shows, while that is not trusted.
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    machine_id: str
    load: Load


@dataclass(frozen=True, slots=True)
class Deployed:
    machine_id: str
    job_type: str
    version: int
    #: Of its folder on the machine.
    name: str


@dataclass(frozen=True, slots=True)
class DeployFailed:
    machine_id: str
    job_type: str
    version: int
    text: str


@dataclass(frozen=True, slots=True)
class Equipped:
    """An environment is there."""

    machine_id: str
    found: Found


@dataclass(frozen=True, slots=True)
class NotEquipped:
    """An environment could not be built. ``is_final``: another try would end the same."""

    machine_id: str
    digest: str
    #: Empty: nobody knows, for the connection broke meanwhile.
    why: str
    log: str = ""
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Swept:
    """What is old was removed; these environments stay."""

    machine_id: str
    environments: Sequence[Found]


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """A runner answered. It holds ``held``; the session sends nothing before the engine has compared (``go_on``)."""

    machine_id: str
    #: Which stream this is: no two have the same number.
    stream: int
    held: frozenset[AttemptKey]
    #: What a runner before it wrote down cannot be read: nothing follows from not knowing of an attempt.
    unread: bool


@dataclass(frozen=True, slots=True)
class RunnerGone:
    """A stream to the runner ended; ``left``: it said goodbye, holding nothing."""

    machine_id: str
    stream: int
    left: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    machine_id: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Purged:
    """All that is ours was removed from the machine, or ``error`` says why it was not."""

    machine_id: str
    #: The removed entries of our folder, and the paths that could not be removed: none.
    answer: Mapping[str, Any]
    error: str = ""


#: What sessions tell.
MachineEvent = (
    Connected
    | Down
    | Loaded
    | Deployed
    | DeployFailed
    | Equipped
    | NotEquipped
    | Swept
    | RunnerUp
    | RunnerGone
    | Trouble
    | Purged
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a session told, and which one: a session that was let go of is not listened to any more."""

    session: int
    event: MachineEvent


@dataclass(frozen=True, slots=True)
class Admit:
    """A person says that a benched machine is mended."""

    machine_id: str


@dataclass(frozen=True, slots=True)
class PurgeAsked:
    """A person wants nothing of ours left on a machine; ``done`` gets what was removed, or a UserError."""

    machine_id: str
    done: "Future[Mapping[str, Any]]"


@dataclass(frozen=True, slots=True)
class Beat:
    """A timer's tick."""


@dataclass(frozen=True, slots=True)
class Stop:
    """No more beats."""


Event = Submitted | ReportStored | KillAsked | Published | InventoryChanged | Told | Admit | PurgeAsked | Beat | Stop
