"""Versions of job types: made from folders and zips, kept in the store, unpacked into a cache that can be thrown away.

Publishing is atomic: everything is made beside and judged first, and the version exists with the commit of its row.
"""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import ZipFile, ZipInfo

from jobs import diffing, folders, settings
from jobs.errors import NotFound, StoreUnavailable, UnknownJobType
from jobs.folders import Part
from jobs.model import JobVersion, Published
from jobs.names import check_plain, is_plain
from jobs.store import Store, Tx, types
from jobs.unzip_apart import unpack
from remote_runner import digest

#: Publishes of one job type that meet look again; more than this many in a row is not chance.
_TRIES: Final = 10


class Library:
    """All job types of the store, with HOME/jobs as the users' own folders and ``cache`` as ours."""

    def __init__(self, store: Store, home_jobs: Path, cache: Path) -> None:
        self._store = store
        self._home_jobs = home_jobs
        self._cache = cache
        self._has_return_main: dict[tuple[str, int], bool] = {}
        #: Over HOME/jobs: a folder is not published while an upload is laid over it.
        self._folders = threading.Lock()
        self._unpacking = threading.Lock()

    # -------------------------------------------------------------------------------------------------------- publish

    def publish_folder(self, job_type: str, folder: Path, now: float) -> Published:
        """A new version of what the folder holds, unless it is what the current one holds."""
        return self._publish(job_type, lambda dest: folders.copy(folder, dest), now)

    def publish_zip(self, job_type: str, path: Path, now: float) -> Published:
        """The same from a zip."""

        def fill(dest: Path) -> None:
            with self._staging() as stage:
                unpack(path, stage / "zip")
                folders.copy(stage / "zip", dest)

        return self._publish(job_type, fill, now)

    def register(self, job_type: str, now: float) -> Published:
        """The same from HOME/jobs, whose .info then says the version."""
        folder = self._home_jobs / check_plain("job_type", job_type)
        if not folder.is_dir():
            raise NotFound(f"there is no folder {job_type} in {self._home_jobs}; put the job folder there first")
        with self._folders:
            published = self.publish_folder(job_type, folder, now)
            current = self.version(job_type, published.version)
            folders.write_info(folder, current.version, current.created_at)
        return published

    def upload(self, job_type: str, path: Path) -> None:
        """Unpack a zip over HOME/jobs/<job type>, whole or not at all; ``register`` then makes a version of it."""
        folder = self._home_jobs / check_plain("job_type", job_type)
        self._home_jobs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".upload-", dir=self._home_jobs) as stage:
            unpack(path, Path(stage) / "zip")
            folders.copy(Path(stage) / "zip", Path(stage) / "whole")
            with self._folders:
                folders.overlay(Path(stage) / "whole", folder)

    def rollback(self, job_type: str, number: int, now: float) -> Published:
        """An old version's content as a new version. Raises UnknownJobType, NotFound."""
        self.current(job_type)
        content = self.zip_of(job_type, number)

        def fill(dest: Path) -> None:
            with ZipFile(BytesIO(content)) as archive:
                _extract(archive, dest)

        return self._publish(job_type, fill, now)

    def _publish(self, job_type: str, fill: Callable[[Path], None], now: float) -> Published:
        check_plain("job_type", job_type)
        with self._staging() as stage:
            whole = stage / "whole"
            fill(whole)
            for _ in range(_TRIES):
                try:
                    return self._add(job_type, whole, now)
                except types.VersionTakenError:
                    continue
        raise StoreUnavailable(f"job type {job_type} is being published by others without end; try again later")

    def _add(self, job_type: str, whole: Path, now: float) -> Published:
        with self._store.read() as conn:
            before = types.latest(conn, job_type)
        made = _describe(job_type, whole, 0 if before is None else before[0] + 1, now)
        content = folders.pack(whole)
        chunks = [content[at : at + types.CHUNK_BYTES] for at in range(0, len(content), types.CHUNK_BYTES)]
        if len(chunks) > 1 and (before is None or before[1] != made.digest):
            for n, data in enumerate(chunks):
                self._store.write(partial(types.keep_piece, digest=made.digest, n=n, data=data))
        return self._store.write(lambda tx: types.add(tx, made, chunks))

    # ----------------------------------------------------------------------------------------------------------- look

    def current(self, job_type: str) -> JobVersion:
        """The newest version. Raises UnknownJobType."""
        check_plain("job_type", job_type)
        with self._store.read() as conn:
            found = types.newest(conn, job_type)
        if found is None:
            raise UnknownJobType(job_type)
        return found

    def current_versions(self) -> dict[str, JobVersion]:
        """The newest version of every job type."""
        with self._store.read() as conn:
            return types.current(conn)

    def versions(self, job_type: str) -> list[JobVersion]:
        """All versions of a job type, newest first."""
        with self._store.read() as conn:
            return types.everyone(conn, job_type)

    def version(self, job_type: str, number: int) -> JobVersion:
        """One version, also of a forgotten job type. Raises NotFound."""
        with self._store.read() as conn:
            found = types.one(conn, job_type, number)
        if found is None:
            raise NotFound(f"job type {job_type!r} has no version {number}")
        return found

    def has_return_main(self, job_type: str, number: int) -> bool:
        """Whether that version has a return_main; remembered, for versions never change."""
        key = (job_type, number)
        if key not in self._has_return_main:
            self._has_return_main[key] = self.version(job_type, number).has_return_main
        return self._has_return_main[key]

    def unregistered(self) -> list[str]:
        """Folders of HOME/jobs that look like job folders and are no job type yet."""
        if not self._home_jobs.is_dir():
            return []
        known = self.current_versions()
        found = (path.parent.name for path in self._home_jobs.glob(f"*/{folders.MAIN}"))
        return sorted(name for name in found if name not in known)

    def folders(self) -> list[str]:
        """Folders of HOME/jobs, registered or not."""
        if not self._home_jobs.is_dir():
            return []
        return sorted(path.name for path in self._home_jobs.iterdir() if is_plain(path.name) and path.is_dir())

    def first_times(self) -> dict[str, float]:
        """When the first version of each job type was made."""
        with self._store.read() as conn:
            return types.first_times(conn)

    def forget_in(self, tx: Tx, job_type: str, now: float) -> None:
        """Hide a job type, together with what else the transaction does. Raises UnknownJobType."""
        if not types.forget(tx, job_type, now):
            raise UnknownJobType(job_type)

    # --------------------------------------------------------------------------------------------------------- content

    def zip_of(self, job_type: str, number: int) -> bytes:
        """The whole version as a zip. Raises NotFound."""
        version = self.version(job_type, number)
        with self._store.read() as conn:
            return types.content(conn, version.digest)

    def changes(self, job_type: str, number: int, against: int) -> list[diffing.Change]:
        """What ``number`` changed in ``against``. Raises NotFound."""
        old, new = (self.zip_of(job_type, one) for one in (against, number))
        return diffing.compare(_files(old), _files(new))

    def node_zip(self, job_type: str) -> bytes:
        """What nodes get of the newest version, as a zip. Raises UnknownJobType."""
        return folders.pack(self.unpacked(job_type, self.current(job_type).version, Part.NODE))

    def unpacked(self, job_type: str, number: int, which: Part) -> Path:
        """That part of a version as a folder in the cache, made when it is not there. Raises NotFound."""
        version = self.version(job_type, number)
        folder = self._cache / which.value / version.job_type / f"{version.version}-{version.node_digest[:16]}"
        if not folder.is_dir():
            with self._unpacking:  # a hundred machines want it at once, and each file is brought to the disk
                if not folder.is_dir():
                    self._unpack(version, which, folder)
        return folder

    def _unpack(self, version: JobVersion, which: Part, folder: Path) -> None:
        with self._staging() as stage:
            with ZipFile(BytesIO(self.zip_of(version.job_type, version.version))) as archive:
                _extract(archive, stage / "whole")
            folders.part(stage / "whole", stage / "part", which, version.version, version.created_at)
            if which == Part.NODE and digest.of_folder(str(stage / "part")) != version.node_digest:
                raise StoreUnavailable(f"the stored content of {version.ref} is damaged; publish it again")
            folders.place(stage / "part", folder)

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        stage = Path(tempfile.mkdtemp(prefix="staging-", dir=self._cache))
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _describe(job_type: str, whole: Path, number: int, now: float) -> JobVersion:
    """The row of a new version. Its .info, and so what nodes get, depends on its number and time."""
    created_at = float(int(now))
    with tempfile.TemporaryDirectory(dir=whole.parent) as beside:
        node = Path(beside) / "node"
        folders.part(whole, node, Part.NODE, number, created_at)
        node_digest = digest.of_folder(str(node))
    return JobVersion(
        job_type=job_type,
        version=number,
        digest=digest.of_folder(str(whole)),
        node_digest=node_digest,
        has_return_main=folders.has_return_main(whole),
        settings=settings.read(whole),
        size_bytes=sum(Path(path).stat().st_size for _, path in digest.entries(str(whole))),
        created_at=created_at,
    )


def _files(content: bytes) -> dict[str, diffing.File]:
    """The files of a zip that ``folders.pack`` made."""
    with ZipFile(BytesIO(content)) as archive:
        return {entry.filename: diffing.File(archive.read(entry), _executable(entry)) for entry in archive.infolist()}


def _executable(entry: ZipInfo) -> bool:
    return bool(entry.external_attr >> 16 & 0o100)


def _extract(archive: ZipFile, dest: Path) -> None:
    """Unpack what ``folders.pack`` made and the store kept."""
    dest.mkdir()
    for entry in archive.infolist():
        path = dest / entry.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive.read(entry))
        folders.set_mode(path, executable=_executable(entry))
