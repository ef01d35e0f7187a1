"""How this machine is at the moment: what is kept beside a failure, so that its cause can be found later."""

import os
import sys
import time
from typing import Any, Dict, Tuple

#: Failures in a row share one look.
KEPT_S = 1.0

_last: Tuple[float, Dict[str, Any]] = (-KEPT_S, {})


def take(folder: str) -> Dict[str, Any]:
    """Load, free memory and disk, Python, and which release of us runs. What cannot be found out is left out."""
    global _last
    now = time.monotonic()
    if now - _last[0] >= KEPT_S:
        _last = (now, _look(folder))
    return _last[1]


def _look(folder: str) -> Dict[str, Any]:
    found: Dict[str, Any] = {"python": "%d.%d.%d" % sys.version_info[:3], "runner": release()}
    for name, look in (("load1", _load1), ("memory_free_mb", _memory_free_mb), ("disk_free_mb", _disk_free_mb)):
        try:
            found[name] = look(folder)
        except (OSError, ValueError, AttributeError):
            continue
    return found


def release() -> str:
    """The beginning of our archive's digest, which is its name; empty where we do not run from one."""
    name, kind = os.path.splitext(os.path.basename(sys.argv[0]))
    return name[:12] if kind == ".pyz" else ""


def _load1(_folder: str) -> float:
    return round(os.getloadavg()[0], 2)


def _memory_free_mb(_folder: str) -> int:
    with open("/proc/meminfo", encoding="ascii") as stream:
        for line in stream:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    raise ValueError("the system does not say")


def _disk_free_mb(folder: str) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >> 20
