"""The people of the ledger test: they submit without end, and kill, rerun, copy and delete as they like.

What they asked for and what was answered goes into the book; what got no answer is written down as doubtful.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from multijob import Busy, Client, MultiJobError, ServerError, Unreachable
from tests.chaos.ledger import Book, Wish
from tests.chaos.world import NODES, World

#: Waiting jobs beyond this are enough for now.
BACKLOG: Final = 400
#: A person rests this long between two things, at most.
REST_S: Final = 0.8
#: How long answers are waited for when all faults are healed.
PATIENCE_S: Final = 180.0
#: So many jobs of one action make it an operation.
MANY: Final = 12
ACTIONS: Final = ("kill", "rerun", "copy", "delete", "rerun")


class Parcel(NamedTuple):
    """A submission: sent again, under the same key, until it is answered."""

    job_type: str
    limit_count: int
    tag: str | None
    inputs: list[dict[str, Any]]
    key: str


class Load:
    """``start`` once, ``stop`` once; the ``book`` is whole after that."""

    def __init__(self, world: World, chance: random.Random, *, meddle: bool = True) -> None:
        self.book = Book()
        self._world = world
        self._chance = random.Random(chance.random())  # noqa: S311  (no secret)
        self._other_chance = random.Random(chance.random())  # noqa: S311
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._submit_on, name="submitter")]
        if meddle:
            self._threads.append(threading.Thread(target=self._meddle_on, name="meddler"))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more is asked for; everything that was is answered."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def note_reported(self) -> None:
        """What runners were told to be stored."""
        evidence = [line.split() for line in self._world.evidence()]
        self.book.reported = {(int(words[1]), int(words[2])) for words in evidence if words[0] == "stored"}

    # submitting

    def _submit_on(self) -> None:
        client = self._world.client(retry_s=2.0)
        while not self._over.wait(self._chance.random() * REST_S):
            if self._backlog() < BACKLOG:
                self._deliver(client, self._parcel(self._chance))

    def _backlog(self) -> int:
        try:
            return self._world.unfinished()
        except Exception:  # noqa: BLE001  (the database is away, in one of many ways)
            return 0

    def _parcel(self, chance: random.Random) -> Parcel:
        job_type = chance.choice(["quick", "quick", "nap", "faulty", "daemon", "back"])
        most = {"quick": 40, "nap": 8, "faulty": 4, "daemon": 2, "back": 8}[job_type]
        return self.parcel(
            job_type,
            chance.randint(1, most),
            chance.choice([0, 1, 2]),
            chance.choice([None, None, None, f"node-{chance.randint(1, NODES)}"]),
        )

    def parcel(self, job_type: str, count: int, limit_count: int = 1, tag: str | None = None) -> Parcel:
        """A submission, written into the book."""
        inputs = [self._input(job_type, limit_count, number) for number in range(count)]
        return Parcel(job_type, limit_count, tag, inputs, uuid.uuid4().hex)

    def _input(self, job_type: str, limit_count: int, number: int) -> dict[str, Any]:
        token = uuid.uuid4().hex[:12]
        more: dict[str, Any] = {}
        expected = "ok"
        if job_type == "nap":
            more = {"seconds": 0.3}
        elif job_type == "faulty":
            more = {"how": ("raise", "exit", "signal", "fine")[number % 4]}
            expected = "ok" if more["how"] == "fine" else "fails"
        elif job_type == "daemon":
            more = {"mark": self._world.mark}
        elif job_type == "back" and number % 4 == 3:
            more, expected = {"fails": True}, "return_fails"
        with self._lock:
            self.book.wishes[token] = Wish(token, job_type, limit_count, expected)
            self.book.budgets[token] = 1
        return {"path": str(self._world.side), "token": token, **more}

    def _deliver(self, client: Client, parcel: Parcel) -> None:
        """Until it is answered, whatever happens meanwhile."""
        give_up_at: float | None = None
        while True:
            try:
                return self.send(client, parcel)
            except (Unreachable, Busy):
                time.sleep(0.1)
            except MultiJobError as error:
                self.book.surprises.append(f"a submit was answered with {error!r}")
                return None
            if self._over.is_set():
                give_up_at = give_up_at or time.monotonic() + PATIENCE_S
                if time.monotonic() > give_up_at:
                    self.book.surprises.append(f"a submit got no answer within {PATIENCE_S:.0f} s")
                    return None

    def send(self, client: Client, parcel: Parcel) -> None:
        """Once; what is answered is acknowledged."""
        kind, limit_count, tag, inputs, key = parcel
        ids = list(client.submit_many(kind, inputs, limit_count=limit_count, tag=tag, key=key))
        with self._lock:
            for job_id, one in zip(ids, parcel.inputs, strict=True):
                self.book.acknowledged[job_id] = one["token"]

    def refused(self, until: Callable[[], bool], padding: int = 0) -> bool:
        """Whether a submit is told, before it is too late, that the store is away (503)."""
        client = self._world.client(retry_s=0.0)
        while not until():
            parcel = self.parcel("quick", 1)
            if padding:
                parcel.inputs[0]["padding"] = "x" * padding
            try:
                self._until_it_arrives(client, parcel, until)
            except Busy:
                return True
            time.sleep(0.02)
        return False

    def _until_it_arrives(self, client: Client, parcel: Parcel, until: Callable[[], bool]) -> None:
        while not until():
            try:
                return self.send(client, parcel)
            except Unreachable:
                time.sleep(0.1)
        return None

    # meddling

    def _meddle_on(self) -> None:
        client = self._world.client(retry_s=0.0)
        while not self._over.wait(self._other_chance.random() * REST_S):
            with self._lock:
                ids = sorted(self.book.acknowledged)[-300:]
            if ids:
                action = self._other_chance.choice(ACTIONS)
                count = min(len(ids), self._other_chance.choice([1, 1, 1, MANY]))
                self._act(client, action, self._other_chance.sample(ids, count))

    def _act(self, client: Client, action: str, ids: list[int]) -> None:
        before = set(ids) & self.book.deleted
        self._expect(action, ids, 1)
        try:
            body = {"action": action, "ids": ids}
            answer = client.call("POST", "/api/v1/jobs/actions", json_body=body, repeatable=False)
        except (Unreachable, ServerError) as error:
            if isinstance(error, ServerError) and not isinstance(error, Busy):
                self.book.surprises.append(f"{action} was answered with {error!r}")
            return
        self._world.seen[f"people: {action}"] += 1
        if action == "copy" and answer.get("state", "done") == "done" and "ids" in answer:
            self._copied(ids, answer["ids"])
        elif answer.get("state", "done") == "done" and answer["changed"] == 0:
            self._expect(action, ids, -1)
            if action == "delete":
                self.book.deleted -= set(ids) - before

    def _expect(self, action: str, ids: list[int], times: int) -> None:
        with self._lock:
            tokens = [self.book.acknowledged[job_id] for job_id in ids]
            if action in ("rerun", "copy"):
                for token in tokens:
                    self.book.budgets[token] += times
            if action == "copy":
                for token in tokens:
                    self.book.doubtful_copies[token] += times
            if times > 0 and action == "kill":
                self.book.kill_asked |= set(ids)
            if times > 0 and action == "delete":
                self.book.deleted |= set(ids)

    def _copied(self, ids: list[int], made: list[int]) -> None:
        """Copies are made in the order of the ids; of those deleted meanwhile there are none."""
        with self._lock:
            if len(made) == len(ids):
                for job_id, copy in zip(sorted(ids), made, strict=True):
                    token = self.book.acknowledged[job_id]
                    self.book.acknowledged[copy] = token
                    self.book.doubtful_copies[token] -= 1
