"""Watches and progress on the node: what is sent, how much of it, until when; what a bar says."""

from pathlib import Path
from typing import Any

import pytest

from remote_runner import logs, multijob_progress, progress
from remote_runner.attempt import Attempt
from remote_runner.progress import Reached
from remote_runner.protocol import LOG_FRAME_BYTES, LOG_WINDOW_BYTES
from remote_runner.watches import LONGEST_S, MOST, TURN_BYTES, Watches

KEY = (7, 1)


class Node:
    """An attempt that prints, and those who watch it."""

    def __init__(self, tmp_path: Path) -> None:
        self.attempt = Attempt(1, *KEY, "talk@0", b"")
        self.held = {KEY: self.attempt}
        self.watches = Watches(self.held.get)
        self._run = str(tmp_path)
        (tmp_path / "attempts").mkdir()

    def write(self, data: bytes) -> None:
        self.attempt.open_logs(self._run)[0].write(data)

    def ask(self, n: int = 1, offset: int = 0, upto: int | None = None, for_s: float = 10, now: float = 0) -> None:
        where = {"job": 7, "attempt": 1, "stream": "stdout", "offset": offset}
        self.watches.ask({"t": "watch", "n": n, "upto": upto, "for_s": for_s, **where}, now)

    def turn(self, now: float = 0) -> list[dict[str, Any]]:
        return self.watches.turn(now)

    def all(self) -> bytes:
        """Everything there is for watch 1 now."""
        found = b""
        while frames := self.turn():
            found += b"".join(frame["text"].encode() for frame in frames)
        return found


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_nothing_flows_while_nobody_looks(node: Node) -> None:
    node.write(b"unheard\n")
    assert node.turn() == []


def test_the_first_frame_says_where_it_stands_and_more_follows_as_it_comes(node: Node) -> None:
    node.ask()
    (first,) = node.turn()
    assert (first["offset"], first["total"], first["text"]) == (0, 0, "")
    assert node.turn() == []
    node.write("eins\nzwölf\n".encode())
    (next_,) = node.turn()
    assert (next_["n"], next_["offset"], next_["total"], next_["text"]) == (1, 0, 12, "eins\nzwölf\n")
    assert node.turn() == []


def test_no_more_is_sent_than_was_asked_for(node: Node) -> None:
    node.write(b"x" * 2_000_000)
    node.ask()
    assert len(node.all()) == LOG_WINDOW_BYTES
    node.ask(upto=LOG_WINDOW_BYTES + 10)
    assert len(node.all()) == 10
    node.ask(upto=5)  # a late word takes nothing back, and gives nothing
    assert node.all() == b""


def test_all_watches_share_a_turn_and_each_is_served(node: Node) -> None:
    node.write(b"x" * 500_000)
    for n in range(3):
        node.ask(n)
    turns = [node.turn() for _ in range(6)]
    assert all(sum(len(one["text"]) for one in turn) <= TURN_BYTES for turn in turns)
    assert all(len(one["text"]) <= LOG_FRAME_BYTES for turn in turns for one in turn)
    assert {one["n"] for turn in turns for one in turn} == {0, 1, 2}


def test_a_watch_ends_by_itself_with_its_attempt_with_its_channel_and_when_told(node: Node) -> None:
    for end in ("time", "attempt", "channel", "word"):
        node.held[KEY] = node.attempt
        node.ask(now=0, for_s=10**9)
        assert node.turn(now=0)
        node.write(b"more\n")
        if end == "attempt":
            del node.held[KEY]
        elif end == "channel":
            node.watches.forget()
        elif end == "word":
            node.ask(for_s=0)
        assert node.turn(now=LONGEST_S if end == "time" else 1) == []


def test_there_are_only_so_many(node: Node) -> None:
    for n in range(2 * MOST):
        node.ask(n)
    seen = set()
    for _ in range(4):
        seen |= {one["n"] for one in node.turn()}
    assert seen == set(range(MOST))


def test_characters_come_whole_and_offsets_count_bytes(node: Node) -> None:
    node.ask()
    node.turn()
    node.write("汉".encode()[:2])
    assert node.turn() == []
    node.write("汉".encode()[2:] + b"caf\xe9 \0\n")
    (frame,) = node.turn()
    assert frame["text"] == "汉caf? ?\n"
    assert len(frame["text"].encode()) == frame["total"] == 10


def test_from_the_end_begins_with_a_character(node: Node) -> None:
    node.write("汉字".encode())
    node.ask(offset=-4)
    (frame,) = node.turn()
    assert (frame["offset"], frame["text"]) == (3, "字")


def test_bytes_that_are_gone_are_skipped(node: Node) -> None:
    size = logs.FILE_HEAD_BYTES + logs.FILE_RING_BYTES + 500_000
    node.write(b"x" * size)
    node.ask(offset=logs.FILE_HEAD_BYTES)
    frame = node.turn()[0]
    assert frame["offset"] == size - logs.FILE_RING_BYTES
    assert frame["total"] == size


# ------------------------------------------------------------------------------------------------------------ progress


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("\r  0%|          | 0/200 [00:00<?, ?it/s]", Reached(0, 200)),
        ("\r 45%|████▌     | 45/100 [00:04<00:05,  9.98it/s]\r 46%|████▌     | 46/100 [00:04<00:05, 9.98it/s]",
         Reached(46, 100)),
        ("\repoch 3:  45%|####5     | 45/100 [01:02:03<00:05,  9.98s/it, loss=0.3]", Reached(45, 100)),
        ("\rdata:  10%|█         | 1.05M/10.5M [00:01<00:09, 1.05MB/s]", Reached(1.05e6, 10.5e6)),
        ("\r45it [00:04,  9.98it/s]", Reached(45, None)),
        ("\rrows: 1.2krows [00:04,  9.98rows/s]", Reached(1200, None)),
        ("100%|██████████| 3/3 [00:00<00:00, 9.9it/s]\ndone\n", Reached(3, 3)),
        # An inner bar stands below the outer one, and the cursor goes up again.
        ("\r 50%|█████     | 1/2 [00:01<00:01,  1.0s/it]\n\r 10%|█         | 1/10 [00:00<00:00, 9.9it/s]\x1b[A",
         Reached(1, 2)),
        ("warning: 45% of 100 | things | [00:04]\n", None),
        ("\r 45%|####5     | 45/0 [00:04<00:05]", None),
        ("", None),
    ],
)  # fmt: skip
def test_bars(printed: str, expected: Reached | None) -> None:
    assert progress.bar(printed.encode()) == expected


def test_a_cut_bar_is_none_or_right() -> None:
    whole = "\r 45%|████▌     | 45/100 [00:04<00:05,  9.98it/s]".encode()
    found = {progress.bar(whole[start:end]) for start in range(len(whole)) for end in range(start, len(whole))}
    assert found <= {None, Reached(45, 100)}


def test_what_is_reported_counts_for_the_attempt_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "0.progress"
    monkeypatch.setenv(multijob_progress.VARIABLE, str(path))
    clock = iter([10.0, 10.01, 10.02, 10.5])
    monkeypatch.setattr(multijob_progress.time, "monotonic", lambda: next(clock))
    multijob_progress.report(1, 4)
    multijob_progress.report(2, 4)  # too soon to be written
    assert progress.reported(str(path), 9.0) == Reached(1, 4)
    multijob_progress.report(4, 4)  # done is always told
    assert progress.reported(str(path), 9.0) == Reached(4, 4)
    assert progress.reported(str(path), 10.1) is None  # an earlier attempt's
    multijob_progress.report(5)
    assert progress.reported(str(path), 10.1) == Reached(5, None)


@pytest.mark.parametrize("values", [(float("nan"), 1.0), (-1.0, 1.0), (1.0, -1.0), (1e300, 1.0), (1.0, float("inf"))])
def test_nonsense_is_not_reported(tmp_path: Path, values: tuple[float, float]) -> None:
    path = tmp_path / "0.progress"
    path.write_bytes(multijob_progress.RECORD.pack(*values, 5.0))
    assert progress.reported(str(path), 1.0) is None
    path.write_bytes(b"short")
    assert progress.reported(str(path), 1.0) is None


def test_outside_of_a_job_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(multijob_progress.VARIABLE, raising=False)
    multijob_progress.report(1, 2)
    monkeypatch.setenv(multijob_progress.VARIABLE, str(tmp_path / "none" / "file"))
    multijob_progress.report(1, 2)
