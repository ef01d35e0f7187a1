"""A job folder → the zip the server takes, and back. Keeps sub-folders, binary files, executable bits and any names.

Left out: what ``.mjignore`` says, version control, caches and ``.info``. Links are refused: they would not
mean the same elsewhere.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from . import ignore
from .errors import Invalid
from .ignore import Ignore

#: The same folder always makes the same bytes: no times in it.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(folder: Path, out: BinaryIO) -> int:
    """Write the folder as a zip to ``out``; answer how many files."""
    files = list(files_of(folder))
    if not any(name == "main.py" for name, _ in files):
        raise Invalid(f"{folder} holds no main.py", field="path")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files:
            archive.writestr(_entry(name, path), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return len(files)


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files that belong to the job, by their path in the folder with slashes, in a fixed order."""
    if not folder.is_dir():
        raise Invalid(f"{folder} is not a folder", field="path")
    yield from _walk(folder, folder, Ignore(_lines(folder / ignore.FILE)))


def unpack(archive: BinaryIO, folder: Path) -> None:
    """Write a zip from the server below ``folder``; a path that leads out of it is refused."""
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            target = folder / _inside(entry.filename)
            if entry.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(opened.read(entry))
            if entry.external_attr >> 16 & 0o100:
                target.chmod(0o755)


def _walk(folder: Path, top: Path, ignored: Ignore) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        name = path.relative_to(top).as_posix()
        if ignored.leaves_out(name, is_folder=path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink():
            raise Invalid(f"{path} is a link; put the file itself there, or name it in {ignore.FILE}", field="path")
        if path.is_dir():
            yield from _walk(path, top, ignored)
        elif path.is_file():
            yield name, path


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []


def _entry(name: str, path: Path) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    executable = bool(path.stat().st_mode & stat.S_IXUSR)
    entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    entry.create_system = 3  # Unix, whatever this machine is: the bits above are read only then
    return entry


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise Invalid(f"the server's zip holds the path {name!r}, which leads out of the folder", field="path")
    return path
