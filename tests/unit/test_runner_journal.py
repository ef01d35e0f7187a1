"""The journal outlives everything: each held attempt gets exactly one end, wherever the writing was cut off."""

import json
import resource
from pathlib import Path

import pytest

from remote_runner import journal, marks
from remote_runner.journal import Journal, Left
from remote_runner.outbox import Outbox


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write_some(folder: Path) -> tuple[Journal, Outbox]:
    lines = Journal(str(folder), "one")
    box = Outbox(lines)
    lines.hold([(1, 1), (2, 1), (3, 2)])
    box.add(b"start", 1, 1, b"{}")
    box.add(b"end", 1, 1, b'{"ok":true,"result":"1"}')
    box.add(b"back", 2, 1, b'{"why":"recalled"}')
    lines.hold([(4, 1)])
    return lines, box


def rows(left: Left) -> list[list[object]]:
    return [json.loads(text) for text in left.texts(1000, 1 << 30)]


def test_what_is_open_ends_by_the_evidence_of_the_marks(folder: Path) -> None:
    lines, _ = write_some(folder)
    assert lines.flush()
    page = marks.add_page(marks.open_file(journal.marks_of(str(folder), "one")), 0)
    page.begin(5, 3, 2, 77)
    found = rows(Left(str(folder), "one"))
    assert [row[:4] for row in found] == [
        [1, "start", 1, 1],
        [2, "end", 1, 1],
        [3, "back", 2, 1],
        [4, "end", 3, 2],
        [5, "end", 4, 1],
    ]
    assert [row[4]["started"] for row in found[3:]] == [True, False]  # type: ignore[index]
    assert all(row[4]["reason"] == "died" for row in found[3:])  # type: ignore[index]


def test_reading_twice_changes_nothing(folder: Path) -> None:
    lines, _ = write_some(folder)
    lines.flush()
    first = rows(Left(str(folder), "one"))
    assert rows(Left(str(folder), "one")) == first


def test_cut_off_anywhere_each_attempt_has_one_end(folder: Path) -> None:
    lines, _ = write_some(folder)
    lines.flush()
    whole = Path(journal.path_of(str(folder), "one")).read_bytes()
    for size in range(len(whole) + 1):
        for tail in (b"", b"\0\0\0"):
            Path(journal.path_of(str(folder), "cut")).write_bytes(whole[:size] + tail)
            left = Left(str(folder), "cut")
            ended = [(row[2], row[3]) for row in rows(left) if row[1] != "start"]
            held = {
                tuple(key)
                for line in whole[:size].split(b"\n")[:-1]
                if line.startswith(b'{"held"')
                for key in json.loads(line)["held"]
            }
            assert sorted(ended) == sorted(held)
            assert len({row[0] for row in rows(left)}) == len(rows(left))
            left.remove()


def test_stored_records_are_not_sent_again_and_the_file_goes(folder: Path) -> None:
    lines, _ = write_some(folder)
    lines.flush()
    left = Left(str(folder), "one")
    left.stored(3)
    assert [row[0] for row in rows(left)] == [4, 5]
    left.stored(5)
    assert not left.places
    left.remove()
    assert not list(folder.iterdir())
    assert journal.left_behind(str(folder)) == []


def test_a_full_disk_keeps_the_lines_for_later(folder: Path) -> None:
    lines, box = write_some(folder)
    assert lines.flush()
    before = Path(journal.path_of(str(folder), "one")).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
        box.add(b"end", 4, 1, b'{"ok":true,"result":"%s"}' % (b"x" * 500))
        assert not lines.flush()
        assert Path(journal.path_of(str(folder), "one")).read_bytes() == before
        assert lines.is_waiting
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    box.add(b"end", 3, 2, b'{"ok":true,"result":"3"}')
    assert lines.flush()
    assert [row[0] for row in rows(Left(str(folder), "one"))] == [1, 2, 3, 4, 5]


def test_a_large_batch_is_cut_by_size(folder: Path) -> None:
    lines = Journal(str(folder), "one")
    box = Outbox(lines)
    for job in range(4):
        box.add(b"end", job, 1, b'{"ok":true,"result":"%s"}' % (b"x" * 1000))
    lines.flush()
    left = Left(str(folder), "one")
    assert len(left.texts(1000, 2500)) == 2
    assert len(left.texts(1000, 10)) == 1
    assert len(left.texts(3, 1 << 30)) == 3
