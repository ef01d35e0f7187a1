"""When a batch of records goes: at once, unless more work waits here and the last one has only just gone."""

import selectors
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from remote_runner import courier
from remote_runner.journal import Journal
from remote_runner.outbox import Outbox, report_body
from remote_runner.postman import PACE_S, Postman
from remote_runner.stream import Stream


class Channel:
    """Takes frames and keeps them."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send_bytes(self, data: bytes) -> None:
        self.frames.append(data)


class Post:
    """A postman with a channel, and the box he empties."""

    def __init__(self, folder: Path) -> None:
        self.loop = selectors.DefaultSelector()
        self.box = Outbox(Journal(str(folder), "r1"))
        self.man = Postman(self.loop, "r1", b"key", self.box, lambda _: None)
        self.channel = Channel()
        self.man.use_channel(cast("Stream", self.channel))
        self.jobs = 0

    def ends(self) -> None:
        """One more attempt has ended."""
        self.jobs += 1
        self.box.add(b"end", self.jobs, 1, b"{}")

    def round(self, now: float) -> int:
        """What a round of the runner's does; how many batches have gone so far."""
        self.man.send(now)
        return len(self.channel.frames)


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    made = Post(tmp_path)
    yield made
    made.loop.close()


def test_where_nothing_waits_each_end_is_told_at_once(post: Post) -> None:
    for at in range(3):
        post.ends()
        assert post.round(100.0 + at * 0.001) == at + 1
        post.man.stored(at + 1)


def test_where_work_waits_ends_gather_to_one_report(post: Post) -> None:
    post.man.may_gather = True
    post.ends()
    assert post.round(100.0) == 1  # the last one is long ago
    post.man.stored(1)
    for _ in range(3):
        post.ends()
        assert post.round(100.0 + PACE_S / 2) == 1
    assert post.man.wait_s(100.0 + PACE_S / 2) == pytest.approx(PACE_S / 2)
    assert post.round(100.0 + PACE_S) == 2
    assert post.channel.frames[1].count(b'"end"') == 3


def test_it_gathers_no_longer_when_the_last_waiting_one_has_begun(post: Post) -> None:
    post.man.may_gather = True
    for seq in (1, 2):
        post.ends()
        post.man.may_gather = seq == 1
        assert post.round(100.0) == seq
        post.man.stored(seq)


def test_nothing_is_due_without_a_way_home(post: Post) -> None:
    post.ends()
    post.man.use_channel(cast("Any", None))
    assert post.man.wait_s(100.0) is None
    assert not post.man.may_send(100.0)


@pytest.mark.parametrize(("allowed", "size", "asked"), [(0, 900, 0), (500, 900, 500), (500, 100, 0)])
def test_the_courier_looks_for_long_texts_only_where_there_may_be_some(
    post: Post, monkeypatch: pytest.MonkeyPatch, allowed: int, size: int, asked: int
) -> None:
    line = Channel()
    monkeypatch.setattr(post.man, "_line", lambda: line)
    post.man.route.change("http://127.0.0.1:9/report")
    post.man.beside_bytes = allowed
    post.box.add(b"end", 1, 1, b'{"ok":true}')
    post.box.add(b"end", 2, 1, b'{"ok":true,"result":"%s"}' % (b"1" * size))
    post.man.send(100.0)
    body = report_body("r1", post.box.batch())
    assert line.frames == [courier.pack("http://127.0.0.1:9/report", body, asked)]
