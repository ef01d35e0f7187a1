"""The folder a worker runs in: its own, showing the version's entries as links, taking whatever the job writes."""

import os
from typing import List, Tuple

_stat = os.stat


class Folder:
    """Made anew before an executor starts, unless nothing in it was changed since."""

    def __init__(self, path: str, version: str) -> None:
        self.path = path
        self._version = version
        self._folders: List[Tuple[str, int]] = []  # (folder, its mtime_ns when untouched)
        self._here = (0, 0, 0)

    def make(self) -> None:
        """Show the version's entries, and nothing else."""
        if self._folders and not self.is_changed():
            return
        remove(self.path)
        made = []
        for source, _, files in os.walk(self._version):
            target = os.path.normpath(os.path.join(self.path, os.path.relpath(source, self._version)))
            os.mkdir(target, 0o700)
            for name in files:
                os.symlink(os.path.join(source, name), os.path.join(target, name))
            made.append(target)
        self._folders = [(each, _set_old(each)) for each in reversed(made)]
        top = _stat(self.path)
        self._here = (top.st_ino, top.st_dev, top.st_mtime_ns)

    def is_here(self) -> bool:
        """Whether the current directory is this folder, with no entry added or removed at its top."""
        try:
            now = _stat(".")
        except OSError:
            return False
        return (now.st_ino, now.st_dev, now.st_mtime_ns) == self._here

    def is_changed(self) -> bool:
        """Whether any entry was added or removed anywhere in it."""
        try:
            for folder, mtime_ns in self._folders:
                if _stat(folder).st_mtime_ns != mtime_ns:
                    return True
        except OSError:
            return True
        return False


def _set_old(folder: str) -> int:
    """Give a folder a time long past: the clock of a file system is so coarse that a change at once would not show."""
    os.utime(folder, (1, 1))
    return _stat(folder).st_mtime_ns


def remove(path: str) -> None:
    """Remove a folder and all below, also where a job took the right to write away."""
    if os.path.islink(path) or not os.path.isdir(path):
        if os.path.lexists(path):
            os.unlink(path)
        return
    for folder, _, _ in os.walk(path):
        try:
            os.chmod(folder, 0o700)
        except OSError:
            pass
    import shutil  # not above: on older Pythons it loads threading, which costs every fork of a runner's a quarter more

    shutil.rmtree(path, ignore_errors=True)
