"""Small disks of our own, for what happens when one is full, or when the power goes. Need root and loop devices."""

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support import wait

_PATH = "/usr/sbin:/sbin"


def missing() -> list[str]:
    """What this machine lacks to mount disks of our own."""
    if os.geteuid() != 0:
        return ["root, to mount disks"]
    path = f"{os.environ.get('PATH', '')}:{_PATH}"
    lacks = [name for name in ("mkfs.ext4", "losetup", "mount", "umount") if shutil.which(name, path=path) is None]
    if not lacks:
        with tempfile.TemporaryDirectory(prefix="mj-disk-") as folder:
            try:
                with image(Path(folder), megabytes=8):
                    pass
            except subprocess.CalledProcessError:
                lacks = ["leave to mount a loop device"]
    return lacks


class Image:
    """An ext4 disk that is a file, mounted at ``at``; what it holds is on the disk only as far as it was synced."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.at = folder / "disk"
        self.file = folder / "disk.img"
        self.at.mkdir()
        with self.file.open("wb") as file:
            file.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(self.file))
        self.mount()

    def mount(self) -> None:
        self.device = _run("losetup", "--find", "--show", str(self.file))
        _run("mount", "-t", "ext4", self.device, str(self.at))

    def unmount(self) -> None:
        """As soon as nobody is on it."""
        wait.until(self._unmounted, what=f"leave to unmount {self.at}", timeout_s=60, pause_s=0.1)
        _run("losetup", "--detach", self.device)

    def _unmounted(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            _run("umount", str(self.at))
            return True
        return False

    def snapshot(self, to: Path) -> bool:
        """Copy what is on the disk now; False: something was written to it meanwhile, so the copy is of no moment."""
        before = self._sectors_written()
        _run("cp", "--sparse=always", str(self.file), str(to))
        return before == self._sectors_written()

    def replace(self, copy: Path) -> None:
        """Go on with what a copy holds, as after a power loss; the file system recovers itself as it is mounted."""
        self.unmount()
        copy.replace(self.file)
        self.mount()

    def _sectors_written(self) -> str:
        return Path("/sys/block", Path(self.device).name, "stat").read_text().split()[6]


@contextlib.contextmanager
def image(folder: Path, megabytes: int = 128) -> Iterator[Image]:
    """A mounted disk in this folder; unmounted at the end."""
    made = Image(folder, megabytes)
    try:
        yield made
    finally:
        made.unmount()


@contextlib.contextmanager
def memory(at: Path, megabytes: int) -> Iterator[Path]:
    """A disk in memory, mounted at this new folder."""
    at.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "none", str(at))
    try:
        yield at
    finally:
        _run("umount", "--lazy", str(at))


class Ballast:
    """Fills the disk a folder is on, to the last byte that can be had, until it is ``dropped``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".ballast"

    def fill(self) -> int:
        """Take what is free now; how many bytes."""
        taken = 0
        with self._path.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        taken += file.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        return taken

    def drop(self) -> None:
        self._path.unlink(missing_ok=True)


def _run(*command: str) -> str:
    path = f"{os.environ.get('PATH', '')}:{_PATH}"
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PATH": path})
    return done.stdout.strip()
