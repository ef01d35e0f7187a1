"""stream.RunnerStream against a channel of which the test is the other end: what a runner says, also a hostile one."""

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from inventory.machine import Machine
from jobs.errors import StoreUnavailable
from jobs.model import ReportAnswer
from orchestrator.errors import NodeUnfit, NodeUnreachable
from orchestrator.node import stream
from orchestrator.node.events import MachineEvent, RunnerGone, RunnerUp, Trouble
from orchestrator.node.site import Site
from orchestrator.node.stream import RunnerStream, StreamTerms
from remote_runner import protocol
from remote_runner.protocol import Assignment, Record
from tests.support import wait
from tests.support.fake_transport import FakeTransport

pytestmark = pytest.mark.usefixtures("leak_check")


class Terms:
    """What a stream is told to do with keys and records, written down."""

    def __init__(self) -> None:
        self.offered: list[str] = []
        self.up: list[tuple[str, str, str]] = []
        self.live: list[tuple[Any, ...]] = []
        self.left: list[tuple[str, str]] = []
        self.taken: list[Sequence[Record]] = []
        self.away = threading.Event()
        self.stop: list[tuple[int, int]] = []

    def new_runner(self, machine_id: str) -> tuple[str, bytes]:
        if self.away.is_set():
            raise StoreUnavailable("a test said so")
        self.offered.append(f"r{len(self.offered) + 1}")
        return self.offered[-1], b"key"

    def take(self, machine_id: str, runner: str, records: Sequence[Record]) -> ReportAnswer:
        if self.away.is_set():
            raise StoreUnavailable("a test said so")
        self.taken.append(records)
        return ReportAnswer(max(record.seq for record in records), self.stop)

    def terms(self) -> StreamTerms:
        return StreamTerms(
            server_id="s1",
            linger_s=20,
            orphan_s=600,
            new_runner=self.new_runner,
            runner_up=lambda *words: self.up.append(words),
            runner_left=lambda *words: self.left.append(words),
            take_records=self.take,
            take_live=lambda *words: self.live.append(words),
        )


class Talk:
    """A stream, the channel's other end, and what was told of it."""

    def __init__(self) -> None:
        self.transport = FakeTransport()
        self.terms = Terms()
        self.told: queue.SimpleQueue[MachineEvent] = queue.SimpleQueue()
        site = Site("/srv/s1", "python3", "/srv/s1/runner/abc.pyz")
        self.stream = RunnerStream(Machine(machine_id="m1"), site, self.terms.terms(), self.told.put)

    def attach(self, **hello: Any) -> None:
        self.transport.on_open = lambda channel: channel.answer_hello(**hello)
        self.stream.attach(self.transport, None)

    def heard(self) -> MachineEvent:
        return self.told.get(timeout=20)

    def say(self, **message: Any) -> None:
        self.transport.channel.say(message)

    def gets(self, kind: str) -> dict[str, Any]:
        return self.transport.channel.gets(kind)


@pytest.fixture
def talk() -> Iterator[Talk]:
    made = Talk()
    yield made
    made.stream.close()


def test_it_greets_and_says_what_the_runner_holds(talk: Talk) -> None:
    talk.attach(runner="r1", held=[[1, 2, "running"], [3, 1, "queued"]], unread=["r0"])
    assert talk.heard() == RunnerUp("m1", talk.stream.number, frozenset({(1, 2), (3, 1)}), unread=True)
    assert talk.terms.up == [("m1", "r1", "r1")]
    talk.transport.channel.hang_up()
    assert talk.heard() == RunnerGone("m1", talk.stream.number, left=False)


def test_a_goodbye_is_told_apart_from_an_end(talk: Talk) -> None:
    talk.attach(runner="r1")
    talk.heard()
    talk.say(t="leaving", runner="r1")
    talk.transport.channel.hang_up()
    assert talk.heard() == RunnerGone("m1", talk.stream.number, left=True)
    assert talk.terms.left == [("m1", "r1")]


@pytest.mark.parametrize(
    "held",
    [None, "all", [1], [["1", 2]], [[1.0, 2]], [[True, 1]], [[2**70, 1]], [[-1, 1]], [[1]], {"1": 2}],
)
def test_a_hello_of_nonsense_is_refused_whole(talk: Talk, held: Any) -> None:
    with pytest.raises(NodeUnfit, match="did not start"):
        talk.attach(runner="r1", held=held)
    assert isinstance(talk.heard(), Trouble)


def test_a_hello_without_measure_is_refused(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HELD_LIMIT", 3)
    with pytest.raises(NodeUnfit):
        talk.attach(runner="r1", held=[[number, 1, "queued"] for number in range(4)])


def test_names_a_node_gives_are_short_and_harmless(talk: Talk) -> None:
    talk.attach(runner="\x1b[2J" + "r" * 10_000)
    name = talk.terms.up[0][2]
    assert len(name) <= 200
    assert name.isprintable()


def test_a_second_hello_ends_the_stream(talk: Talk) -> None:
    """Or attempts that were sent meanwhile would seem unknown to the runner."""
    talk.attach(runner="r1")
    talk.heard()
    talk.say(t="hello", v=protocol.VERSION, runner="r1", held=[])
    assert isinstance(talk.heard(), Trouble)
    assert talk.heard() == RunnerGone("m1", talk.stream.number, left=False)


def test_records_wait_for_a_store_that_is_away(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STORE_AWAY_S", 0.01)
    talk.attach(runner="r1")
    talk.terms.away.set()
    talk.say(t="records", runner="old", records=[[7, "end", 1, 1, {"ok": True}]])
    assert talk.transport.channel.heard("stored") == []
    talk.terms.away.clear()
    assert talk.gets("stored") == {"t": "stored", "runner": "old", "seq": 7}
    assert talk.stream.open


def test_records_that_wait_do_not_outlive_the_stream(talk: Talk) -> None:
    talk.attach(runner="r1")
    talk.terms.away.set()
    talk.say(t="records", runner="old", records=[[7, "end", 1, 1, {"ok": True}]])
    talk.stream.close()
    assert isinstance(talk.heard(), RunnerUp)
    assert isinstance(talk.heard(), RunnerGone)


def test_attempts_that_no_longer_count_are_ended_over_the_channel_too(talk: Talk) -> None:
    talk.attach(runner="r1")
    talk.terms.stop = [(5, 2)]
    talk.say(t="records", runner="r1", records=[[1, "start", 5, 2, {}]])
    assert talk.gets("kill")["attempts"] == [[5, 2]]


@pytest.mark.parametrize(
    "records",
    ["no", [[1, "end", 2**70, 1, {}]], [[-1, "end", 1, 1, {}]], [[1, "end", 1, 1, {}]] * 2001],
)
def test_records_nobody_could_store_end_the_stream(talk: Talk, records: Any) -> None:
    talk.attach(runner="r1")
    talk.say(t="records", runner="r1", records=records)
    assert isinstance(talk.heard(), RunnerUp)
    assert isinstance(talk.heard(), Trouble)
    assert isinstance(talk.heard(), RunnerGone)
    assert talk.terms.taken == []


def test_a_flood_of_troubles_is_not_passed_on(talk: Talk) -> None:
    talk.attach(runner="r1")
    for number in range(500):
        talk.say(t="trouble", reason="x\n" * 100, text=f"{number}\x1b[31m" + "y" * 10_000)
    talk.transport.channel.hang_up()
    told = [talk.heard()]
    while not isinstance(told[-1], RunnerGone):
        told.append(talk.heard())
    troubles = [event for event in told if isinstance(event, Trouble)]
    assert len(troubles) == stream.TROUBLES_A_MINUTE
    assert all(len(trouble.text) <= 2000 and trouble.text.isprintable() for trouble in troubles)


def test_a_runner_that_does_not_start_says_why(talk: Talk) -> None:
    talk.transport.on_open = lambda channel: channel.hang_up("ModuleNotFoundError: no zlib")
    with pytest.raises(NodeUnfit, match="no zlib"):
        talk.stream.attach(talk.transport, None)
    assert talk.told.empty()


def test_what_a_shell_muttered_does_not_make_a_lost_connection_a_sick_machine(talk: Talk) -> None:
    def cut(channel: Any) -> None:
        talk.transport.cut()
        channel.hang_up("setlocale: cannot change locale")

    talk.transport.on_open = cut
    with pytest.raises(NodeUnreachable):
        talk.stream.attach(talk.transport, None)


def test_without_the_store_nothing_is_opened(talk: Talk) -> None:
    talk.terms.away.set()
    with pytest.raises(StoreUnavailable):
        talk.stream.attach(talk.transport, None)
    assert talk.transport.channels == []


def test_frames_stay_below_the_limit_whatever_the_inputs_are_made_of(talk: Talk) -> None:
    talk.attach(runner="r1")
    jobs = [Assignment(number, 1, "crawl@0", '{"args":["' + "é" * 3_900_000 + '"]}') for number in range(3)]
    talk.stream.assign(jobs, {})
    wait.until(lambda: sum(len(frame["jobs"]) for frame in talk.transport.channel.heard("assign")) == 3)


def test_what_is_watched_goes_to_who_knows_of_it(talk: Talk) -> None:
    talk.attach()
    talk.say(t="log", n=1, text="x")
    talk.say(t="progress", rows=[])
    wait.until(lambda: len(talk.terms.live) == 2)
    assert [(words[0], words[1]["t"]) for words in talk.terms.live] == [("m1", "log"), ("m1", "progress")]
