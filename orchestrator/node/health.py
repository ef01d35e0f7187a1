"""What a machine is like: asked in full at first contact, in short at every poll.

What runs there stands in scripts; parsing its answers is pure. An answer is framed, so noise around it does no harm.
"""

import json
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from inventory.machine import Machine
from orchestrator.errors import NodeUnfit, ProtocolError
from orchestrator.node import scripts
from orchestrator.node.transport import Transport

#: The oldest Python the runner speaks.
FLOOR: Final = (3, 6)
_LIMIT_BYTES: Final = 4 << 20
_KIB_PER_MB: Final = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How busy a machine was at one moment."""

    load1: float
    #: Share of the processors in use since the poll before; None at the first, and where the system does not say.
    cpu_ratio: float | None = None
    memory_used_mb: int = 0
    memory_free_mb: int = 0
    disk_used_mb: int = 0
    disk_free_mb: int = 0
    #: The levers of the machine's owner: files named Pause or End in the root.
    pause_file: bool = False
    end_file: bool = False
    #: Ticks of the processors so far, busy and in all, for the next poll's ratio.
    cpu_busy: int = 0
    cpu_total: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """What first contact finds out."""

    #: ``<machine root>/<server id>``, absolute; it exists and is ours alone.
    root: str
    #: Absolute path of the interpreter, and its version as text.
    python: str
    python_version: str
    platform: str
    cores: int
    memory_mb: int
    disk_mb: int
    hostname: str = ""
    user: str = ""
    rsync: bool = False
    #: The system ends what a login started when it logs out, and there is no way around: work ends with the connection.
    ends_at_logout: bool = False
    #: The same, but what is started in a scope of the account's own service manager stays.
    needs_scope: bool = False
    #: Names this life of the machine and of our folder on it: another one, and what ran there before has ended.
    #: Empty where the system does not tell one boot from the next.
    life: str = ""
    #: Digests of the runners there.
    runners: frozenset[str] = frozenset()
    #: Folder names of versions, by job type.
    versions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: Something of an earlier runner is there: a journal to drain, or a runner that lives.
    journals: bool = False
    load: Load = Load(load1=0.0)


def first_contact(transport: Transport, machine: Machine, server_id: str, *, timeout_s: float) -> Contact:
    """Look a machine over and make our folder there. NodeUnfit says what keeps it from running jobs."""
    mark = secrets.token_hex(8)
    argv = contact_command(machine, server_id, mark)
    done = transport.run(argv, stdin=scripts.FACTS.encode("ascii"), timeout_s=timeout_s)
    try:
        return parse_first_contact(done.stdout, mark)
    except NodeUnfit as error:
        raise NodeUnfit(f"{machine.machine_id}: {error}") from None
    except ProtocolError as error:
        said = (done.stderr or done.stdout)[-300:].decode("utf-8", "replace").strip()
        raise NodeUnfit(f"{machine.machine_id}: first contact failed ({error}): {said}") from error


def poll(transport: Transport, root: str, previous: Load | None, *, timeout_s: float) -> Load:
    """Measure the load of a machine whose ``root`` first contact answered."""
    mark = secrets.token_hex(8)
    return parse_poll(transport.run(["sh", "-c", scripts.POLL, mark, root], timeout_s=timeout_s).stdout, mark, previous)


def contact_command(machine: Machine, server_id: str, mark: str) -> list[str]:
    """The command line of first contact, which takes FACTS; the answer stands between two lines with the mark."""
    return find_python(machine.python, mark, machine.root, server_id)


def find_python(named: str | None, mark: str, *words: str) -> list[str]:
    """The command line that gives the piece which comes as input to an interpreter of ours, with these two words."""
    return ["sh", "-c", scripts.FIND, mark, scripts.START, *words, *([named] if named else scripts.INTERPRETERS)]


#: What FIND says in place of an answer.
NO_PYTHON: Final = "no python"
_DISK = re.compile(r"(\d+)\s+(\d+)\s+(\d+)\s+\d+%")


def parse_first_contact(output: bytes, mark: str) -> Contact:
    """Read the answer of FACTS. Raises NodeUnfit with the remedy, or ProtocolError."""
    said = between_marks(output, mark)
    if said == NO_PYTHON:
        raise NodeUnfit(_no_python(old_python(output, mark)))
    found, _, measured = said.partition("\n")
    try:
        facts = json.loads(found)
        if "unfit" in facts:
            raise NodeUnfit(str(facts["unfit"]))
        return _contact(facts, _load(measured, None))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"the answer cannot be read: {error!r}") from error


def parse_poll(output: bytes, mark: str, previous: Load | None) -> Load:
    """Read the answer of POLL; ``previous`` gives the processors' ratio its beginning."""
    return _load(between_marks(output, mark), previous)


def _load(said: str, previous: Load | None) -> Load:
    rows = [line.split() for line in said.splitlines()]
    try:
        busy, total = _ticks(_rest(rows, "stat"))
        memory = {row[1]: int(row[2]) // _KIB_PER_MB for row in rows if row[:1] == ["mem"] and len(row) == 3}
        disk = _DISK.search(" ".join(_rest(rows, "disk")))
        free_mb = memory.get("MemAvailable:", memory.get("MemFree:", 0))
        return Load(
            load1=_finite((_rest(rows, "load") or ["0"])[0].rstrip(",")),
            cpu_ratio=_ratio(busy, total, previous),
            memory_used_mb=max(0, memory.get("MemTotal:", 0) - free_mb),
            memory_free_mb=free_mb,
            disk_used_mb=int(disk[2]) // _KIB_PER_MB if disk else 0,
            disk_free_mb=int(disk[3]) // _KIB_PER_MB if disk else 0,
            pause_file=["file", "Pause"] in rows,
            end_file=["file", "End"] in rows,
            cpu_busy=busy,
            cpu_total=total,
        )
    except ValueError as error:
        raise ProtocolError(f"the load cannot be read: {error}") from error


def _finite(text: str) -> float:
    """A load is a number from 0 up; "nan" and "inf" would open or shut the gate for ever."""
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{text[:20]} is no load")
    return value


def between_marks(output: bytes, mark: str) -> str:
    """What stands between the two marks. Raises ProtocolError."""
    parts = output[:_LIMIT_BYTES].split(mark.encode("ascii") + b"\n")
    if len(parts) != 3:
        raise ProtocolError("the answer is not whole")
    return parts[1].decode("utf-8", "replace").strip()


def old_python(output: bytes, mark: str) -> str:
    """Which interpreter was found first, and what it is, where none is new enough; empty where there is none at all."""
    told = output[:_LIMIT_BYTES].decode("utf-8", "replace").partition(f"{mark} old ")[2]
    return told.partition("\n")[0].strip()


def _no_python(found: str) -> str:
    floor = ".".join(str(part) for part in FLOOR)
    seen = f"the newest found is too old ({found})" if found else "none was found"
    return f"no Python {floor} or later: {seen}; install one, or name its path as python: in the inventory"


def _contact(facts: Mapping[str, Any], load: Load) -> Contact:
    return Contact(
        root=str(facts["root"]),
        python=str(facts["python"]),
        python_version=str(facts["version"]),
        platform=str(facts["platform"]),
        cores=max(1, int(facts["cores"])),
        memory_mb=int(facts["memory_mb"]),
        disk_mb=int(facts["disk_mb"]),
        hostname=str(facts["hostname"]),
        user=str(facts["user"]),
        rsync=bool(facts["rsync"]),
        ends_at_logout=facts["after_logout"] == "ends",
        needs_scope=facts["after_logout"] == "scope",
        life=str(facts.get("life", ""))[:200],
        runners=frozenset(map(str, facts["runners"])),
        versions={str(kind): frozenset(map(str, names)) for kind, names in facts["versions"].items()},
        journals=bool(facts["journals"]),
        load=load,
    )


def _rest(rows: Sequence[Sequence[str]], key: str) -> Sequence[str]:
    return next((row[1:] for row in rows if row[:1] == [key]), [])


def _ticks(stat: Sequence[str]) -> tuple[int, int]:
    """(busy, all) of a line "cpu user nice system idle iowait irq softirq steal …"; guests are in user already."""
    ticks = [int(tick) for tick in stat[1:9]]
    return (sum(ticks) - sum(ticks[3:5]), sum(ticks)) if len(ticks) >= 4 else (0, 0)


def _ratio(busy: int, total: int, previous: Load | None) -> float | None:
    if previous is None or not previous.cpu_total or total <= previous.cpu_total:
        return None
    return min(1.0, max(0.0, (busy - previous.cpu_busy) / (total - previous.cpu_total)))
