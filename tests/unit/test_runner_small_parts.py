"""Marks, logs, names, queues and the bundle: the small parts of the runner, each by itself."""

import json
import os
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from remote_runner import bundle, logs, marks, names, processes
from remote_runner.attempt import Attempt
from remote_runner.failure import TEXT_LIMIT_BYTES, describe, shorten
from remote_runner.logs import Log
from remote_runner.protocol import ProtocolError, Version
from remote_runner.queues import Queues
from tests.support import wait

#: What the bundle may weigh on its way to a node.
BUNDLE_LIMIT_BYTES = 96 * 1024


def test_a_mark_is_read_by_another_process_and_half_a_mark_is_none(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    file = marks.open_file(str(path))
    page, other = marks.add_page(file, 0), marks.add_page(file, 3)
    page.begin(0, 11, 1, 1000)
    page.begin(marks.ENTRIES - 1, 12, 5, 2000)
    other.begin(7, 2**62, 3, 3000)
    assert marks.read_started(str(path)) == {(11, 1), (12, 5), (2**62, 3)}
    assert page.current() == marks.ENTRIES - 1
    assert page.started_us(0, 11, 1) == 1000
    assert page.started_us(0, 11, 2) is None
    data = bytearray(path.read_bytes())
    data[8 * 8] ^= 1  # the first word of the first mark, as if only part of it had been written
    path.write_bytes(data)
    assert (11, 1) not in marks.read_started(str(path))
    assert marks.read_started(str(tmp_path / "none")) == set()


@pytest.mark.parametrize("size", [0, 10, 70_000, 300_000, 1_500_000, 30_000_000])
def test_logs_keep_their_ends(tmp_path: Path, size: int) -> None:
    chance = random.Random(size)  # noqa: S311
    text = "".join(f"{at:015d}\n" for at in range(size // 16 + 1))[:size].encode()
    log = Log(str(tmp_path / "log"))
    at = 0
    while at < size:
        step = chance.randrange(1, 70_000)
        log.write(text[at : at + step])
        at += step
    record = log.record()
    assert record["total"] == size
    assert record["head"].encode() == text[: logs.HEAD_BYTES]
    assert record["tail"].encode() == text[logs.HEAD_BYTES :][-logs.TAIL_BYTES :]
    assert (tmp_path / "log").exists() == (size > logs.EARLY_BYTES)
    log.keep()
    assert (tmp_path / "log").stat().st_size <= 10 * 1024 * 1024
    is_whole = size <= logs.FILE_HEAD_BYTES + logs.FILE_RING_BYTES
    assert read_all(log, 0) == (text if is_whole else text[: logs.FILE_HEAD_BYTES])
    assert read_all(log, max(0, size - 5000)) == text[max(0, size - 5000) :]
    log.close()
    assert not (tmp_path / "log").exists()


def read_all(log: Log, offset: int) -> bytes:
    """Live reading until the end, or until a gap."""
    out = b""
    while True:
        at, data = log.read(offset, 100_000)
        if at != offset or not data:
            return out
        out += data
        offset += len(data)


def test_a_gap_in_a_ring_is_skipped(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    log.write(b"x" * 30_000_000)
    assert log.read(logs.FILE_HEAD_BYTES, 10)[0] == 30_000_000 - logs.FILE_RING_BYTES
    log.close()


def test_without_room_for_a_file_the_ends_are_read_live(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "missing" / "log"))
    text = b"".join(b"%07d\n" % at for at in range(100_000))
    log.write(text[:500_000])
    log.write(text[500_000:])
    assert read_all(log, 0) == text[: logs.HEAD_BYTES]
    assert read_all(log, len(text) - logs.TAIL_BYTES) == text[-logs.TAIL_BYTES :]
    assert log.read(logs.HEAD_BYTES + 1, 10)[0] <= len(text) - logs.TAIL_BYTES


@pytest.mark.parametrize("size", [30_000, 40_000, 100_000])
def test_no_character_is_cut_in_two(tmp_path: Path, size: int) -> None:
    log = Log(str(tmp_path / "log"))
    text = "汉字🎉é" * (size // 4)
    log.write(text.encode())
    record = log.record()
    head, tail = record["head"], record["tail"]
    assert record["total"] == len(text.encode())
    assert text.startswith(head)
    assert text.endswith(tail)
    assert "?" not in head + tail
    if record["total"] <= logs.HEAD_BYTES + logs.TAIL_BYTES:
        assert head + tail == text
    log.close()


def test_what_is_no_text_has_as_many_bytes_as_was_printed(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    printed = random.Random(1).randbytes(300_000)  # noqa: S311
    log.write(printed)
    record = log.record()
    assert len(record["head"].encode()) in range(logs.HEAD_BYTES - 3, logs.HEAD_BYTES + 1)
    assert len(record["tail"].encode()) in range(logs.TAIL_BYTES - 3, logs.TAIL_BYTES + 1)
    log.close()


@pytest.mark.parametrize("path", ["", "/etc", "../x", "a/../b", "a//b", "a/./b", "a\0b", None, 3])
def test_paths_stay_below_the_root(path: object) -> None:
    with pytest.raises(ProtocolError):
        names.check_path(path)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", ".x", "x" * 65, "a b", None, "x\n"])
def test_names_are_names(name: object) -> None:
    with pytest.raises(ProtocolError):
        names.check(name)


def test_good_names_pass() -> None:
    assert names.check("Runner_1.x-y") == "Runner_1.x-y"
    version = Version("crawl", 0, "versions/crawl/0-ab", "ab", None, {}, False, 0)
    assert names.check_version(version) == version


def test_queues_keep_the_order_of_assignment() -> None:
    queues = Queues()
    for order in range(6):
        queues.add(Attempt(order, order, 1, "ab"[order % 2], b""))
    assert queues.oldest(set()) == "a"
    assert queues.oldest({"a"}) == "b"
    first = queues.first("a")
    queues.leave("a")
    assert queues.oldest(set()) == "b"
    queues.put_back([first])
    assert queues.first("a") is first
    assert [each.job for each in queues.take({(2, 1), (3, 1), (9, 1)})] == [2, 3]
    assert [each.job for each in queues.drop("b")] == [1, 5]
    assert [each.job for each in queues.take(None)] == [0, 4]
    assert not queues


def test_errors_keep_both_ends() -> None:
    text = "a" * TEXT_LIMIT_BYTES + "\ud800" + "z" * TEXT_LIMIT_BYTES
    short = shorten(text)
    assert len(short.encode()) <= TEXT_LIMIT_BYTES
    assert short.startswith("aaa")
    assert short.endswith("zzz")
    assert "bytes left out" in short


def test_an_error_that_cannot_be_told_is_told() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise SystemExit

    assert b'"reason":"error"' in describe(Mute(), 0.5)
    assert b'"exit_code":3' in describe(SystemExit(3), 0.5)


def test_the_bundle_is_reproducible_and_small(tmp_path: Path) -> None:
    first, second = bundle.build(tmp_path / "a"), bundle.build(tmp_path / "b")
    assert first.digest == second.digest
    assert Path(first.path).read_bytes() == Path(second.path).read_bytes()
    assert Path(first.path).stat().st_size < BUNDLE_LIMIT_BYTES
    held = zipfile.ZipFile(first.path).namelist()
    assert "__main__.py" in held
    assert "remote_runner/bundle.py" not in held


def test_the_bundle_unpacks_once_and_runs_where_it_cannot(tmp_path: Path) -> None:
    packed = bundle.build(tmp_path / "a").path
    for _ in range(2):
        done = run(packed, "purge", "--root", str(tmp_path / "none"))
        assert json.loads(done.stdout)["purged"] is False
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted([Path(packed).name, Path(packed).stem])
    (tmp_path / "b").mkdir()
    blocked = tmp_path / "b" / "x.pyz"
    blocked.write_bytes(Path(packed).read_bytes())
    blocked.with_suffix("").write_text("in the way")
    assert run(str(blocked), "purge", "--root", str(tmp_path / "none")).returncode == 0


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-I", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("tells_children", [True, False])
def test_who_is_below_a_process_is_found_either_way(monkeypatch: pytest.MonkeyPatch, tells_children: bool) -> None:
    if not tells_children:
        monkeypatch.setattr(os.path, "exists", lambda path: False)
    fork = "import os, threading, time; threading.Thread(target=lambda: (os.fork(), time.sleep(60))).start()"
    script = f"{sys.executable} -c '{fork}' & sleep 60 & (sleep 60; :) & echo; read end"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as top:
        try:
            wait.until(lambda: len(processes.below(top.pid)) == 5, what="all five", timeout_s=60)
            assert processes.below(top.pid) == processes.descendants(top.pid)
        finally:
            for pid in [*processes.below(top.pid), top.pid]:
                os.kill(pid, signal.SIGKILL)
    assert processes.below(top.pid) == set()
