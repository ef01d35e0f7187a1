"""One job as an object: look at it, wait for it, read what it printed, act on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import notebook
from .errors import NotFound
from .row import JsonObject, Row
from .values import FINAL, STATUS_WORDS, Printed, Reached, Result

if TYPE_CHECKING:
    from typing_extensions import Self

    from .actions import Operation
    from .client import Client
    from .machines import Machine
    from .progress import Wanted


class Job(Row):
    """Made by ``client.job(id)`` without asking; its members are as last seen until ``refresh`` or ``wait``."""

    def __init__(self, client: Client, job_id: int, seen: JsonObject | None = None) -> None:
        super().__init__(client, seen)
        self.id = int(job_id)

    def _fetch(self) -> JsonObject:
        return self._client.call("GET", f"/api/v1/jobs/{self.id}")

    def _title(self) -> str:
        known = {} if self._seen is None else self._seen
        words = [f"Job {self.id}", str(known.get("job_type", "")), STATUS_WORDS.get(known.get("status", 9), "")]
        return " ".join(word for word in words if word)

    def _repr_html_(self) -> str:
        known = dict(self._known())
        said = known.pop("progress", None)
        bar = "" if said is None else notebook.reached(_reached(said))
        return bar + notebook.members(self._title(), known)

    def __int__(self) -> int:
        return self.id

    # --------------------------------------------------------------------------------------------------- what it is

    @property
    def job_type(self) -> str:
        """What it runs."""
        return str(self._member("job_type"))

    @property
    def status(self) -> int:
        """The manual's number: 0 waiting, 1 running, 2 returning, 3 done, -1 failed, -2 return_failed."""
        return int(self._member("status"))

    @property
    def status_word(self) -> str:
        """The status as a word."""
        return STATUS_WORDS.get(self.status, str(self.status))

    @property
    def finished(self) -> bool:
        """Whether it had ended, well or not, when last seen."""
        return self.status in FINAL

    @property
    def ok(self) -> bool:
        """Whether all of it had gone well when last seen."""
        return self.status == 3

    @property
    def reason(self) -> str:
        """Why it failed, in one word; "" where it did not."""
        return str(self._member("reason") or "")

    @property
    def batch(self) -> str:
        """The batch it belongs to."""
        return str(self._member("batch"))

    @property
    def tag(self) -> str:
        """Which machines may run it; "" is any."""
        return str(self._member("tag") or "")

    @property
    def attempt(self) -> int:
        """The number of its latest try."""
        return int(self._member("attempt") or 0)

    @property
    def version(self) -> int:
        """Of its job type; -1 before it ran."""
        return int(self._member("version"))

    @property
    def input(self) -> JsonObject:
        """What ``work()`` is called with: args and kwargs."""
        return dict(self._member("input") or {})

    @property
    def error(self) -> str:
        """The traceback or explanation of a failure, of return_main's where that is what failed."""
        return str(self._member("error") or self._member("return_error") or "")

    @property
    def machine(self) -> Machine | None:
        """Where it runs or ran; None before that."""
        machine_id = self._member("machine_id")
        return self._client.machine(machine_id) if machine_id else None

    @property
    def waiting_because(self) -> str:
        """What a waiting job waits for; "" where nothing holds it up."""
        return str((self._member("waiting_because") or {}).get("text", ""))

    # ---------------------------------------------------------------------------------------------------- following

    def wait(self, *, timeout_s: float | None = None, progress: Wanted = None) -> Self:
        """Wait until it has finished; answers itself, looked at anew."""
        self._client.wait(self.id, timeout_s=timeout_s, progress=progress)
        return self.refresh()

    def outcome(self, *, timeout_s: float | None = None) -> Result:
        """How it ended, waiting for that where needed."""
        for row in self._client.results(self.id, timeout_s=timeout_s):
            self._seen = {**(self._seen or {}), **row._asdict()}
            return row
        raise NotFound(f"job {self.id} does not exist", remedy="it may have been deleted; client.jobs() lists jobs")

    def result(self, *, timeout_s: float | None = None) -> Any:
        """What it answered, waiting for that where needed. Raises JobFailed with the traceback from there."""
        return self.outcome(timeout_s=timeout_s).value()

    def log(self, stream: str = "stdout", *, attempt: int | None = None) -> str:
        """What it printed, of its latest ended try or another; a gap says how much was not kept."""
        return self._client.log_text(self.id, attempt=attempt, stream=stream)

    def follow(self, *, attempt: int | None = None, streams: Sequence[str] = ("stdout", "stderr")) -> Iterator[Printed]:
        """What it prints, as it comes, until it has ended: ``for part in job.follow(): print(part.text, end="")``.

        Of one ``attempt``, or of all of them in turn; ``part.left_out`` says how many bytes before it were not kept.
        """
        return self._client.follow(self.id, attempt=attempt, streams=streams)

    @property
    def progress(self) -> Reached | None:
        """How far it said it was when last seen; None where it does not run or does not say."""
        said = self._member("progress")
        return None if said is None else _reached(said)

    def attempts(self) -> list[JsonObject]:
        """Its ended tries, oldest first."""
        return self._client.attempts(self.id)

    # ------------------------------------------------------------------------------------------------------- acting

    def kill(self) -> Operation:
        """Stop it, where it waits or runs."""
        return self._client.kill(self.id)

    def rerun(self, *, elsewhere: bool = False) -> Operation:
        """Run it again under its id, where it has finished; ``elsewhere``: not on machines where it failed."""
        return self._client.rerun(self.id, elsewhere=elsewhere)

    def copy(self) -> Job:
        """Insert the same job anew; answers the new one."""
        (job_id,) = self._client.copy(self.id).jobs
        return Job(self._client, job_id)

    def delete(self) -> Operation:
        """Delete it for good, where it does not run."""
        return self._client.delete(self.id)


def _reached(said: JsonObject) -> Reached:
    return Reached(said["n"], said["total"], said["eta_s"], said["at"])
