"""A jobs room for tests: a store in a temporary folder, a clock that stands still, job folders made of texts."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from jobs.model import Claimed, Pick, ReportAnswer, ReturnAnswer, ReturnOutcome, Submission
from jobs.service import JobService
from jobs.store import Store, Tx
from remote_runner.protocol import Record
from tests.support.databases import Database, a_database

PLAIN_MAIN = "def work(*args, **kwargs):\n    return 1\n"


class StillClock:
    """A clock that moves only when told."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> float:
        self.now += seconds
        return self.now


class Room:
    """A service on a database, with everything else below one folder, and the few sentences tests say most."""

    def __init__(self, home: Path, database: Database) -> None:
        self.home = home
        self.database = database
        self.clock = StillClock()
        self.seq = 0
        self.open()

    @property
    def url(self) -> str:
        return self.database.url

    def open(self) -> None:
        """As at the start of the server; after ``close`` a restart."""
        self.store = Store.open(self.url)
        self.service = JobService(self.store, self.home / "jobs", self.home / "cache", self.clock)

    def close(self) -> None:
        self.store.close()

    def folder(self, name: str, files: Mapping[str, str] | None = None) -> Path:
        """A job folder in HOME/jobs."""
        folder = self.home / "jobs" / name
        for path, text in {"main.py": PLAIN_MAIN, **(files or {})}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder

    def job_type(
        self, name: str = "crawl", *, return_main: bool = False, files: Mapping[str, str] | None = None
    ) -> str:
        extra = {"return_main.py": "def work(data):\n    pass\n"} if return_main else {}
        self.service.publish_folder(name, self.folder(name, {**extra, **(files or {})}))
        return name

    def submit(self, count: int = 1, job_type: str = "crawl", **wishes: Any) -> list[int]:
        inputs = [json.dumps({"args": [n]}) for n in range(count)]
        done = self.service.submit(Submission(job_type=job_type, inputs=inputs, **wishes))
        return list(range(done.first_id, done.first_id + done.count))

    def claim(self, *job_ids: int, machine: str = "m1", version: int = 0) -> list[Claimed]:
        return self.service.claim([Pick(job_id, machine, version) for job_id in job_ids]).result(10)

    def report(self, *records: tuple[str, int, int, dict[str, Any]], machine: str = "m1") -> ReportAnswer:
        """Each record: (kind, job, attempt, body)."""
        return self.service.take_report(machine, "r1", [self.record(*record) for record in records])

    def record(self, kind: str, job: int, attempt: int, body: dict[str, Any]) -> Record:
        self.seq += 1
        return Record(self.seq, kind, job, attempt, body)

    def returned(self, job: int, attempt: int, error: str = "") -> int:
        """return_main, taken before, ended: with this error, or well."""
        outcome = ReturnOutcome.FAILED if error else ReturnOutcome.DONE
        return self.service.answer_returns([ReturnAnswer(job, attempt, outcome, error)])

    def status(self, job_id: int) -> int:
        return int(self.service.job(job_id).job.status)

    def sql(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Straight to the database, past every door."""
        return self.database.sql(statement, parameters)


class Gate:
    """Holds the writer until opened, so that what is submitted meanwhile becomes one group."""

    def __init__(self, store: Store) -> None:
        self._open = threading.Event()
        entered = threading.Event()

        def wait(_tx: Tx) -> None:
            entered.set()
            assert self._open.wait(10)

        self._held = store.submit_write(wait)
        assert entered.wait(10)

    def open(self) -> None:
        self._open.set()
        self._held.result(10)


@contextmanager
def a_room(home: Path, database: Database | None = None) -> Iterator[Room]:
    """An open room, closed at the end; on a SQLite database of its own, if not on the one given."""
    with ExitStack() as stack:
        room = Room(home, database or stack.enter_context(a_database("sqlite", home)))
        try:
            yield room
        finally:
            room.close()


def ok(result: Any = 1, **more: Any) -> dict[str, Any]:
    """The body of a success."""
    return {"ok": True, "reason": "", "result": json.dumps(result), "spend_s": 0.5, **more}


def failed(reason: str = "error", **more: Any) -> dict[str, Any]:
    """The body of a failure."""
    return {"ok": False, "reason": reason, "error": "Traceback: no", "spend_s": 0.25, **more}
