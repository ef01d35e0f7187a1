"""The runner's door: who connects to its socket, which of them is the server, and what the server's words mean."""

import os
import selectors
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from remote_runner import names
from remote_runner.protocol import VERSION, ProtocolError, Version, check_version
from remote_runner.stream import Loop, Message, Stream

if TYPE_CHECKING:
    from remote_runner.runner import Runner, Work

GRACE_S = 10.0
#: Troubles kept for when there is a channel again.
TROUBLES_KEPT = 20

_MALFORMED = (ProtocolError, KeyError, TypeError, ValueError, AttributeError)


class Door:
    """Accepts connections. The first frame says who it is; the newest server wins."""

    def __init__(self, loop: Loop, listener: socket.socket, runner: "Runner") -> None:
        self.channel: Optional[Stream] = None
        self._loop = loop
        self._listener = listener
        self._runner = runner
        self._strangers: List[Stream] = []
        self._untold: List[Tuple[str, str]] = []
        listener.setblocking(False)
        loop.register(listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Nobody comes in any more; who is in gets what was said last."""
        self._loop.unregister(self._listener)
        self._listener.close()
        if self.channel is not None:
            self.channel.finish()

    def say(self, message: Message) -> None:
        """Tell the server, if it is there."""
        if self.channel is not None:
            self.channel.send(message)

    def trouble(self, reason: str, text: str) -> None:
        """Tell a person, now or when there is a channel again."""
        if self.channel is not None:
            self.say({"t": "trouble", "reason": reason, "text": text})
        elif len(self._untold) < TROUBLES_KEPT:
            self._untold.append((reason, text))

    def _accept(self, _mask: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        self._strangers.append(Stream(self._loop, sock, self._hear_stranger, self._strangers.remove))

    def _hear_stranger(self, stream: Stream, message: Message) -> None:
        self._strangers.remove(stream)
        try:
            if message["t"] == "hello":
                self._welcome(stream, message)
                return
            if message["t"] == "result":
                self._runner.hear_result(message)
        except (OSError, *_MALFORMED) as error:
            stream.send({"t": "trouble", "reason": "refused", "text": "%s: %s" % (type(error).__name__, error)})
        stream.close()

    def _welcome(self, stream: Stream, message: Message) -> None:
        check_version(message)
        hello = self._runner.hear_hello(message)
        if self.channel is not None:
            self.channel.close()
        self.channel = stream
        stream.redirect(self._hear, self._on_end)
        self._runner.channel_changed(stream)
        self.say(dict(hello, t="hello", v=VERSION, pid=os.getpid(), python="%d.%d.%d" % sys.version_info[:3]))
        untold, self._untold = self._untold, []
        for reason, text in untold:
            self.trouble(reason, text)

    def _hear(self, _stream: Stream, message: Message) -> None:
        try:
            self._runner.hear(message)
        except _MALFORMED as error:
            self.trouble("bad_message", "%s: %s: %s" % (message["t"], type(error).__name__, error))

    def _on_end(self, _stream: Stream) -> None:
        self.channel = None
        self._runner.channel_changed(None)


def _versions(_runner: "Runner", work: "Work", message: Message) -> None:
    versions = {ref: names.check_version(Version(*row)) for ref, row in message["versions"].items()}
    work.crew.learn(versions, message.get("exclusive") or ())


def _assign(_runner: "Runner", work: "Work", message: Message) -> None:
    work.journal.hold(work.crew.assign(message["jobs"]))


def _recall(_runner: "Runner", work: "Work", message: Message) -> None:
    work.crew.recall(names.keys(message["attempts"]), "recalled")


def _kill(_runner: "Runner", work: "Work", message: Message) -> None:
    work.crew.kill(names.keys(message["attempts"]) or set(), float(message.get("grace_s", GRACE_S)))


def _limit(_runner: "Runner", work: "Work", message: Message) -> None:
    work.crew.set_limit(int(message["limit"]))


def _route(_runner: "Runner", work: "Work", message: Message) -> None:
    work.postman.route.change(message.get("url"))


def _stored(runner: "Runner", work: "Work", message: Message) -> None:
    runner.hear_stored(work, message["runner"], int(message["seq"]))


def _pong(runner: "Runner", _work: "Work", message: Message) -> None:
    runner.hear_pong(int(message["n"]))


def _watch(_runner: "Runner", work: "Work", message: Message) -> None:
    work.watches.ask(message, time.monotonic())


def _leave(runner: "Runner", _work: "Work", _message: Message) -> None:
    runner.hear_leave()


#: What each kind of message does.
HEARD: Dict[str, Callable[["Runner", "Work", Message], Any]] = {
    "versions": _versions,
    "assign": _assign,
    "recall": _recall,
    "kill": _kill,
    "limit": _limit,
    "route": _route,
    "stored": _stored,
    "pong": _pong,
    "watch": _watch,
    "leave": _leave,
}
