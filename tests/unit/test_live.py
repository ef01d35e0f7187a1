"""What running attempts print and how far they are, as the server keeps it: windows, hostile frames, paces."""

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import live, logs, progress
from jobs.errors import TooMuch
from jobs.live import Asked, Live, Seen
from jobs.model import Command, CommandState, Progress
from jobs.windows import KEPT_BYTES, Aim, Window
from remote_runner.logs import Log
from remote_runner.protocol import LOG_FRAME_BYTES, LOG_WINDOW_BYTES
from tests.support.fake_service import job_of

KEY = (7, 1)


def window(offset: int = 0) -> Window:
    return Window(1, Aim("m1", KEY, "stdout", offset))


# ------------------------------------------------------------------------------------------------------------- windows


def test_frames_follow_one_another():
    one = window()
    assert not one.holds(0)
    one.take(0, 3, "abc")
    one.take(3, 7, "defg")
    assert one.read(0, 100) == (0, "abcdefg")
    assert one.read(5, 1) == (5, "f")
    assert (one.end, one.total, one.holds(7), one.holds(8)) == (7, 7, True, False)


def test_a_frame_that_comes_twice_says_nothing():
    one = window()
    one.take(0, 3, "abc")
    one.take(0, 3, "abc")
    one.take(1, 3, "xx")
    assert one.read(0, 100) == (0, "abc")


def test_bytes_that_are_gone_are_known_to_be():
    one = window()
    one.take(0, 3, "abc")
    one.take(100, 103, "xyz")
    assert one.read(3, 100) == (100, "xyz")
    assert one.holds(3)
    assert not one.holds(1)  # what was before them, another window must fetch


def test_from_the_end():
    one = window(-3)
    one.take(97, 100, "xyz")
    assert one.read(-3, 100) == (97, "xyz")
    assert (one.holds(97), one.holds(96)) == (True, False)


def test_an_offset_behind_the_end_is_the_end():
    one = window(50)
    one.take(10, 10, "")
    assert one.read(50, 100) == (10, "")


@given(st.lists(st.text(min_size=1, max_size=5), max_size=20), st.integers(16, 40))
def test_a_reader_gets_every_character_once(pieces, limit):
    one, text, at = window(), "".join(pieces), 0
    for piece in pieces:
        one.take(one.end, one.end + len(piece.encode()), piece)
    read = ""
    while at < len(text.encode()):
        offset, part = one.read(at, limit)
        assert (offset, len(part.encode()) <= limit) == (at, True)
        at, read = at + len(part.encode()), read + part
    assert read == text


def test_a_window_is_bounded_and_cuts_no_character():
    one = window()
    for _ in range(40):
        one.take(one.end, one.end + LOG_FRAME_BYTES, "汉" * (LOG_FRAME_BYTES // 3))
    offset, text = one.read(0, 10**9)
    assert len(text.encode()) <= KEPT_BYTES
    assert set(text) == {"汉"}
    assert offset + len(text.encode()) == one.end == 40 * LOG_FRAME_BYTES


# ---------------------------------------------------------------------------------------------------------------- live


class Runner:
    """The machine's end: what it was told, and an answer to it."""

    def __init__(self, printed: str = "") -> None:
        self.live = Live(commands=None)  # type: ignore[arg-type]  # asked in other processes only
        self.live.on_watch = self.hear
        self.there = True
        self.printed = printed
        self.told: list[Mapping[str, object]] = []

    def hear(self, machine_id: str, message: Mapping[str, object]) -> bool:
        if self.there:
            self.told.append(message)
            if message["for_s"]:
                self.send(message["n"], message["offset"], message["upto"], machine_id)
        return self.there

    def send(self, number: Any, offset: Any, upto: Any = None, machine_id: str = "m1") -> None:
        data = self.printed.encode()
        offset = max(0, len(data) + offset) if offset < 0 else offset
        upto = min(len(data), upto or offset + LOG_WINDOW_BYTES)
        while True:
            text = data[offset : min(upto, offset + LOG_FRAME_BYTES)].decode()
            self.live.take(machine_id, {"t": "log", "n": number, "offset": offset, "total": len(data), "text": text})
            offset += len(text)
            if offset >= upto:
                return

    def look(self, offset: int = 0, limit: int = 1000, stream: str = "stdout", wait_s: float = 0) -> Seen:
        return self.live.look(Asked("m1", *KEY, stream, offset, limit), wait_s)


def test_the_first_look_asks_the_machine_and_the_next_ones_read_what_came():
    runner = Runner("hello\n")
    assert runner.look() == Seen(0, "hello\n", 6, live=True)
    assert runner.look() == Seen(0, "hello\n", 6, live=True)
    assert runner.look(6) == Seen(6, "", 6, live=True)
    first, *more = runner.told
    assert (first["job"], first["attempt"], first["stream"], first["offset"], first["upto"]) == (
        7,
        1,
        "stdout",
        0,
        None,
    )
    assert all(one["n"] == first["n"] for one in more)


def test_a_reader_who_comes_on_is_given_more_and_one_who_rests_is_not():
    runner = Runner("x" * LOG_WINDOW_BYTES * 3)
    at = 0
    while at < len(runner.printed):
        text = runner.look(at, limit=50_000).text
        assert text
        at += len(text)
        asked = [one["upto"] for one in runner.told if one["upto"] is not None]
        assert max(asked, default=0) <= at + LOG_WINDOW_BYTES
    assert asked == sorted(asked)
    assert len(asked) < 20


def test_readers_at_different_places_do_not_disturb_each_other():
    runner = Runner("".join(f"{n:07}\n" for n in range(100_000)))
    assert runner.look(0).text.startswith("0000000\n")
    assert runner.look(-8).text == "0099999\n"
    asked = len(runner.told)
    assert runner.look(0).text.startswith("0000000\n")
    assert runner.look(len(runner.printed)).text == ""
    assert {one["n"] for one in runner.told[:asked]} == {one["n"] for one in runner.told}


def test_there_are_few_windows_onto_a_stream_and_a_machine_hears_which_end():
    runner = Runner("x" * 10**7)
    for n in range(live.A_STREAM + 2):
        runner.look(n * 10**6)
    ended = [one["n"] for one in runner.told if not one["for_s"]]
    assert len(ended) == 2
    assert ended == sorted({one["n"] for one in runner.told})[:2]


def test_a_machine_that_is_away_is_told_so_at_once():
    runner = Runner("hello\n")
    runner.there = False
    assert runner.look(wait_s=20) == Seen(0, "", 0, live=False)
    assert runner.look(-5) == Seen(-5, "", 0, live=False)
    runner.there = True
    assert runner.look() == Seen(0, "hello\n", 6, live=True)
    runner.there = False
    runner.printed += "more\n"
    assert runner.look(6).text == ""


def test_whoever_waits_hears_at_once():
    runner = Runner()
    seen: list[Seen] = []
    runner.look()
    thread = threading.Thread(target=lambda: seen.append(runner.look(wait_s=60)))
    thread.start()
    runner.printed = "now\n"
    runner.send(runner.told[0]["n"], 0)
    thread.join(30)
    assert seen == [Seen(0, "now\n", 4, live=True)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 99},
        {"n": "1"},
        {"offset": -1},
        {"offset": 10, "total": 5},
        {"offset": 2**70, "total": 2**71},
        {"offset": None},
        {"total": 1.5},
        {"text": ["x"]},
        {"text": "x" * (LOG_FRAME_BYTES + 1)},
        {"t": "progress", "rows": "x"},
        {"t": "progress", "rows": [[7, 1]]},
    ],
)
def test_a_frame_that_makes_no_sense_changes_nothing(wrong):
    runner = Runner("ab")
    runner.look()
    frame = {"t": "log", "n": runner.told[0]["n"], "offset": 2, "total": 5, "text": "xyz", **wrong}
    runner.live.take("m1", frame)
    assert runner.look() == Seen(0, "ab", 2, live=True)


def test_a_machine_speaks_for_itself_only():
    runner = Runner("ab")
    runner.look()
    runner.live.take("m2", {"t": "log", "n": runner.told[0]["n"], "offset": 2, "total": 5, "text": "xyz"})
    assert runner.look().text == "ab"


def test_halves_of_pairs_are_harmless():
    runner = Runner()
    runner.look()
    runner.live.take("m1", {"t": "log", "n": runner.told[0]["n"], "offset": 0, "total": 3, "text": "a\ud800b"})
    assert runner.look().text == "a?b"


def test_memory_is_bounded_whatever_is_looked_at():
    runner = Runner("x" * 10**6)
    for job in range(live.IN_ALL * 2):
        runner.live.look(Asked("m1", job, 1, "stdout", 0, 1000))
    assert len(runner.live._held) <= live.IN_ALL


class Table:
    """The commands of another process, answered by an engine or not."""

    def __init__(self, engine: Live | None, full: bool = False) -> None:
        self._engine = engine
        self._full = full
        self.rows: dict[int, Mapping[str, Any]] = {}

    def ask(self, kind: str, machine_id: str, args: Mapping[str, Any], *, who: str) -> int:
        if self._full:
            raise TooMuch("no")
        self.rows[1] = args
        return 1

    def wait(self, number: int, *, seen: int, timeout_s: float) -> Command:
        answer = None if self._engine is None else self._engine.answer(self.rows[number])
        state = CommandState.WAITING if answer is None else CommandState.DONE
        return Command(
            command_id=number, kind="log", machine_id="m1", args={}, asked_by="", state=state, progress=[],
            answer=answer, created_at=0, begun_at=None, ended_at=None,
        )  # fmt: skip

    def forget(self, number: int) -> None:
        del self.rows[number]


def test_another_process_asks_the_engine_and_leaves_nothing_behind():
    table = Table(Runner("hello\n").live)
    assert Live(table).look(Asked("m1", *KEY, "stdout", 0, 10**6), wait_s=20) == Seen(0, "hello\n", 6, live=True)
    assert table.rows == {}


@pytest.mark.parametrize("table", [Table(None), Table(None, full=True)])
def test_without_an_engine_nothing_is_known(table):
    assert Live(table).look(Asked("m1", *KEY, "stdout", 5, 100)) == Seen(5, "", 0, live=False)
    assert table.rows == {}


# ------------------------------------------------------------------------------------------------------------ progress


def test_the_pace_since_it_was_first_heard_of_says_when_it_is_there():
    track = progress.moved(None, 10, 100, 1000.0)
    assert track.reached == Progress(10, 100, None, 1000.0)
    track = progress.moved(track, 20, 100, 1005.0)
    assert track.reached == Progress(20, 100, 40.0, 1005.0)
    assert progress.moved(track, 20, 100, 1009.0) is track
    assert progress.moved(track, 100, 100, 1045.0).reached == Progress(100, 100, 0.0, 1045.0)
    assert progress.moved(track, 5, 100, 1010.0).reached == Progress(5, 100, None, 1010.0)
    assert progress.moved(track, 30, 200, 1010.0).reached == Progress(30, 200, None, 1010.0)
    assert progress.moved(progress.moved(None, 1, None, 1.0), 2, None, 2.0).reached == Progress(2, None, None, 2.0)


NONSENSE = [
    *([7, 1], [7, 1, "x", 1], [7, 1, True, 1], [7, 1, float("nan"), 1], [7, 1, -1, 1], [7, 1, 1, float("inf")]),
    *([7, 1, 1, 1e300], ["7", 1, 1, 1], [7, None, 1, 1], "row", None),
]


@pytest.mark.parametrize("row", NONSENSE)
def test_rows_that_make_no_sense_are_left_out(row):
    assert list(progress.tracks({}, [row, [8, 1, 1, 2]], 0.0)) == [(8, 1)]


def test_no_more_rows_are_kept_than_may_be():
    assert len(progress.tracks({}, [[n, 1, 1, 2] for n in range(5000)], 0.0)) == progress.ROWS_LIMIT


def test_progress_is_shown_of_what_runs_there():
    room = Live(commands=None, clock=lambda: 50.0)  # type: ignore[arg-type]
    room.take("m1", {"t": "progress", "rows": [[7, 2, 3, 4]]})
    running = job_of(7)._replace(status=1, machine_id="m1", attempt=2)
    assert room.progress(running) == Progress(3, 4, None, 50.0)
    assert room.progress(running._replace(attempt=1)) is None
    assert room.progress(running._replace(machine_id="m2")) is None
    assert room.progress(running._replace(status=3)) is None
    room.take("m1", {"t": "progress", "rows": []})
    assert room.progress(running) is None


# -------------------------------------------------------------------------------------- a log's two lives are the same


@pytest.fixture
def long_log(tmp_path) -> Iterator[Log]:
    log = Log(str(tmp_path / "log"))
    yield log
    log.close()


def test_offsets_of_a_live_log_go_on_in_the_kept_one(long_log):
    printed = "".join(f"zeile {n} é汉🎉\n" for n in range(40_000)).encode()
    long_log.write(printed)
    at, read = 0, b""
    while at < 20_000:
        offset, data = long_log.read(at, 1000)
        read, at = read + data, offset + len(data)
    record = long_log.record()
    whole = logs.Printed(record["head"], record["tail"], record["total"])
    while at < record["total"]:
        part = logs.part(whole, at, 5000)
        if part.offset > at:
            assert part.missing is not None
            read += b"?" * (part.offset - at)
        read, at = read + part.text.encode(), part.end
    assert len(read) == len(printed)
    begin, end = whole_hole = part.missing
    assert whole_hole
    assert (read[:begin], read[end:]) == (printed[:begin], printed[end:])
