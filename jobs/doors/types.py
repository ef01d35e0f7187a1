"""The door for job types: publish, look, download, forget."""

from pathlib import Path

from jobs import folders, packages
from jobs.diffing import Change
from jobs.doors.actions import Actions
from jobs.errors import UnknownJobType
from jobs.functions import PREFIX, UNUSED_KEPT_S, Functions, check_not_ours
from jobs.model import Action, ActionResult, JobFilter, JobVersion, Operation, Published
from jobs.status import Status
from jobs.store import Tx, types


class Types(Actions):
    """Job types and their versions."""

    @property
    def functions(self) -> Functions:
        """The door for the built-in job types that run functions."""
        return Functions(self.publish_folder)

    def publish_folder(self, job_type: str, folder: Path) -> Published:
        """Make a new version of what the folder holds, unless nothing changed. Raises InvalidInput."""
        return self._published(job_type, self._library.publish_folder(job_type, folder, self._clock()))

    def publish_zip(self, job_type: str, path: Path) -> Published:
        """As ``publish_folder``, from a zip file that may be hostile (B11): refused whole or taken whole."""
        return self._published(job_type, self._library.publish_zip(check_not_ours(job_type), path, self._clock()))

    def register(self, job_type: str) -> Published:
        """Publish HOME/jobs/<job type>."""
        return self._published(job_type, self._library.register(check_not_ours(job_type), self._clock()))

    def rollback(self, job_type: str, number: int) -> Published:
        """Publish an old version's content again, under a new number. Raises UnknownJobType, NotFound."""
        return self._published(job_type, self._library.rollback(check_not_ours(job_type), number, self._clock()))

    def changes(self, job_type: str, number: int, against: int) -> list[Change]:
        """What one version changed in another, file by file. Raises NotFound."""
        return self._library.changes(job_type, number, against)

    def _published(self, job_type: str, published: Published) -> Published:
        if published.changed:
            self.on_published(job_type, published.version)
        return published

    def upload(self, job_type: str, path: Path) -> None:
        """Unpack a zip into HOME/jobs/<job type>, for ``register``; refused whole as by ``publish_zip``."""
        self._library.upload(check_not_ours(job_type), path)

    def node_zip(self, job_type: str) -> bytes:
        """What nodes get of the newest version, as a zip. Raises UnknownJobType."""
        return self._library.node_zip(job_type)

    def folders(self) -> list[str]:
        """Folders in HOME/jobs, registered or not."""
        return self._library.folders()

    def first_times(self) -> dict[str, float]:
        """When the first version of each job type was made."""
        return self._library.first_times()

    def version(self, job_type: str, number: int) -> JobVersion:
        """One version. Raises NotFound."""
        return self._library.version(job_type, number)

    def versions(self, job_type: str) -> list[JobVersion]:
        """All versions of a job type, newest first. Raises UnknownJobType."""
        found = self._library.versions(job_type)
        if not found:
            raise UnknownJobType(job_type)
        return found

    def current_versions(self) -> dict[str, JobVersion]:
        """The newest version of every job type: what a waiting job would take now."""
        return self._library.current_versions()

    def unregistered(self) -> list[str]:
        """Folders in HOME/jobs that could be registered and are not."""
        return self._library.unregistered()

    def delete_type(self, job_type: str) -> ActionResult:
        """Forget a job type: its waiting jobs end as -1 (type_deleted), running ones finish. Raises UnknownJobType."""
        waiting_ones = JobFilter(job_type=job_type, status=frozenset({Status.WAITING}))

        def forget(tx: Tx) -> Operation:
            self._library.forget_in(tx, job_type, self._clock())
            return self.operations.begin_in(tx, Action.END_TYPE, waiting_ones)

        ended = self.operations.carry_on(self._store.write(forget))
        return ActionResult(ended.matched, ended.changed, dict(ended.skipped))

    def drop_unused_functions(self) -> None:
        """Remove the types of shared functions, content and all, of which no job has been left for a while."""
        before = self._clock() - UNUSED_KEPT_S
        self._store.write(lambda tx: types.remove_unused(tx, PREFIX, before))

    def node_folder(self, job_type: str, number: int) -> Path:
        """What a node gets, unpacked in the cache: with .info, without return_main.py. Raises NotFound."""
        return self._library.unpacked(job_type, number, folders.Part.NODE)

    def packages(self, job_type: str, number: int) -> tuple[str, ...]:
        """The packages a version asks for, as lines of a requirements file. Raises NotFound."""
        return packages.read(self.node_folder(job_type, number)).lines

    def server_folder(self, job_type: str, number: int) -> Path:
        """The whole version, unpacked in the cache: where return_main runs from. Raises NotFound."""
        return self._library.unpacked(job_type, number, folders.Part.SERVER)

    def zip_of(self, job_type: str, number: int) -> bytes:
        """The whole version as it was published, for download. Raises NotFound."""
        return self._library.zip_of(job_type, number)
