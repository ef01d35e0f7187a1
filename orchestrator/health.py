"""What a machine is like: asked in full at first contact, in short at every poll.

The scripts run on the node; parsing their answers is pure. An answer is framed, so noise around it does no harm.
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
from orchestrator.transport import Transport

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
    done = transport.run(contact_command(machine, server_id, mark), timeout_s=timeout_s)
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
    return parse_poll(transport.run(["sh", "-c", POLL, mark, root], timeout_s=timeout_s).stdout, mark, previous)


def contact_command(machine: Machine, server_id: str, mark: str) -> list[str]:
    """The command line of first contact; its answer stands between two lines with the mark."""
    candidates = [machine.python] if machine.python else list(INTERPRETERS)
    return ["sh", "-c", FIRST_CONTACT, mark, STARTER, PROBE, machine.root, server_id, POLL, *candidates]


#: Tried in this order; the first at or above the floor is taken.
INTERPRETERS: Final = (
    "python3",
    "/usr/bin/python3",
    "/usr/local/bin/python3",
    "/opt/homebrew/bin/python3",
    *(f"python3.{minor}" for minor in (13, 12, 14, 11, 10, 9, 8, 7, 6)),
    "/usr/libexec/platform-python",
    "python",
    "python2",
)

#: $0 mark, $1 how a piece is started, $2 the piece, $3 root, $4 server id, $5 what measures, then interpreters.
FIRST_CONTACT: Final = r"""
umask 077
start=$1 piece=$2 root=$3 server=$4 poll=$5 old=
shift 5
for name in "$@"; do
  path=$(command -v "$name" 2>/dev/null) || continue
  answer=$("$path" -E -s -S -c "$start" "$piece" "$root" "$server" "$poll" "$0" </dev/null)
  case $answer in
    *"$0 new"*) echo "$0"; printf '%s\n' "${answer#*"$0 new"}"; echo "$0"; exit ;;
    *"$0 old "*) [ -n "$old" ] || old="$path is ${answer#*"$0 old "}" ;;
  esac
done
echo "$0"; echo "no python: $old"; echo "$0"
"""

#: Any Python can run it, and only one of ours goes on to the piece: one start, without what site-packages add to it.
STARTER: Final = r"""
import sys
sys.path = [folder for folder in sys.path if folder]
if sys.version_info >= (3, 6):
    print(sys.argv.pop() + " new")
    exec(sys.argv.pop(1))
else:
    print("%s old %d.%d.%d" % ((sys.argv[-1],) + sys.version_info[:3]))
"""

#: Runs under Python 3.6 and later: makes the root, looks around, prints one JSON object on a line, becomes POLL.
#: Imports little: that is most of what a first contact costs a machine.
PROBE: Final = r"""
import json, os, sys

def has(tool):
    paths = [os.path.join(folder, tool) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    return any(os.path.isfile(path) and os.access(path, os.X_OK) for path in paths)

def unfit(why):
    print(json.dumps({"unfit": why})); sys.exit(0)

def names(folder, wanted=lambda name: True):
    try:
        return sorted(name for name in os.listdir(folder) if wanted(name))
    except OSError:
        return []

def text(path):
    try:
        with open(path, errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""

def life(root):
    path = os.path.join(root, "born")
    try:
        with open(path, "x") as stream:
            stream.write(os.urandom(8).hex())
    except FileExistsError:
        pass
    boot = text("/proc/sys/kernel/random/boot_id").strip()
    return boot and boot + ":" + text(path).strip()

def said(*words):
    # What a tool of the system answers; empty where there is none, or it fails.
    if not has(words[0]):
        return ""
    import subprocess
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""

def settings(found):
    # The last of equal keys counts.
    lines = [line.strip().partition("=") for line in found.splitlines() if not line.strip().startswith(("#", ";"))]
    return dict((key.strip(), value.strip()) for key, _, value in lines)

def after_logout(user):
    # "stays", "scope" or "ends": what becomes of a login's processes when it logs out.
    found = settings(said("systemd-analyze", "cat-config", "systemd/logind.conf") or text("/etc/systemd/logind.conf"))
    only, but = found.get("KillOnlyUsers", "").split(), found.get("KillExcludeUsers", "root").split()
    if found.get("KillUserProcesses", "").lower() not in ("yes", "true", "1", "on"):
        return "stays"
    if user in but or (only and user not in only):
        return "stays"
    lingers = settings(said("loginctl", "show-user", user, "--property=Linger")).get("Linger") == "yes"
    if lingers or os.path.exists("/var/lib/systemd/linger/" + user):
        if said("systemd-run", "--user", "--scope", "--quiet", "--", "echo", "scope").strip() == "scope":
            return "scope"
    return "ends"

base = os.path.expanduser(sys.argv[1])
if not os.path.isabs(base):
    unfit("the root %s has no home to stand in; give an absolute root" % sys.argv[1])
root = os.path.join(os.path.realpath(base), sys.argv[2])
try:
    os.makedirs(root, 0o700, exist_ok=True)
    if os.stat(root).st_uid != os.getuid():
        unfit("%s belongs to another account; give another root" % root)
    os.chmod(root, 0o700)
    name = os.path.join(root, ".probe-" + os.urandom(8).hex())
    with open(name, "xb") as probe:
        os.unlink(name)
        probe.write(b"x" * 65536); probe.flush()
    this_life = life(root)
except OSError as error:
    unfit("cannot write to %s: %s; free space there, or give another root" % (root, error.strerror))
try:
    import pwd
    user = pwd.getpwuid(os.getuid()).pw_name
except (ImportError, KeyError):
    user = str(os.getuid())
try:
    cores = len(os.sched_getaffinity(0))
except AttributeError:
    cores = os.cpu_count() or 1
try:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
except (ValueError, OSError):
    memory = 0
run = os.path.join(root, "run")
disk, system = os.statvfs(root), os.uname()
print(json.dumps({
    "root": root, "python": sys.executable, "version": sys.version.split()[0],
    "platform": "%s-%s" % (sys.platform, system.machine), "cores": cores, "memory_mb": memory,
    "disk_mb": disk.f_blocks * disk.f_frsize >> 20, "hostname": system.nodename, "user": user,
    "rsync": has("rsync"), "after_logout": after_logout(user),
    "life": this_life,
    "runners": [name[:-4] for name in names(os.path.join(root, "runner"), lambda name: name.endswith(".pyz"))],
    "versions": {kind: names(os.path.join(root, "versions", kind), lambda name: not name.startswith("."))
                 for kind in names(os.path.join(root, "versions"))},
    "journals": bool(names(os.path.join(run, "journal")) or os.path.exists(os.path.join(run, "sock"))),
}))
sys.stdout.flush()
os.execvp("sh", ["sh", "-c", sys.argv[3], "-", root])
"""

#: $0 mark, $1 our folder in the machine's root. This runs every half minute: as few processes as the system allows, and
#: one write for all of it, for each is a message that both ends have to take up. MemAvailable is the last of the three.
POLL: Final = r"""
said=$0 end='
'
if [ -r /proc/loadavg ]; then
  read -r line </proc/loadavg && said="$said${end}load $line"
  read -r line </proc/stat && said="$said${end}stat $line"
  while read -r key value unit; do
    case $key in MemTotal:|MemFree:|MemAvailable:) said="$said${end}mem $key $value" ;; esac
    case $key in MemAvailable:) break ;; esac
  done </proc/meminfo
else
  said="$said${end}load $(LC_ALL=C uptime | sed 's/.*averages*: *//')"
fi
disk=$(LC_ALL=C df -Pk "$1" 2>/dev/null)
said="$said${end}disk ${disk##*"$end"}"
for name in Pause End; do
  if [ -e "$1/$name" ] || [ -e "${1%/*}/$name" ]; then said="$said${end}file $name"; fi
done
printf '%s\n' "$said" "$0"
"""

_DISK = re.compile(r"(\d+)\s+(\d+)\s+(\d+)\s+\d+%")


def parse_first_contact(output: bytes, mark: str) -> Contact:
    """Read the answer of FIRST_CONTACT. Raises NodeUnfit with the remedy, or ProtocolError."""
    said = _framed(output, mark)
    if said.startswith("no python:"):
        raise NodeUnfit(_no_python(said.partition(":")[2].strip()))
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
    return _load(_framed(output, mark), previous)


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


def _framed(output: bytes, mark: str) -> str:
    """What stands between the two marks."""
    parts = output[:_LIMIT_BYTES].split(mark.encode("ascii") + b"\n")
    if len(parts) != 3:
        raise ProtocolError("the answer is not whole")
    return parts[1].decode("utf-8", "replace").strip()


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
