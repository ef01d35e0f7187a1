"""session.Session over a transport that is the test: what breaks, what that costs, and that nothing is left behind."""

import json
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from inventory.machine import Machine
from jobs.errors import StoreUnavailable
from jobs.model import ReportAnswer
from orchestrator.errors import NodeRefused, NodeUnfit, NodeUnreachable
from orchestrator.node import scripts
from orchestrator.node import session as session_module
from orchestrator.node.events import Connected, Deployed, DeployFailed, Down, Loaded, MachineEvent, RunnerGone, RunnerUp
from orchestrator.node.pace import Pace
from orchestrator.node.session import Session, Surroundings
from orchestrator.node.stream import StreamTerms
from orchestrator.node.transport import Completed
from orchestrator.node.workshop import Workshop
from remote_runner.bundle import Bundle
from remote_runner.protocol import Assignment, Version
from tests.support import wait
from tests.support.fake_transport import FakeTransport

pytestmark = pytest.mark.usefixtures("leak_check")

FACTS = {
    "root": "/srv/multijob/s1",
    "python": "/usr/bin/python3",
    "version": "3.11.2",
    "platform": "linux",
    "cores": 4,
    "memory_mb": 9000,
    "disk_mb": 50000,
    "hostname": "lab",
    "user": "worker",
    "rsync": True,
    "after_logout": "stays",
    "runners": ["abc"],
    "versions": {},
    "journals": False,
}
USUAL = Pace()
VERSION = Version("crawl", 0, "versions/crawl/0-ab", "ab", None, {}, False, 0)
ONE = Assignment(1, 1, "crawl@0", '{"args":[]}')


def a_healthy_node(argv: Sequence[str]) -> Completed:
    """Answers first contact, polls and everything else."""
    mark = f"{argv[3]}\n".encode() if len(argv) > 3 else b""
    if argv[2] == scripts.FIND:
        return Completed(0, mark + json.dumps(FACTS).encode() + b"\n" + mark, b"")
    if argv[2] == scripts.POLL:
        return Completed(0, mark + b"load 0.5 0.4 0.3\n" + mark, b"")
    return Completed(0, b"{}", b"")


class Life:
    """One session and everything around it."""

    def __init__(self, folder: Path) -> None:
        self.transports: list[FakeTransport] = []
        self.on_run: Callable[[Sequence[str]], Completed] = a_healthy_node
        self.told: queue.SimpleQueue[MachineEvent] = queue.SimpleQueue()
        self.store_away = threading.Event()
        self.pools = [ThreadPoolExecutor(2), ThreadPoolExecutor(2)]
        bundle = folder / "abc.pyz"
        bundle.write_bytes(b"runner")
        around = Surroundings(
            server_id="s1",
            connect=self._transport,
            hands=self.pools[0],
            polls=self.pools[1],
            builders=self.pools[0],
            shop=Workshop(cache=Path(bundle).parent, wheels=Path(bundle).parent / "wheels"),
            bundle=Bundle(bundle, "abc"),
            terms=StreamTerms(
                server_id="s1",
                linger_s=20,
                orphan_s=600,
                new_runner=self._new_runner,
                runner_up=lambda *_: None,
                runner_left=lambda *_: None,
                take_records=lambda *_: ReportAnswer(0, []),
                take_live=lambda *_: None,
            ),
            report_port=1,
            report_url=None,
            pace=Pace(retry_first_s=0.01, retry_longest_s=0.05),
        )
        self.session = Session(Machine(machine_id="m1"), around, self.told.put)

    def _transport(self, _: Machine) -> FakeTransport:
        self.transports.append(FakeTransport())
        self.transports[-1].on_run = lambda argv: self.on_run(argv)
        return self.transports[-1]

    def _new_runner(self, _: str) -> tuple[str, bytes]:
        if self.store_away.is_set():
            raise StoreUnavailable("a test said so")
        return "r1", b"key"

    @property
    def transport(self) -> FakeTransport:
        return self.transports[-1]

    def heard(self, kind: type[MachineEvent]) -> Any:
        """The next event, which is of this kind."""
        event = self.told.get(timeout=20)
        assert isinstance(event, kind), event
        return event

    def ready(self) -> int:
        """Connected, with a runner that was compared; the number of its stream."""
        self.session.start()
        self.heard(Connected)
        self.session.ensure_runner()
        number = int(self.heard(RunnerUp).stream)
        self.session.go_on(number)
        return number

    def close(self) -> None:
        self.session.stop()
        self.session.join(20)
        for pool in self.pools:
            pool.shutdown()


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    monkeypatch.setattr(session_module, "WATCH_S", 0.02)
    made = Life(tmp_path)
    yield made
    made.close()


def test_it_feeds_after_the_comparison_only(life: Life) -> None:
    life.session.start()
    life.heard(Connected)
    life.session.assign([ONE], [])
    up = life.heard(RunnerUp)
    assert life.session.unsent() == {(1, 1)}
    life.session._versions["crawl@0"] = VERSION
    life.transport.channel.gets("hello")
    life.session.go_on(up.stream + 1)
    life.session.go_on(up.stream)
    assert life.transport.channel.gets("assign")["jobs"] == [list(ONE)]
    assert life.session.unsent() == set()


def test_an_agreement_on_one_stream_is_none_on_the_next(life: Life) -> None:
    """What was compared with the first runner says nothing of what the second holds."""
    first = life.ready()
    life.transport.channel.hang_up()
    assert life.heard(RunnerGone).stream == first
    life.session.ensure_runner()
    second = life.heard(RunnerUp).stream
    assert second != first
    life.session._versions["crawl@0"] = VERSION
    life.session.go_on(first)
    life.session.assign([ONE], [])
    life.session.ensure_runner()
    asked = threading.Event()
    life.session._asked.put(asked.set)
    assert asked.wait(20)
    assert life.session.unsent() == {(1, 1)}
    life.session.go_on(second)
    life.transport.channel.gets("assign")


def test_a_runner_that_is_just_leaving_costs_no_connection(life: Life) -> None:
    life.ready()
    life.session._versions["crawl@0"] = VERSION
    life.transport.channel.deaf = True
    life.session.assign([ONE], [])
    life.session.ensure_runner()
    heard = [life.told.get(timeout=20) for _ in range(2)]  # two threads tell, so in either order
    assert {type(event) for event in heard} == {RunnerGone, RunnerUp}
    assert len(life.transports) == 1


def test_a_broken_connection_is_told_and_made_anew(life: Life) -> None:
    life.ready()
    life.transport.cut()
    heard = [life.told.get(timeout=20) for _ in range(3)]
    assert {type(event) for event in heard} == {RunnerGone, Down, Connected}
    assert life.transports[0].closed
    assert len(life.transports) == 2


def test_many_connections_leave_nothing(life: Life) -> None:
    """leak_check looks at the threads; here, that every transport was closed."""
    life.session.start()
    for _ in range(20):
        life.heard(Connected)
        life.session.ensure_runner()
        life.heard(RunnerUp)
        life.transport.cut()
        while not isinstance(life.told.get(timeout=20), Down):
            pass
    assert all(transport.closed for transport in life.transports[:20])


def test_a_store_that_is_away_costs_no_connection(life: Life) -> None:
    life.session.start()
    life.heard(Connected)
    life.store_away.set()
    life.session.ensure_runner()
    asked = threading.Event()
    life.session._asked.put(asked.set)
    assert asked.wait(20)
    life.store_away.clear()
    life.heard(RunnerUp)
    assert len(life.transports) == 1


def test_a_runner_that_does_not_start_is_told_with_its_words(life: Life) -> None:
    life.session.start()
    life.heard(Connected)
    life.transport.on_open = lambda channel: channel.hang_up("no zlib here")
    life.session.ensure_runner()
    down = life.heard(Down)
    assert down.state == "unfit"
    assert "no zlib here" in down.text


def test_a_transport_that_fails_to_close_does_not_end_the_session(life: Life) -> None:
    life.session.start()
    life.heard(Connected)
    first = life.transport

    def broken() -> None:
        raise OSError("a test said so")

    first.close = broken  # type: ignore[method-assign]
    first.cut()
    life.heard(Down)
    life.heard(Connected)


def test_a_poll_of_the_last_connection_does_not_break_this_one(life: Life) -> None:
    go = threading.Event()
    asked = threading.Event()

    def slow(argv: Sequence[str]) -> Completed:
        if "loadavg" in argv[2] and life.told.empty() and threading.current_thread() is not life.session._thread:
            asked.set()
            go.wait(20)
            raise NodeUnreachable("it was cut")
        return a_healthy_node(argv)

    life.on_run = slow
    life.session.start()
    life.heard(Connected)
    life.session.poll()
    assert asked.wait(20)
    life.on_run = a_healthy_node
    life.transport.cut()
    life.heard(Down)
    life.heard(Connected)
    go.set()
    wait.until(lambda: not life.session._errands._polling.locked())
    life.session.poll()
    life.heard(Loaded)
    assert len(life.transports) == 2


def test_a_poll_without_an_answer_gives_the_connection_up(life: Life) -> None:
    life.session.start()
    life.heard(Connected)

    def silent(argv: Sequence[str]) -> Completed:
        raise NodeUnreachable("no answer in time")

    life.on_run = silent
    life.session.poll()
    assert "load" in life.heard(Down).text
    life.on_run = a_healthy_node
    wait.until(lambda: isinstance(life.told.get(timeout=20), Connected))


def test_a_folder_is_brought_or_it_says_why_not(life: Life, tmp_path: Path) -> None:
    life.session.start()
    life.heard(Connected)
    life.session.send_version("crawl", 0, "d" * 64, lambda: tmp_path, [])
    assert life.heard(Deployed) == Deployed("m1", "crawl", 0, "0-" + "d" * 16)
    life.on_run = lambda argv: Completed(1, b"", b"No space left on device")
    life.session.send_version("crawl", 1, "e" * 64, lambda: tmp_path, [])
    assert "No space left" in life.heard(DeployFailed).text


def test_a_stopped_session_ends_and_says_nothing_more(life: Life) -> None:
    life.ready()
    life.session.stop()
    life.session.join(20)
    assert not life.session.alive
    assert life.transport.closed
    told = []
    while not life.told.empty():
        told.append(life.told.get())
    assert [type(event) for event in told if isinstance(event, Down)] == []


@pytest.mark.parametrize(
    ("before_s", "error", "lasted_s", "wait_s"),
    [
        (0.0, NodeUnreachable("x"), 0.0, USUAL.retry_first_s),
        (8.0, NodeUnreachable("x"), 1.0, 16.0),
        (USUAL.retry_longest_s, NodeUnreachable("x"), 1.0, USUAL.retry_longest_s),
        (USUAL.retry_longest_s, NodeUnreachable("x"), 3600.0, USUAL.retry_first_s),
        (1.0, NodeRefused("x", pause=False), 0.0, 2.0),
        (1.0, NodeRefused("x", pause=True), 0.0, USUAL.retry_refused_s),
        (1.0, NodeUnfit("x"), 3600.0, USUAL.retry_refused_s),
    ],
)
def test_waits_grow_and_a_long_life_begins_them_anew(
    before_s: float, error: Any, lasted_s: float, wait_s: float
) -> None:
    assert USUAL.next_wait_s(before_s, error, lasted_s) == wait_s
