"""One pipe of a worker's output: takes what comes and gives each byte to the attempt that wrote it."""

import os
import selectors
from typing import Callable, Optional

from remote_runner.attempt import Attempt
from remote_runner.marks import Page
from remote_runner.stream import Loop

_PIPE_CHUNK = 1 << 16

#: Where bytes of an attempt go: attempt, 0 for stdout or 1 for stderr, the bytes.
Write = Callable[[Attempt, int, bytes], None]


class Output:
    """Counts in the page what it takes, so that the executor can say where an attempt's output ends."""

    def __init__(
        self, loop: Loop, descriptor: int, page: Page, at: int, write: Write, on_taken: Callable[[], None]
    ) -> None:
        self._page = page
        self._at = at
        self._write = write
        self._on_taken = on_taken
        self._descriptor = descriptor
        self._loop = loop
        self.held = b""  # taken, not yet given to an attempt
        self._taken = 0
        self.given = 0
        os.set_blocking(descriptor, False)
        loop.register(descriptor, selectors.EVENT_READ, self._ready)

    def close(self) -> None:
        """Let go."""
        self._loop.unregister(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1

    def _ready(self, _mask: int) -> None:
        if self._descriptor >= 0 and self.take():
            self._on_taken()

    def take(self) -> bool:
        """Take what waits in the pipe, at most a pipeful."""
        page = self._page
        page.pumping(True)
        try:
            data = os.read(self._descriptor, _PIPE_CHUNK)
        except (BlockingIOError, InterruptedError):
            data = b""
        self._taken += len(data)
        page.took(self._at, self._taken)
        page.pumping(False)
        self.held += data
        return bool(data)

    def give_up_to(self, total: int, attempt: Attempt) -> None:
        """Everything before ``total`` is this attempt's."""
        while self._taken < total and self.take():
            pass
        count = max(0, total - self.given)
        part, self.held = self.held[:count], self.held[count:]
        self._give(part, attempt)

    def give_to(self, attempt: Optional[Attempt]) -> None:
        """All that is held is this attempt's; nobody's: dropped."""
        if self.held:
            part, self.held = self.held, b""
            self._give(part, attempt)

    def _give(self, part: bytes, attempt: Optional[Attempt]) -> None:
        self.given += len(part)
        if part and attempt is not None:
            self._write(attempt, self._at, part)
