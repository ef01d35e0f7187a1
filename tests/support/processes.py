"""Which processes belong to a folder: for finding what was left running, and for killing it."""

import os
from pathlib import Path


def processes_below(folder: Path) -> list[int]:
    """Processes with the folder's path in their command line, current directory or environment; never our own."""
    text = str(folder).encode()
    return [pid for pid in _all() if pid != os.getpid() and any(text in fact for fact in _facts(pid))]


def _all() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _facts(pid: int) -> list[bytes]:
    base = Path("/proc") / str(pid)
    facts = []
    try:
        command = (base / "cmdline").read_bytes()
        if command.startswith((b"sshd", b"rsync")):
            return []
        facts.append(command)
        facts.append(os.fsencode((base / "cwd").readlink()))
        facts.append((base / "environ").read_bytes())
    except OSError:
        pass
    return facts
