"""Sealing, sweeping and purging a root; nothing leads outside it."""

import io
import os
import stat
import time
from pathlib import Path

import pytest

from orchestrator.node import difference
from remote_runner import digest, sealing, versions
from remote_runner.protocol import ProtocolError
from remote_runner.sealing import Refused


def stage(root: Path, name: str, content: str = "def work(): return 1\n") -> str:
    folder = root / name
    (folder / "deep").mkdir(parents=True)
    (folder / "main.py").write_text(content)
    (folder / "deep" / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "deep" / "tool.sh").chmod(0o755)
    return digest.of_folder(str(folder))


def test_seal_checks_makes_read_only_and_renames(tmp_path: Path) -> None:
    wanted = stage(tmp_path, "versions/crawl/.0-ab")
    answer = sealing.seal(str(tmp_path), "versions/crawl/.0-ab", "versions/crawl/0-ab", wanted)
    assert answer == {"sealed": "versions/crawl/0-ab", "was_there": False}
    sealed = tmp_path / "versions/crawl/0-ab"
    assert stat.S_IMODE((sealed / "main.py").stat().st_mode) == 0o400
    assert stat.S_IMODE((sealed / "deep/tool.sh").stat().st_mode) == 0o500
    assert not (tmp_path / "versions/crawl/.0-ab").exists()
    assert digest.of_folder(str(sealed)) == wanted


def test_an_equal_version_is_as_good_and_a_damaged_one_is_replaced(tmp_path: Path) -> None:
    wanted = stage(tmp_path, "stage/a")
    sealing.seal(str(tmp_path), "stage/a", "versions/crawl/0-ab", wanted)
    stage(tmp_path, "stage/a")
    assert sealing.seal(str(tmp_path), "stage/a", "versions/crawl/0-ab", wanted)["was_there"]
    assert not (tmp_path / "stage/a").exists()
    damaged = tmp_path / "versions/crawl/0-ab/main.py"
    damaged.chmod(0o600)
    damaged.write_text("tampered")
    stage(tmp_path, "stage/a")
    assert not sealing.seal(str(tmp_path), "stage/a", "versions/crawl/0-ab", wanted)["was_there"]
    assert digest.of_folder(str(tmp_path / "versions/crawl/0-ab")) == wanted


def test_a_wrong_digest_or_a_link_is_refused(tmp_path: Path) -> None:
    wanted = stage(tmp_path, "stage/a")
    with pytest.raises(Refused, match="has digest"):
        sealing.seal(str(tmp_path), "stage/a", "versions/crawl/0-ab", "0" * 64)
    (tmp_path / "stage/a/link").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        sealing.seal(str(tmp_path), "stage/a", "versions/crawl/0-ab", wanted)
    assert not (tmp_path / "versions").exists()


@pytest.mark.parametrize("path", ["../x", "/etc", "a/../../x"])
def test_nothing_leads_outside(tmp_path: Path, path: str) -> None:
    with pytest.raises(ProtocolError):
        sealing.seal(str(tmp_path), path, "versions/a/0-a", "")
    with pytest.raises(ProtocolError):
        sealing.seal(str(tmp_path), "stage/a", path, "")


def test_sweep_keeps_the_newest_the_named_and_the_used(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"versions/crawl/{number}-ab").mkdir(parents=True)
    (tmp_path / "versions/other/0-ab").mkdir(parents=True)
    worker = tmp_path / "run/workers/0"
    worker.mkdir(parents=True)
    (worker / "main.py").symlink_to(tmp_path / "versions/crawl/4-ab/main.py")
    old, new = tmp_path / "versions/crawl/.5-cd", tmp_path / "versions/crawl/.6-cd"
    for each in (old, new):
        each.mkdir()
    hour_ago = time.time() - 3700
    os.utime(old, (hour_ago, hour_ago))
    versions.sweep(str(tmp_path), ["2-ab", "versions/crawl/3-ab"])
    left = sorted(path.name for path in (tmp_path / "versions/crawl").iterdir())
    assert left == sorted([".6-cd", "2-ab", "3-ab", "4-ab", "9-ab", "10-ab", "11-ab"])
    assert (tmp_path / "versions/other/0-ab").exists()


def test_sweep_removes_journals_nobody_collected(tmp_path: Path) -> None:
    folder = tmp_path / "run/journal"
    folder.mkdir(parents=True)
    for name, age_days in (("old.jnl", 8), ("old.marks", 8), ("new.jnl", 6)):
        (folder / name).touch()
        then = time.time() - age_days * 86400
        os.utime(folder / name, (then, then))
    versions.sweep(str(tmp_path), [])
    assert [path.name for path in folder.iterdir()] == ["new.jnl"]


def test_sweep_removes_runners_of_long_ago(tmp_path: Path) -> None:
    folder = tmp_path / "runner"
    (folder / "old").mkdir(parents=True)
    for name in ("old.pyz", "new.pyz"):
        (folder / name).touch()
    then = time.time() - 31 * 86400
    for name in ("old.pyz", "old"):
        os.utime(folder / name, (then, then))
    versions.sweep(str(tmp_path), [])
    assert [path.name for path in folder.iterdir()] == ["new.pyz"]


def test_purge_removes_all_also_what_is_read_only(tmp_path: Path) -> None:
    root = tmp_path / "root"
    wanted = stage(root, "stage/a")
    sealing.seal(str(root), "stage/a", "versions/crawl/0-ab", wanted)
    (root / "run/journal").mkdir(parents=True)
    (root / "run/journal/r1.jnl").write_text("12345")
    answer = versions.purge(str(root))
    assert (answer["purged"], answer["stopped"], answer["left"]) == (True, False, [])
    told = {Path(one["path"]).name: (one["files"], one["bytes"]) for one in answer["removed"]}
    assert told["run"] == (1, 5)
    assert told["versions"][0] >= 1
    assert not root.exists()
    assert versions.purge(str(root))["purged"] is False


def test_purge_takes_the_folder_around_it_only_where_nothing_else_lies_in_that(tmp_path: Path) -> None:
    for server in ("one", "two"):
        (tmp_path / "around" / server).mkdir(parents=True)
    versions.purge(str(tmp_path / "around" / "one"))
    assert [path.name for path in (tmp_path / "around").iterdir()] == ["two"]
    versions.purge(str(tmp_path / "around" / "two"))
    assert not (tmp_path / "around").exists()


def test_sweep_removes_what_dead_runners_left_by_age_and_by_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "JOURNALS_LIMIT_BYTES", 25)
    journals, attempts = tmp_path / "run" / "journal", tmp_path / "run" / "attempts"
    now = time.time()
    for folder, name, days in [
        (journals, "week", 8.0),
        (journals, "much", 3.0),
        (journals, "older", 2.0),
        (journals, "young", 0.5),
        (journals, "new", 0.0),
        (attempts, "1-1.stdout", 8.0),
        (attempts, "2-1.stdout", 1.0),
    ]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x" * 10)
        os.utime(folder / name, (now - days * 86400,) * 2)
    versions.sweep(str(tmp_path), [])
    assert sorted(path.name for path in journals.iterdir()) == ["new", "young"]
    assert [path.name for path in attempts.iterdir()] == ["2-1.stdout"]


def _difference(root: Path, source: Path) -> bytes:
    said = difference.message(root / "versions/crawl/0-ab", source)
    assert said is not None
    return said


def _receive(root: Path, said: bytes, wanted: str) -> dict[str, object]:
    places = ("versions/crawl/0-ab", "versions/crawl/.stage-1", "versions/crawl/1-cd")
    return sealing.receive(str(root), *places, wanted, io.BytesIO(said))


@pytest.fixture
def changed(tmp_path: Path) -> tuple[Path, Path, str]:
    """A root with version 0, and the folder of version 1 beside it: one file as before, one other, one gone."""
    root, source = tmp_path / "root", tmp_path / "new"
    wanted = stage(root, "stage/a")
    (root / "stage/a/old").write_text("gone")
    sealing.seal(str(root), "stage/a", "versions/crawl/0-ab", digest.of_folder(str(root / "stage/a")))
    stage(source.parent, "new", "def work(): return 2\n")
    (source / "dé\udce9p").mkdir()
    (source / "dé\udce9p/new").write_bytes(os.urandom(3000))
    assert wanted != digest.of_folder(str(source))
    return root, source, digest.of_folder(str(source))


def test_what_is_as_before_is_linked_and_the_rest_comes(changed: tuple[Path, Path, str]) -> None:
    root, source, wanted = changed
    said = _difference(root, source)
    assert len(said) < 3200
    assert _receive(root, said, wanted) == {"sealed": "versions/crawl/1-cd", "was_there": False}
    old, new = root / "versions/crawl/0-ab", root / "versions/crawl/1-cd"
    assert digest.of_folder(str(new)) == wanted
    assert (new / "deep/tool.sh").samefile(old / "deep/tool.sh")
    assert stat.S_IMODE((new / "deep/tool.sh").stat().st_mode) == 0o500
    assert stat.S_IMODE((new / "main.py").stat().st_mode) == 0o400
    assert sorted(path.name for path in (root / "versions/crawl").iterdir()) == ["0-ab", "1-cd"]


def test_differences_from_a_damaged_version_or_cut_off_make_nothing(changed: tuple[Path, Path, str]) -> None:
    root, source, wanted = changed
    said = _difference(root, source)
    with pytest.raises(Refused, match="ended early"):
        _receive(root, said[:-1], wanted)
    with pytest.raises(ProtocolError, match="not a path below"):
        _receive(root, b'[["../x",false,0]]\n', wanted)
    tool = root / "versions/crawl/0-ab/deep/tool.sh"
    tool.chmod(0o700)
    tool.write_text("#!/bin/no\n")
    with pytest.raises(Refused, match="has digest"):
        _receive(root, said, wanted)
    tool.unlink()
    with pytest.raises(FileNotFoundError):
        _receive(root, said, wanted)
    assert sorted(path.name for path in (root / "versions/crawl").iterdir()) == ["0-ab"]


def test_what_is_large_is_no_message(changed: tuple[Path, Path, str], tmp_path: Path) -> None:
    root, _, _ = changed
    large = tmp_path / "large"
    stage(tmp_path, "large")
    (large / "data").write_bytes(bytes(difference.LIMIT_BYTES))
    assert difference.message(root / "versions/crawl/0-ab", large) is None
