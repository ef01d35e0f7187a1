"""Before a supervisor forks many it goes through what an executor does: nobody sees that, and nothing of it stays."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from remote_runner import worker
from remote_runner.folder import Folder
from remote_runner.marks import IDLE, Page
from remote_runner.protocol import Version
from remote_runner.seat import Seat


def test_a_rehearsal_leaves_nothing_behind() -> None:
    """In a process of its own, as a supervisor is one: threads of other tests open files meanwhile."""
    code = "from tests.unit.test_runner_rehearsal import rehearsed; rehearsed()"
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr.decode()[-2000:]) == (0, "")


def rehearsed() -> None:
    """Rehearse, and compare what was before with what is after."""
    called: list[bytes] = []
    whole = worker.Executor._work

    def counted(self: worker.Executor, kind: bytes, text: bytes, started: float) -> bytes:
        called.append(whole(self, kind, text, started))
        return called[-1]

    worker.Executor._work = counted  # type: ignore[method-assign]  # the process is this test's own
    with tempfile.TemporaryDirectory() as root:
        page, (reading, writing) = Page(-1, 0), os.pipe()
        page.reset()
        version = Version("crawl", 1, "versions/crawl/1", "ab", None, {}, True, 0)
        seat = Seat(0, -1, -1, -1, writing, writing, page, version, root, root, check=False)
        before = _surroundings()
        worker.rehearse(seat, Folder(root, root))
        assert _surroundings() == before
    assert len(called) == worker._REHEARSALS
    assert all(body.startswith(b'{"ok":true,"result":"1",') for body in called)
    assert page.current() == IDLE
    assert page.started_us(0, 1, 1) is None
    os.close(writing)
    assert os.read(reading, 1) == b""


def _surroundings() -> tuple[object, ...]:
    return sorted(Path("/proc/self/fd").iterdir()), signal.pthread_sigmask(signal.SIG_BLOCK, ()), set(sys.modules)
