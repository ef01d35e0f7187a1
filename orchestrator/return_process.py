"""The inside of a return_main process: calls come as frames on stdin, answers go as frames to what was stdout.

Started by orchestrator.returns, in the folder the calls work in. Whatever return_main prints goes to stderr, which the
server keeps in a bounded log.
"""

import contextlib
import json
import os
import sys
import traceback
from types import ModuleType
from typing import Any

from remote_runner import call, protocol

ERROR_LIMIT_CHARS = 64 * 1024


def main(folder: str) -> None:
    """Serve calls until stdin ends. ``folder``: the version's own; it becomes first on sys.path."""
    calls, answers = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    decoder = protocol.Decoder()
    module: ModuleType | None = None
    while data := os.read(calls, 1 << 16):
        for message in decoder.feed(data):
            error = ""
            try:
                module = module or call.load(folder, "return_main")
                _run(module, message)
            except BaseException:  # noqa: BLE001 - whatever user code raises is its answer, exits included
                error = traceback.format_exc()[-ERROR_LIMIT_CHARS:]
            _write_all(answers, protocol.encode({"t": "answer", "error": error}))


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
    main(sys.argv[1])
