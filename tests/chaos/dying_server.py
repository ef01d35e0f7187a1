"""``mj up`` that dies when told, and that hears reports twice, backwards, late, or without an answer.

Nothing of this is in the product: its writer is replaced by one that ends this very process with SIGKILL just before or
just after the commit of the operation a plan names, and its report app is wrapped. The plan and what came of it lie in
a folder beside the home, ``dying/``: whoever plays fate writes ``plan``, we add lines to ``evidence``.

A write is named after the public verb of the jobs room that asked for it: submit, claim, take_report, give_back …
"""

import io
import json
import os
import random
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeVar

import jobs.store
import orchestrator.app
from jobs.service import JobService
from jobs.store import Tx, engines, writer
from orchestrator.cli import main
from remote_runner import protocol
from web.reports import Keys, create_reports_app

BEFORE: Final = "before"
AFTER: Final = "after"
#: A locked database is told sooner than people would want it, so that tests see it told.
BUSY_S: Final = 2.0
#: Of so many reports one is treated badly.
ONE_IN: Final = 5
#: So many old reports are kept to be said again.
KEPT: Final = 50
ROOM: Final = str(Path(jobs.store.__file__).parents[1])
STORE: Final = str(Path(jobs.store.__file__).parent)

T = TypeVar("T")


class Fate:
    """The folder through which we are told, and tell."""

    def __init__(self, folder: Path) -> None:
        self._plan = folder / "plan"
        self._evidence = os.open(folder / "evidence", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._counts: dict[str, int] = {}
        self._stamp = 0
        self._left: dict[str, int] = {}

    def say(self, words: str) -> None:
        os.write(self._evidence, f"{words}\n".encode())

    def meets(self, name: str, when: str) -> None:
        """This write is about to be committed, or just was. Does not return where the plan says so."""
        event = f"{name} {when}"
        self._read()
        if event in self._left:
            self._left[event] -= 1
            if self._left[event] <= 0:
                self.say(f"died {event}")
                os.kill(os.getpid(), signal.SIGKILL)

    def _read(self) -> None:
        """The plan: {"claim before": 3, …}, the third one kills. A new plan begins to count anew."""
        try:
            stamp = self._plan.stat().st_mtime_ns
            if stamp != self._stamp:
                self._left = json.loads(self._plan.read_text())
                self._stamp = stamp
        except FileNotFoundError:
            self._left, self._stamp = {}, 0


class Named:
    """An operation that knows who asked for it."""

    def __init__(self, op: Callable[[Tx], Any], name: str) -> None:
        self._op = op
        self.name = name

    def __call__(self, tx: Tx) -> Any:
        return self._op(tx)


def name_of(frame: FrameType | None, op: object) -> str:
    """The public verb of the jobs room that asked for a write; else the operation's own name."""
    while frame is not None:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if file.startswith(ROOM) and not file.startswith(STORE) and not name.startswith(("_", "<")):
            return name
        frame = frame.f_back
    plain = getattr(op, "func", op)  # of a partial
    return str(getattr(plain, "__name__", plain))


class DyingWriter(writer.Writer):
    """The writer, with its end foretold."""

    fate: Fate

    def submit(self, op: Callable[[Tx], T]) -> "Future[T]":
        return super().submit(Named(op, name_of(sys._getframe(1), op)))

    def _transact(self, group: Sequence[writer._Waiting]) -> None:
        self._names = [one.op.name for one in group if isinstance(one.op, Named)]
        super()._transact(group)

    def _end(self, transaction: Any) -> None:
        for name in self._names:
            self.fate.meets(name, BEFORE)
        super()._end(transaction)
        for name in self._names:
            self.fate.meets(name, AFTER)


class Answer:
    """What the app said to one request."""

    def __init__(self, app: Any, environ: dict[str, Any], body: bytes, **headers: str) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        asked = {**environ, **headers, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        self.body = b"".join(app(asked, self._begin))

    def _begin(self, status: str, headers: list[tuple[str, str]], *_: object) -> None:
        self.status, self.headers = status, headers


class Mangled:
    """The report app, on a bad line: every report arrives at last, but not always once, in order, or answered."""

    def __init__(self, app: Any, keys: Keys, fate: Fate) -> None:
        self._app = app
        self._keys = keys
        self._fate = fate
        self._chance = random.Random(os.getpid())  # noqa: S311  (no secret)
        self._old: deque[tuple[dict[str, Any], bytes]] = deque(maxlen=KEPT)
        self._ways: Sequence[tuple[str, Callable[[dict[str, Any], bytes], None]]] = [
            ("report duplicated", self._twice),
            ("report reordered", self._backwards),
            ("report replayed", self._again),
        ]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if self._chance.randrange(ONE_IN) == 0:
            name, way = self._chance.choice(self._ways)
            way(environ, body)
            self._fate.say(name)
        answer = Answer(self._app, environ, body)
        self._old.append((environ, body))
        self._remember(answer, body)
        if self._chance.randrange(ONE_IN) == 0:
            self._fate.say("report unanswered")
            answer = Answer(lambda _, begin: begin("503 Service Unavailable", []) or [], environ, b"")
        start_response(answer.status, answer.headers)
        return [answer.body]

    def _remember(self, answer: Answer, body: bytes) -> None:
        """Which ends have been acknowledged: these must outlive everything."""
        if answer.status.startswith("200"):
            for record in protocol.decode_records(json.loads(body)["records"]):
                if record.kind == "end":
                    self._fate.say(f"stored {record.job} {record.attempt}")

    def _twice(self, environ: dict[str, Any], body: bytes) -> None:
        Answer(self._app, environ, body)

    def _again(self, environ: dict[str, Any], body: bytes) -> None:
        Answer(self._app, *self._chance.choice([*self._old, (environ, body)]))

    def _backwards(self, environ: dict[str, Any], body: bytes) -> None:
        """Each record by itself, the last first, signed as the runner would."""
        runner = environ["HTTP_X_MJ_RUNNER"]
        key = self._keys(runner)
        if key is not None:
            for record in reversed(protocol.decode_records(json.loads(body)["records"])):
                text = protocol.encode_report(runner, [record])
                Answer(self._app, environ, text, HTTP_X_MJ_SIGNATURE=protocol.sign(key.key, text))


def take_part(fate: Fate) -> None:
    """Put ours in the places of the product's."""

    def create(service: JobService, keys: Keys) -> Any:
        return Mangled(create_reports_app(service, keys), keys, fate)

    DyingWriter.fate = fate
    engines.BUSY_S = BUSY_S
    jobs.store.Writer = DyingWriter  # type: ignore[attr-defined]  # that is the point
    orchestrator.app.create_reports_app = create  # type: ignore[attr-defined]  # as above


if __name__ == "__main__":
    take_part(Fate(Path(sys.argv[sys.argv.index("--home") + 1]).parent / "dying"))
    main(prog_name="mj")
