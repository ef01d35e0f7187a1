"""Brings records home by the route that works: a report through the courier, or a frame over the channel."""

import os
import socket
import time
from typing import Callable, Optional, Set

from remote_runner import courier, outbox
from remote_runner.outbox import CHANNEL, HTTP, Outbox, Route
from remote_runner.stream import Loop, Message, Stream

Stop = Callable[[object], None]

#: While more work waits here, a report follows the one before it no sooner: a few large ones cost the server less than
#: many small ones, and nobody waits for a worker meanwhile. Where nothing waits, what ends is told at once.
PACE_S = 0.05


class Postman:
    """One batch is on its way at a time; the next grows meanwhile."""

    def __init__(self, loop: Loop, runner: str, key: bytes, box: Outbox, on_stop: Stop) -> None:
        self.route = Route(None)
        self.contact_at = 0.0  # when a report was last answered
        self.beside_bytes = 0  # texts of so many bytes travel beside a report; 0: the server does not know of that
        self.may_gather = False  # more work waits here than the workers have at hand
        self._loop = loop
        self._runner = runner
        self._key = key
        self._outbox = box
        self._on_stop = on_stop
        self._channel: Optional[Stream] = None
        self._courier: Optional[Stream] = None
        self._courier_pid = 0
        self._in_flight: Optional[str] = None  # the route
        self._sent_at = 0.0

    def use_channel(self, channel: Optional[Stream]) -> None:
        """There is a channel, or none; what was on its way over the one before has to go again."""
        self._channel = channel
        if self._in_flight == CHANNEL:
            self._in_flight = None

    def forget_key(self) -> None:
        """In a fork: job code must not find it."""
        self._key = b""

    def may_send(self, now: float) -> bool:
        """Whether a batch could go now."""
        if self._in_flight is not None or not len(self._outbox) or self._rest_s(now) > 0:
            return False
        return self._choose(now) is not None

    def _rest_s(self, now: float) -> float:
        """How long records are gathered before the next batch goes."""
        return self._sent_at + PACE_S - now if self.may_gather else 0.0

    def _choose(self, now: float) -> Optional[str]:
        return self.route.choose(now, self._channel is not None)

    def wait_s(self, now: float) -> Optional[float]:
        """How long until a batch may go that may not go now; None: not before something happens."""
        if self._in_flight is not None or not len(self._outbox):
            return None
        retry_s = self.route.wait_s(now)
        if retry_s is None and self._channel is None:
            return None
        return max(self._rest_s(now), retry_s or 0.0)

    def send(self, now: float) -> None:
        """Send the next batch, unless one is on its way."""
        if not self.may_send(now):
            return
        self._in_flight, self._sent_at = self._choose(now), now
        texts = self._outbox.batch()
        if self._in_flight == HTTP and self.route.url is not None:
            body = outbox.report_body(self._runner, texts)
            beside_bytes = self.beside_bytes if max(map(len, texts)) >= self.beside_bytes else 0
            self._line().send_bytes(courier.pack(self.route.url, body, beside_bytes))
        elif self._channel is not None:
            self._channel.send_bytes(outbox.records_frame(self._runner, texts))

    def _line(self) -> Stream:
        """The line to the courier, who is started when first needed."""
        if self._courier is None:
            ours, theirs = socket.socketpair()
            parent = os.getpid()
            self._courier_pid = os.fork()
            if self._courier_pid == 0:
                courier.main(theirs, self._runner, self._key, parent)
            theirs.close()
            self._courier = Stream(self._loop, ours, self._hear, self._on_end)
        return self._courier

    def _hear(self, _line: Stream, answer: Message) -> None:
        self._in_flight = None
        now = time.monotonic()
        if "failed" in answer:
            self.route.failed(now)
            return
        self.route.succeeded()
        self.contact_at = now
        self._outbox.stored(answer["stored"])
        if answer["stop"]:
            self._on_stop(answer["stop"])

    def _on_end(self, _line: Stream) -> None:
        """Somebody killed the courier; the next report gets a new one."""
        self._courier = None
        self._in_flight = None
        self.route.failed(time.monotonic())

    def stored(self, seq: int) -> None:
        """The server says over the channel what it has."""
        if self._in_flight == CHANNEL:
            self._in_flight = None
        self._outbox.stored(seq)

    def processes(self) -> Set[int]:
        """Ours: not to be taken for what a job left."""
        return {self._courier_pid}

    def close(self) -> None:
        """Let the courier go."""
        if self._courier is not None:
            self._courier.close()
