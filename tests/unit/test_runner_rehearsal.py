"""Before a supervisor forks many it goes through what an executor does: nobody sees that, and nothing of it stays."""

import os
import signal
import sys
from pathlib import Path

import pytest

from remote_runner import worker
from remote_runner.folder import Folder
from remote_runner.marks import IDLE, Page
from remote_runner.protocol import Version
from remote_runner.seat import Seat


def test_a_rehearsal_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bytes] = []
    whole = worker.Executor._work

    def counted(self: worker.Executor, kind: bytes, text: bytes, started: float) -> bytes:
        called.append(whole(self, kind, text, started))
        return called[-1]

    monkeypatch.setattr(worker.Executor, "_work", counted)
    page, (reading, writing) = Page(-1, 0), os.pipe()
    page.reset()
    version = Version("crawl", 1, "versions/crawl/1", "ab", None, {}, True, 0)
    seat = Seat(0, -1, -1, -1, writing, writing, page, version, str(tmp_path), str(tmp_path), check=False)
    before = sorted(Path("/proc/self/fd").iterdir()), signal.pthread_sigmask(signal.SIG_BLOCK, ()), set(sys.modules)
    worker.rehearse(seat, Folder(str(tmp_path / "folder"), str(tmp_path)))
    after = sorted(Path("/proc/self/fd").iterdir()), signal.pthread_sigmask(signal.SIG_BLOCK, ()), set(sys.modules)
    assert after == before
    assert len(called) == worker._REHEARSALS
    assert all(body.startswith(b'{"ok":true,"result":"1",') for body in called)
    assert page.current() == IDLE
    assert page.started_us(0, 1, 1) is None
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    os.close(reading)
    os.close(writing)
