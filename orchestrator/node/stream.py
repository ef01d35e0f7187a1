"""The conversation with one runner over one channel: attach, hello, frames both ways. Acts; knows no jobs by name.

The session's thread sends; a reader thread of its own takes what the runner says and tells the engine.
"""

import contextlib
import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from inventory.machine import Machine
from jobs.errors import StoreUnavailable
from jobs.model import AttemptKey, ReportAnswer
from orchestrator.errors import NodeUnfit, NodeUnreachable, ProtocolError
from orchestrator.node.events import MachineEvent, RunnerGone, RunnerUp, Trouble
from orchestrator.node.site import Site
from orchestrator.node.transport import Channel, Transport
from remote_runner import protocol

log = logging.getLogger(__name__)

#: What a login shell may print before the mark, at most.
NOISE_LIMIT_BYTES: Final = 1 << 20
#: How long records wait for a store that is away; they are not acknowledged meanwhile.
STORE_AWAY_S: Final = 1.0
#: What of a machine gone mad, or hostile, is listened to.
HELD_LIMIT: Final = 200_000
NAME_LIMIT: Final = 200
TEXT_LIMIT: Final = 2000
TROUBLES_A_MINUTE: Final = 20
#: What the store keeps as an integer.
NUMBER_LIMIT: Final = 2**63 - 1

#: (machine id, runner id, records) -> what the store answers
TakeRecords = Callable[[str, str, Sequence[protocol.Record]], ReportAnswer]

#: (machine id, the frame)
TakeLive = Callable[[str, Mapping[str, Any]], None]

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamTerms:
    """What every runner is told, and who keeps its keys and takes its records."""

    server_id: str
    linger_s: float
    orphan_s: float
    #: Without an answered ping for so long, a runner ends what must not run in two places at once.
    silence_s: float = 1740.0
    #: How long a runner may take to greet back.
    hello_s: float = 20.0
    #: machine id -> an id and a key for a runner about to start.
    new_runner: Callable[[str], tuple[str, bytes]]
    #: (machine id, the id offered, the id of the runner that answered)
    runner_up: Callable[[str, str, str], None]
    #: (machine id, the id of a runner that holds nothing any more)
    runner_left: Callable[[str, str], None]
    take_records: TakeRecords
    #: (machine id, a frame of kind "log" or "progress"), unchecked but for its size
    take_live: TakeLive


class RunnerStream:
    """See the module. ``agreed`` turns true when the engine has compared what the runner holds."""

    def __init__(self, machine: Machine, site: Site, terms: StreamTerms, tell: Callable[[MachineEvent], None]) -> None:
        self.number = next(_numbers)
        self.agreed = False
        #: It said goodbye.
        self.left = False
        #: It greeted back, whatever happened after.
        self._has_greeted = False
        self._machine = machine
        self._site = site
        self._terms = terms
        self._tell = tell
        self._channel: Channel | None = None
        self._known: set[str] = set()
        self._offered = ""
        self._greeted = threading.Event()
        self._closed = threading.Event()
        self._refusal = ""
        self._sending = threading.Lock()
        self._began_s = time.monotonic()
        self._minute_s = self._began_s
        self._troubles = 0

    @property
    def open(self) -> bool:
        return self._channel is not None and not self._closed.is_set()

    def lasted_s(self) -> float:
        """How long it has been since it was made."""
        return time.monotonic() - self._began_s

    def attach(self, transport: Transport, url: str | None) -> None:
        """Start or join the runner and greet it; answers when it has greeted back.

        Raises NodeUnfit where the runner does not start, NodeUnreachable, StoreUnavailable.
        """
        self._offered, key = self._terms.new_runner(self._machine.machine_id)
        token = secrets.token_hex(16)
        self._channel = transport.open(self._site.lasting("attach", "--root", self._site.root, "--token", token))
        name = f"runner-{self._machine.machine_id}"
        threading.Thread(target=self._read, args=(self._channel, token), name=name, daemon=True).start()
        try:
            with contextlib.suppress(NodeUnreachable):  # where it ended at once, what it said tells why
                self.send(self._hello(key, url))
            if not self._greeted.wait(self._terms.hello_s) or not self._has_greeted:
                raise self._not_started(self._channel, transport)
        except BaseException:
            self.close()
            raise

    def _not_started(self, channel: Channel, transport: Transport) -> Exception:
        said = self._refusal or channel.stderr_tail().strip()
        if said and transport.alive():
            return NodeUnfit(f"the runner did not start: {said}")
        if self._closed.is_set():
            return NodeUnreachable("the runner left before it answered")
        return NodeUnreachable(f"no runner answered within {self._terms.hello_s:.0f} s")

    def assign(
        self,
        jobs: Sequence[protocol.Assignment],
        versions: Mapping[str, protocol.Version],
        exclusive: AbstractSet[str] = frozenset(),
    ) -> None:
        """Send attempts, and first the versions among them that this runner has not heard of."""
        new = {ref: version for ref, version in versions.items() if ref not in self._known}
        if new:
            rows = {ref: protocol.row_of(version) for ref, version in new.items()}
            self.send({"t": "versions", "versions": rows, "exclusive": sorted(new.keys() & exclusive)})
            self._known |= new.keys()
        for part in _parts(jobs):
            self.send({"t": "assign", "jobs": part})

    def send(self, message: Mapping[str, Any]) -> None:
        if self._channel is None:
            raise NodeUnreachable("not attached")
        frame = protocol.encode(dict(message))
        with self._sending:
            self._channel.send(frame)

    def close(self) -> None:
        self._closed.set()
        if self._channel is not None:
            self._channel.close()

    def _hello(self, key: bytes, url: str | None) -> dict[str, object]:
        return {
            "t": "hello",
            "v": protocol.VERSION,
            "server": self._terms.server_id,
            "runner": self._offered,
            "key": key.hex(),
            "limit": self._machine.limit_process,
            "url": url,
            "beside_bytes": protocol.BESIDE_BYTES,
            "env": dict(self._machine.env),
            "linger_s": self._terms.linger_s,
            "orphan_s": self._terms.orphan_s,
            "silence_s": self._terms.silence_s,
        }

    # the reader thread

    def _read(self, channel: Channel, token: str) -> None:
        try:
            rest = _after_mark(channel, token)
            decoder = protocol.Decoder()
            while rest:
                for message in decoder.feed(rest):
                    self._take(message)
                rest = channel.receive()
        except (protocol.ProtocolError, ProtocolError) as error:
            self._refusal = str(error)
            self._tell(Trouble(self._machine.machine_id, "protocol", _text(error, TEXT_LIMIT)))
        except NodeUnreachable:
            pass  # the session notices by itself; the engine hears it below
        except Exception:
            self._refusal = "the server's log says how"
            log.exception("reading from the runner failed", extra={"machine": self._machine.machine_id})
        finally:
            self._end()

    def _end(self) -> None:
        """In any case: nobody waits for a greeting any more, and the engine hears that the runner is gone."""
        self._closed.set()
        self._greeted.set()
        try:
            self.close()
        finally:
            if self._has_greeted:
                self._tell(RunnerGone(self._machine.machine_id, self.number, self.left))

    def _take(self, message: Mapping[str, Any]) -> None:
        match message["t"]:
            case "hello":
                self._take_hello(message)
            case "records":
                self._take_records(message)
            case "trouble":
                self._take_trouble(message)
            case "log" | "progress":
                self._terms.take_live(self._machine.machine_id, message)
            case "ping":
                self._answer_ping(message.get("n"))
            case "leaving":
                self.left = True
                self._terms.runner_left(self._machine.machine_id, _text(message.get("runner"), NAME_LIMIT))

    def _answer_ping(self, number: object) -> None:
        _check_numbers(number)
        self.send({"t": "pong", "n": number})

    def _take_hello(self, message: Mapping[str, Any]) -> None:
        if self._greeted.is_set():
            raise ProtocolError("a second hello")
        protocol.check_version(dict(message))
        held = _keys(message.get("held"))
        machine_id = self._machine.machine_id
        self._terms.runner_up(machine_id, self._offered, _text(message.get("runner"), NAME_LIMIT))
        self._has_greeted = True
        self._greeted.set()
        self._tell(RunnerUp(machine_id, self.number, held, bool(message.get("unread"))))

    def _take_records(self, message: Mapping[str, Any]) -> None:
        records = protocol.decode_records(message.get("records"))
        if len(records) > protocol.REPORT_LIMIT_RECORDS:
            raise ProtocolError(f"{len(records)} records in one frame")
        for record in records:
            _check_numbers(record.seq, record.job, record.attempt)
        runner = _text(message.get("runner"), NAME_LIMIT)
        answer = self._stored(runner, records)
        if answer is None:
            return
        self.send({"t": "stored", "runner": runner, "seq": answer.stored})
        if answer.stop:
            self.send({"t": "kill", "attempts": [list(key) for key in answer.stop]})

    def _stored(self, runner: str, records: Sequence[protocol.Record]) -> ReportAnswer | None:
        """Once the store has taken them; None: the stream ended first, and the runner keeps them."""
        while self.open:
            try:
                return self._terms.take_records(self._machine.machine_id, runner, records)
            except StoreUnavailable as error:
                log.warning("records wait: %s", error, extra={"machine": self._machine.machine_id})
                self._closed.wait(STORE_AWAY_S)
        return None

    def _take_trouble(self, message: Mapping[str, Any]) -> None:
        """No more than so many a minute, or a machine could fill the log and the engine's day."""
        now_s = time.monotonic()
        if now_s - self._minute_s >= 60:
            self._minute_s, self._troubles = now_s, 0
        self._troubles += 1
        if self._troubles <= TROUBLES_A_MINUTE:
            reason, text = _text(message.get("reason"), 64), _text(message.get("text"), TEXT_LIMIT)
            self._tell(Trouble(self._machine.machine_id, reason, text))


def _text(value: object, limit: int) -> str:
    """What a node calls a text: short, and of characters that do nothing to a terminal."""
    return "".join(char if char.isprintable() else " " for char in str(value)[:limit])


def _keys(rows: object) -> frozenset[AttemptKey]:
    """The attempts that a runner says it holds."""
    if not isinstance(rows, list) or len(rows) > HELD_LIMIT:
        raise ProtocolError("hello without a list of what the runner holds")
    keys = set()
    for row in rows:
        if not isinstance(row, list) or len(row) < 2:
            raise ProtocolError("an attempt is a list of job and attempt")
        _check_numbers(row[0], row[1])
        keys.add((row[0], row[1]))
    return frozenset(keys)


def _check_numbers(*numbers: object) -> None:
    for number in numbers:
        if type(number) is not int or not 0 <= number <= NUMBER_LIMIT:
            raise ProtocolError("a number that nothing of ours has")


def _after_mark(channel: Channel, token: str) -> bytes:
    """Skip what came before the runner's mark; answer the first bytes after it, or b"" when the stream ended."""
    mark = (protocol.MARK + token + "\n").encode("ascii")
    seen = b""
    while mark not in seen:
        if len(seen) > NOISE_LIMIT_BYTES:
            raise ProtocolError("no runner among the first megabyte the machine printed")
        data = channel.receive()
        if not data:
            return b""
        seen += data
    rest = seen.partition(mark)[2]
    return rest or channel.receive()


def _parts(jobs: Sequence[protocol.Assignment]) -> list[list[protocol.Assignment]]:
    """Cut so that no frame is over the limit: in one, a character of an input takes up to six bytes."""
    parts: list[list[protocol.Assignment]] = []
    size = protocol.FRAME_LIMIT_BYTES
    for job in jobs:
        weight = len(job.input) * 6 + 200
        size += weight
        if size >= protocol.FRAME_LIMIT_BYTES:
            parts.append([])
            size = weight
        parts[-1].append(job)
    return parts
