"""One attempt as the runner holds it: from its assignment to its last record."""

import os
from typing import Any, Optional, Tuple

from remote_runner.logs import Log
from remote_runner.marks import IDLE
from remote_runner.seat import INLINE_BYTES


class Attempt:
    """What is known of it now. The worker and entry are set while it is handed out."""

    entry = IDLE
    worker: Optional[int] = None  # its number
    told = False  # its "start" record exists
    kill = ""  # the reason it is being ended for
    kill_why = ""  # the same in words, where the reason is not enough
    grace_s = 0.0
    asked = False  # its supervisor has been asked for that
    logs: Optional[Tuple[Log, Log]] = None
    bar: Optional[Any] = None  # what its stderr showed of its progress, when it had printed so many bytes
    bar_at = 0

    def __init__(self, order: int, job: int, attempt: int, ref: str, text: bytes) -> None:
        self.order = order  # in which they were assigned
        self.job = job
        self.attempt = attempt
        self.ref = ref
        self.input = text

    @property
    def key(self) -> Tuple[int, int]:
        """What names it."""
        return self.job, self.attempt

    def open_logs(self, run: str) -> Tuple[Log, Log]:
        """Its stdout and stderr, made at the first output."""
        if self.logs is None:
            stem = os.path.join(run, "attempts", "%d-%d" % (self.job, self.attempt))
            self.logs = (Log(stem + ".stdout"), Log(stem + ".stderr"))
        return self.logs

    def input_path(self, run: str) -> str:
        """Where a large input waits for the worker."""
        return os.path.join(run, "attempts", "%d-%d.input" % (self.job, self.attempt))

    def remove_files(self, run: str) -> None:
        """Remove what it printed, and its input if no worker has taken that."""
        for log in self.logs or ():
            log.close()
        if len(self.input) > INLINE_BYTES:
            try:
                os.unlink(self.input_path(run))
            except FileNotFoundError:
                pass
