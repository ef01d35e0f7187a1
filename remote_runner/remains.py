"""Clear what a runner that died left behind: its workers' processes and folders. Its journal stays."""

import os
import time
from typing import Set

from remote_runner import processes, setting
from remote_runner.folder import remove

#: Supervisors notice the runner's death and end their trees themselves; so long they are let.
PATIENCE_S = 3.0
KILL_S = 5.0


def clear_remains(run: str) -> Set[int]:
    """End every process of the last runner's workers, empty its working folders; answer what could not be ended."""
    left = _end_processes(run)
    for name in ("workers", "attempts", "pycache"):
        folder = os.path.join(run, name)
        remove(folder)
        os.makedirs(folder, 0o700, exist_ok=True)
    return left


def _end_processes(run: str) -> Set[int]:
    workers = os.path.join(run, "workers")
    if not os.listdir(workers):
        return set()
    marker = ("%s=%s" % (setting.MARKER, setting.marker(run))).encode("utf-8", "surrogateescape")

    def living() -> Set[int]:
        return processes.working_below(workers, marker)

    until = time.monotonic() + PATIENCE_S
    while living() and time.monotonic() < until:
        time.sleep(0.01)
    return processes.kill_all(living, time.monotonic() + KILL_S)
