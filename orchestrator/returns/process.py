"""The inside of a return_main process: calls come as frames on stdin, answers go as frames to what was stdout.

Started by orchestrator.returns.warm, in the folder the calls work in. Whatever return_main prints goes to stderr, which
the server keeps in a bounded log.
"""

import contextlib
import json
import math
import os
import resource
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from remote_runner import call, environment, protocol

ERROR_LIMIT_CHARS = 64 * 1024


def main(folder: str, bounds: str, packages: str) -> None:
    """Serve calls until stdin ends. ``folder``: the version's own; it becomes first on sys.path.

    ``packages``: the environment it imports from, instead of what is installed here; empty: none.
    """
    allowed: dict[str, float] = json.loads(bounds)
    _bound(allowed)
    if packages:
        if Path(packages).stat().st_uid == os.geteuid():  # what was copied for another account is not swept
            environment.hold(packages)
        environment.enter(packages)
    calls, answers = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    decoder = protocol.Decoder()
    module: ModuleType | None = None
    while data := os.read(calls, 1 << 16):
        for message in decoder.feed(data):
            error = ""
            try:
                _bound_cpu(allowed["cpu_s"])
                module = module or call.load(folder, "return_main")
                _run(module, message)
            except BaseException:  # noqa: BLE001 - whatever user code raises is its answer, exits included
                error = traceback.format_exc()[-ERROR_LIMIT_CHARS:]
            _write_all(answers, protocol.encode({"t": "answer", "error": error}))


def _bound(allowed: Mapping[str, float]) -> None:
    """For good: nothing that runs here later can take them back."""
    _limit(resource.RLIMIT_CORE, 0)
    if allowed["memory_bytes"]:
        _limit(resource.RLIMIT_DATA, int(allowed["memory_bytes"]))
    if allowed["open_files"]:
        _limit(resource.RLIMIT_NOFILE, int(allowed["open_files"]))


def _limit(which: int, wanted: int) -> None:
    _, highest = resource.getrlimit(which)
    bound = wanted if highest == resource.RLIM_INFINITY else min(wanted, highest)
    resource.setrlimit(which, (bound, bound))


def _bound_cpu(call_s: float) -> None:
    """For the next call: the system counts from the beginning of the process. Passing it ends the process."""
    if call_s:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _, highest = resource.getrlimit(resource.RLIMIT_CPU)
        wanted = math.ceil(used.ru_utime + used.ru_stime + call_s)
        resource.setrlimit(resource.RLIMIT_CPU, (wanted if highest < 0 else min(wanted, highest), highest))


def _run(module: ModuleType, message: dict[str, Any]) -> None:
    os.environ["MJ_JOB_ID"] = str(message["job"])
    os.environ["MJ_ATTEMPT"] = str(message["attempt"])
    module.work(json.loads(message["data"]))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # closed or replaced: the work is done anyway
            stream.flush()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    main(*sys.argv[1:])
