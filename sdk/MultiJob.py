"""The name Multi Job's users import: ``from MultiJob import MultiJob``. Their calls, answered by the new server.

Methods keep the manual's names, sticky settings and answers: an id or -1, 1 or 0, and for questions the envelope
``{"code", "message", "data"}``. Like before, a failure is no exception: it is logged (so that a script without logging
sees it on its terminal), and the answer says so.
``client`` is the typed client underneath, for everything new.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, Union

from multijob import Client, Conflict, Invalid, LoadedJob, MultiJobError, NotAllowed, NotFound, call

logger = logging.getLogger(__name__)

#: Inserts of unknown fate that are remembered at most.
UNSURE_LIMIT = 10_000

Ids = Union[int, Iterable[int], None]
Envelope = dict[str, Any]
T = TypeVar("T")


class MultiJob:
    """``MultiJob(base_url="http://127.0.0.1:5006")``; the manual's spelling ``base_ur=`` is taken as well."""

    def __init__(
        self, base_url: str = "", username: str = "", password: str = "", *, base_ur: str = "", token: str | None = None
    ) -> None:
        self.username = username
        self.main: Callable[..., Any] | None = None
        self.return_main: Callable[..., Any] | None = None
        self._token = token or password or None
        self._options: dict[str, Any] = {}
        #: Inserts whose answer did not come, by what they said, and the key that makes repeating them harmless.
        self._unsure: dict[str, str] = {}
        self.set_base_url(base_url or base_ur)

    def set_base_url(self, base_url: str) -> None:
        """Speak to this server from now on; empty: find the local one."""
        self.client = Client(base_url or None, self._token)
        self.base_url = self.client.base_url

    def set_username(self, username: str, password: str) -> None:
        """Say who you are from now on; the password is a token."""
        self.username = username
        self._token = password or None
        self.set_base_url(self.base_url)

    # ------------------------------------------------------------------------------------------- settings that stick

    def set_batch(self, batch: str) -> int:
        """The batch of the jobs inserted from now on; "" is today's date."""
        return self._set(batch=str(batch))

    def set_tag(self, tag: str) -> int:
        """Only machines that carry this tag run the jobs inserted from now on; "" is any machine."""
        return self._set(tag=str(tag))

    def set_priority(self, priority: int = 0) -> int:
        """The priority of the jobs inserted from now on; the higher, the sooner."""
        return self._set(priority=int(priority))

    def set_limit_count(self, limit_count: int = 1) -> int:
        """How often the jobs inserted from now on are run again after a failure."""
        return self._set(limit_count=int(limit_count))

    def _set(self, **option: Any) -> int:
        self._options.update(option)
        return 1

    # --------------------------------------------------------------------------------------------------------- jobs

    def insert_job(self, job_type: str, *args: Any, **kwargs: Any) -> int:
        """Insert one job; answers its id, or -1.

        After a -1 because the server did not answer, the same call again inserts nothing twice.
        """
        said = json.dumps([job_type, args, kwargs, self._options], sort_keys=True, default=repr)
        client = self.client.using(**self._options)
        try:
            jobs = client.submit_many(job_type, [call(*args, **kwargs)], key=self._unsure.pop(said, None))
        except MultiJobError as error:
            logger.warning("%s", error)
            if error.key and not isinstance(error, (Conflict, Invalid, NotAllowed, NotFound)):
                self._remember(said, error.key)
            return -1
        return jobs.ranges[0][0]

    def _remember(self, said: str, key: str) -> None:
        if len(self._unsure) >= UNSURE_LIMIT:
            self._unsure.pop(next(iter(self._unsure)), None)
        self._unsure[said] = key

    def get_job_detail(self, job_id: int) -> Envelope:
        """One job, with its result."""
        return self._question("jobs/get_job_details", job_id=job_id)

    def get_job_list(
        self,
        job_type: str | None = None,
        batch: str | None = None,
        offset: int = 0,
        limit: int = 10,
        machine_id: str | None = None,
        status: int | None = None,
    ) -> Envelope | int:
        """Jobs that fit, newest first, with how many there are in all; 0 where nothing says which."""
        if not (job_type or batch or machine_id or status is not None) or offset < 0 or limit < 0:
            return 0
        filters = {"job_type": job_type, "batch": batch, "machine_id": machine_id, "status": status}
        return self._question("jobs/get_job_list", offset=offset, limit=limit, **filters)

    def get_job_summary(self, job_type: str | None = None, batch: Any = -1) -> Envelope:
        """Counts: by job type (batch -1), by job type and batch (None), or of one batch."""
        return self._question("jobs/get_job_summary", job_type=job_type, batch=batch)

    def kill_job(
        self, job_id: Ids = None, job_type: str | None = None, machine_id: str | None = None, batch: str | None = None
    ) -> int:
        """Stop waiting and running jobs."""
        return self._act("kill", job_id, job_type, machine_id, batch)

    stop_job = kill_job

    def rerun_job(
        self, job_id: Ids = None, job_type: str | None = None, machine_id: str | None = None, batch: str | None = None
    ) -> int:
        """Run finished jobs again under their ids."""
        return self._act("rerun", job_id, job_type, machine_id, batch)

    def copy_job(
        self, job_id: Ids = None, job_type: str | None = None, machine_id: str | None = None, batch: str | None = None
    ) -> int:
        """Insert the same jobs anew."""
        return self._act("copy", job_id, job_type, machine_id, batch)

    def delete_job(
        self, job_id: Ids = None, job_type: str | None = None, machine_id: str | None = None, batch: str | None = None
    ) -> int:
        """Delete jobs; running ones stay."""
        return self._act("delete", job_id, job_type, machine_id, batch)

    # ---------------------------------------------------------------------------------------------------- job types

    def update_job_file_status(self, job_type: str, job_path: str | Path | None = None) -> Envelope:
        """Register the server's folder of this name, or publish the one at ``job_path``."""
        return self._asked(lambda: {"version": self.client.register(job_type, job_path).version})

    def get_all_job_type(self) -> Envelope:
        """The job types, by name."""
        return self._question("jobs/get_all_job_type")

    def load_job_file(self, job_type: str | None = None, job_path: str | Path | None = None) -> int:
        """Load a job folder into this process: ``main`` and ``return_main`` can then be called here."""
        self.main = self.return_main = None
        if bool(job_type) == bool(job_path):
            return 0
        loaded: LoadedJob | None = self._try(lambda: self.client.load(job_type, job_path), None)
        if loaded is None:
            return 0
        self.main, self.return_main = loaded.main, loaded.return_main
        return 1

    # ------------------------------------------------------------------------------------------------------- inside

    def _try(self, ask: Callable[[], T], otherwise: T) -> T:
        try:
            return ask()
        except MultiJobError as error:
            logger.warning("%s", error)
            return otherwise

    def _question(self, path: str, **params: Any) -> Envelope:
        """What the server answers on one of its old paths."""
        return self._enveloped(lambda: self.client.call("GET", f"/{path}", params))

    def _asked(self, ask: Callable[[], Any]) -> Envelope:
        return self._enveloped(lambda: {"code": 200, "message": "ok", "data": ask(), "status": 200})

    def _enveloped(self, ask: Callable[[], Envelope]) -> Envelope:
        try:
            return ask()
        except (NotFound, Invalid) as error:
            return {"code": 301, "message": error.message, "data": {}, "status": 301}
        except MultiJobError as error:
            logger.warning("%s", error)
            return {}

    def _act(self, action: str, job_id: Ids, job_type: str | None, machine_id: str | None, batch: str | None) -> int:
        if not (job_id or job_type or machine_id or batch):
            return 0
        ids = None if job_id is None else [job_id] if isinstance(job_id, int) else sorted(set(job_id))
        filters: dict[str, Any] = {"ids": ids, "job_type": job_type, "machine_id": machine_id, "batch": batch}
        named = {name: value for name, value in filters.items() if value not in (None, "")}
        return self._try(lambda: int(self.client.bulk(action, **named).state == "done"), 0)
