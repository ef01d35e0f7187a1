"""``mj up`` on a disk whose fsync takes SLOW_MS longer: every commit of the store waits so long before it counts."""

import os
import time
from typing import Any

from jobs.store.writer import Writer
from orchestrator.cli import main


def _slowly(commit: Any, slow_s: float) -> Any:
    def end(self: Writer, transaction: Any) -> None:
        time.sleep(slow_s)
        commit(self, transaction)

    return end


if __name__ == "__main__":
    setattr(Writer, "_end", _slowly(getattr(Writer, "_end"), float(os.environ["SLOW_MS"]) / 1000))  # noqa: B009, B010
    main(prog_name="mj")
