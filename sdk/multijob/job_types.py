"""The client's part about job types: publish folders, look at versions, bring code back; and one as an object."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import folder
from .asking import Asking, given, part
from .errors import Invalid
from .local import LoadedJob
from .row import JsonObject, Row
from .values import Published

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .client import Client
    from .jobset import JobSet


class JobType(Row):
    """Made by ``client.job_type(name)`` without asking; its members are as last seen until ``refresh``."""

    def __init__(self, client: Client, name: str, seen: JsonObject | None = None) -> None:
        super().__init__(client, seen)
        self.name = name

    def _fetch(self) -> JsonObject:
        return self._client.call("GET", f"/api/v1/job_types/{part(self.name)}")

    def _title(self) -> str:
        version = "" if self._seen is None else f"@{self._seen.get('version', '')}"
        return f"JobType {self.name}{version}"

    @property
    def version(self) -> int:
        """The newest version, which new attempts run."""
        return int(self._member("version"))

    def versions(self) -> list[JsonObject]:
        """All versions, newest first."""
        return self._client.versions(self.name)

    def diff(self, version: int | None = None, against: int | None = None) -> JsonObject:
        """What a version (the newest) changed against another (the one before); see ``Client.diff``."""
        return self._client.diff(self.name, self.version if version is None else version, against)

    def register(self, path: str | Path | None = None) -> Published:
        """Publish the folder at ``path``, or the server's own of this name."""
        self._seen, self._whole = None, False
        return self._client.register(self.name, path)

    def rollback(self, version: int) -> Published:
        """Make the content of an older version the newest again."""
        self._seen, self._whole = None, False
        return self._client.rollback(self.name, version)

    def forget(self) -> int:
        """Forget it; see ``Client.forget``."""
        return self._client.forget(self.name)

    def download(self, dest: str | Path, version: int | None = None) -> Path:
        """Write its folder to ``dest``."""
        return self._client.download(self.name, dest, version)

    def load(self) -> LoadedJob:
        """Its newest version ready to be tried in this process."""
        return self._client.load(self.name)

    def insert(self, *args: Any, **kwargs: Any) -> int:
        """Insert one job of it; answers the id."""
        return self._client.insert(self.name, *args, **kwargs)

    def submit_many(self, items: Any, **options: Any) -> JobSet:
        """Insert a job for each item; see ``Client.submit_many``."""
        return self._client.submit_many(self.name, items, **options)

    def map(self, items: Any, **options: Any) -> Iterator[Any]:
        """What jobs for each item answer, in order; see ``Client.map``."""
        return self._client.map(self.name, items, **options)


class JobTypes(Asking):
    """Publish, look, bring back."""

    def job_types(self) -> list[JobType]:
        """The job types the server knows."""
        return [JobType(self._me, row["job_type"], row) for row in self._rows("/api/v1/job_types", "job_types")]

    def job_type(self, name: str) -> JobType:
        """One job type. Nothing is asked until something of it is wanted."""
        return JobType(self._me, name)

    def register(self, job_type: str, path: str | Path | None = None) -> Published:
        """Publish a job folder from here (``path``), or the one in the server's own jobs folder.

        Unchanged content makes no new version.
        """
        where = f"/api/v1/job_types/{part(job_type)}"
        if path is None:
            answer = self._http.json("POST", f"{where}/register")
        else:
            answer = self._upload(f"{where}/versions", Path(path).expanduser())
        return Published(answer["version"], answer["changed"])

    def _upload(self, where: str, path: Path) -> Any:
        with tempfile.TemporaryFile() as archive:
            folder.pack(path, archive)
            return self._http.json("POST", where, body=archive, headers={"Content-Type": "application/zip"})

    def versions(self, job_type: str) -> list[JsonObject]:
        """All versions of a job type, newest first."""
        return self._rows(f"/api/v1/job_types/{part(job_type)}", "versions")

    def diff(self, job_type: str, version: int, against: int | None = None) -> JsonObject:
        """What changed by file: unified text, and sizes where it is no text."""
        where = f"/api/v1/job_types/{part(job_type)}/versions/{int(version)}/diff"
        return self._object("GET", where, given(against=against))

    def rollback(self, job_type: str, version: int) -> Published:
        """Make the content of an older version the newest again."""
        where = f"/api/v1/job_types/{part(job_type)}/rollback"
        answer = self._object("POST", where, json_body={"version": version}, repeatable=False)
        return Published(answer["version"], answer["changed"])

    def forget(self, job_type: str) -> int:
        """Forget a job type: its waiting jobs end as failed, running ones finish. Answers how many were ended."""
        ended: int = self._object("DELETE", f"/api/v1/job_types/{part(job_type)}", repeatable=False)["changed"]
        return ended

    def download(self, job_type: str, dest: str | Path, version: int | None = None) -> Path:
        """Write a job type's folder, return_main.py included, to ``dest``; needs the scope publish."""
        number = self.job_type(job_type).version if version is None else version
        where = f"/api/v1/job_types/{part(job_type)}/versions/{number}/zip"
        target = Path(dest)
        with tempfile.TemporaryFile() as archive:
            with self._http.stream("GET", where) as pieces:
                for piece in pieces:
                    archive.write(piece)
            archive.seek(0)
            folder.unpack(archive, target)
        return target

    def load(self, job_type: str | None = None, path: str | Path | None = None) -> LoadedJob:
        """A job folder ready to be tried in this process: a local one, or the server's newest of a job type."""
        if path is not None:
            return LoadedJob(Path(path).expanduser())
        if not job_type:
            raise Invalid("is missing", field="job_type", remedy="name a job type, or a path")
        scratch = Path(tempfile.mkdtemp(prefix="multijob-"))
        loaded = LoadedJob(self.download(job_type, scratch / job_type))
        weakref.finalize(loaded, shutil.rmtree, scratch, ignore_errors=True)
        return loaded
