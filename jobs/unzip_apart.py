"""Unpack a stranger's zip in a process of its own, with little memory and time and nothing of ours in its environment.

``unzip`` judges; whatever a zip still does to the code that reads it ends with that process.
"""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from jobs.errors import InvalidInput
from jobs.folders import SIZE_LIMIT_BYTES

MEMORY_BYTES: Final = 512 << 20
CPU_S: Final = 60
TIME_S: Final = 120.0
FILES: Final = 64
_ANSWER_BYTES: Final = 4096
#: The process said what is wrong; any other code but 0 says that it came to grief.
_REFUSED: Final = 9


def unpack(path: Path, dest: Path) -> None:
    """As ``unzip.unpack``: into the new folder ``dest``, whole or not at all. Raises InvalidInput."""
    command = [sys.executable, "-I", "-m", "jobs.unzip_apart", str(path.absolute()), str(dest.absolute())]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env={}, timeout=TIME_S, check=False
        )
    except subprocess.TimeoutExpired:
        shutil.rmtree(dest, ignore_errors=True)
        raise InvalidInput("zip", f"was not unpacked within {TIME_S:.0f} s") from None
    if done.returncode == 0:
        return
    shutil.rmtree(dest, ignore_errors=True)
    if done.returncode == _REFUSED:
        field, message = json.loads(done.stdout[:_ANSWER_BYTES])
        raise InvalidInput(field, message)
    raise InvalidInput("zip", "needs more memory or time to unpack than a job folder should")


def main(path: str, dest: str) -> int:
    """The inside of the process."""
    _limit()
    from jobs import unzip

    try:
        unzip.unpack(Path(path), Path(dest))
    except InvalidInput as refused:
        sys.stdout.write(json.dumps([refused.field, refused.message]))
        return _REFUSED
    return 0


def _limit() -> None:
    """Nothing above these; a system that knows one of them not is left at that."""
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_FSIZE: SIZE_LIMIT_BYTES,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_CORE: 0,
    }
    for which, wanted in limits.items():
        _, highest = resource.getrlimit(which)
        bound = wanted if highest == resource.RLIM_INFINITY else min(wanted, highest)
        resource.setrlimit(which, (bound, bound))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
