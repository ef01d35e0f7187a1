"""Job folders as files: an exact copy of what a folder holds, its zip out and in, the part that nodes get.

Works below the paths it is given and nowhere else. Links and special files are refused, never followed. No database.
"""

import json
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from enum import Enum
from io import BytesIO
from pathlib import Path
from typing import Final

from jobs.errors import InvalidInput
from jobs.ignore import FILE as IGNORE_FILE
from jobs.ignore import Ignore
from remote_runner import digest

MAIN: Final = "main.py"
INFO: Final = ".info"
#: Top-level names that never leave the server.
SERVER_ONLY: Final = frozenset({"return_main.py", "return_main"})
FILES_LIMIT: Final = 10_000
SIZE_LIMIT_BYTES: Final = 256 * 1024 * 1024
#: A zip may have a fixed time only within its own range; this is its first.
_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


class Part(Enum):
    """Which part of a version is meant."""

    NODE = "node"
    SERVER = "server"


# --------------------------------------------------------------------------------------------------------------- copy


def copy(source: Path, dest: Path) -> None:
    """Copy what belongs to a version into the new folder ``dest``. Raises InvalidInput for what cannot belong."""
    if not source.is_dir():
        raise InvalidInput("folder", f"{source.name} is not a folder")
    dest.mkdir(parents=True)
    size_bytes = 0
    for count, (relative, path) in enumerate(_chosen(source), 1):
        size_bytes += path.stat().st_size
        check_size(count, size_bytes)
        _copy_file(path, dest / relative)
    if not (dest / MAIN).is_file():
        raise InvalidInput("folder", f"there is no {MAIN}; a job folder needs one with a function work()")


def _chosen(source: Path) -> Iterator[tuple[str, Path]]:
    """(path below the folder, file) of all that is not left out, in a fixed order."""
    ignore = Ignore(_ignore_lines(source))
    pending = [source]
    while pending:
        for entry in sorted(os.scandir(pending.pop()), key=lambda entry: entry.name):
            relative = Path(entry.path).relative_to(source).as_posix()
            is_folder = entry.is_dir(follow_symlinks=False)
            if ignore.leaves_out(relative, is_folder=is_folder):
                continue
            if is_folder:
                pending.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield check_path(relative, "folder"), Path(entry.path)
            else:
                raise InvalidInput("folder", f"{relative} is a link or a special file; only files can be sent")


def _ignore_lines(source: Path) -> list[str]:
    path = source / IGNORE_FILE
    if path.is_symlink() or not path.is_file():
        return []
    return path.read_text("utf-8", "replace").splitlines()


def _copy_file(source: Path, dest: Path) -> None:
    dest.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, dest, follow_symlinks=False)
    set_mode(dest, executable=bool(source.stat().st_mode & 0o100))


def set_mode(path: Path, *, executable: bool) -> None:
    """The two modes a file of a version can have."""
    path.chmod(0o755 if executable else 0o644)


def check_size(count: int, size_bytes: int) -> None:
    """Bounds of a version. Raises InvalidInput."""
    if count > FILES_LIMIT:
        raise InvalidInput("folder", f"has more than {FILES_LIMIT} files; leave some out with {IGNORE_FILE}")
    if size_bytes > SIZE_LIMIT_BYTES:
        raise InvalidInput("folder", f"is over {SIZE_LIMIT_BYTES} bytes; leave files out with {IGNORE_FILE}")


def check_path(relative: str, field: str) -> str:
    """A path every part can handle: UTF-8, no control characters, no backslash, not too long. Raises InvalidInput."""
    try:
        encoded = relative.encode()
    except UnicodeEncodeError:
        raise InvalidInput(field, f"{relative!a} is not a UTF-8 name") from None
    if "\\" in relative or any(ord(letter) < 32 or ord(letter) == 127 for letter in relative):
        raise InvalidInput(field, f"{relative!a} has a backslash or a control character in its name")
    if len(encoded) > 1024 or any(len(name.encode()) > 255 for name in relative.split("/")):
        raise InvalidInput(field, f"{relative[:64]!a}… is too long a name")
    return relative


# ---------------------------------------------------------------------------------------------------------------- zip


def pack(folder: Path) -> bytes:
    """The folder as a zip: equal folders give equal bytes."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for relative, path in digest.entries(str(folder)):
            info = zipfile.ZipInfo(relative, _ZIP_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = stat.S_IMODE(os.stat(path).st_mode) << 16  # noqa: PTH116  (entries gives texts)
            archive.writestr(info, Path(path).read_bytes())
    return buffer.getvalue()


# --------------------------------------------------------------------------------------------------------------- parts


def part(whole: Path, dest: Path, which: Part, version: int, created_at: float) -> None:
    """Make the part of a version that nodes get, or the server uses, in the new folder ``dest``."""
    dest.mkdir(parents=True)
    for relative, path in digest.entries(str(whole)):
        if which == Part.SERVER or relative.split("/")[0] not in SERVER_ONLY:
            _copy_file(Path(path), dest / relative)
    write_info(dest, version, created_at)


def write_info(folder: Path, version: int, created_at: float) -> None:
    """The manual's .info: which version a folder is."""
    path = folder / INFO
    path.write_text(json.dumps({"version": version, "time": int(created_at)}) + "\n", "utf-8")
    set_mode(path, executable=False)


def has_return_main(whole: Path) -> bool:
    """Whether something is to be run on the server with what main returned."""
    return (whole / "return_main.py").is_file()


def overlay(source: Path, dest: Path) -> None:
    """Put all files of a folder into another, each at once, in place of those of the same name; others stay.

    Raises InvalidInput where a link, a file or a folder of that folder stands in the way.
    """
    files = [(relative, Path(path)) for relative, path in digest.entries(str(source))]
    for relative, _ in files:
        _check_way(dest, relative)
    for relative, path in files:
        target = dest / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _check_way(dest: Path, relative: str) -> None:
    target = dest / relative
    above = [dest, *(parent for parent in target.parents if dest in parent.parents)]
    blocked = any(parent.is_symlink() or (parent.exists() and not parent.is_dir()) for parent in above)
    if blocked or target.is_symlink() or target.is_dir():
        raise InvalidInput(
            "file", f"{relative}: something else stands in its place in the server's folder; remove it there"
        )


def place(made: Path, dest: Path) -> None:
    """Put a finished folder where it belongs, at once; when another was quicker, its equal folder stays."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    for path in made.rglob("*"):
        _sync(path)  # after a power loss its name could be there without its content, for good
    try:
        made.rename(dest)
    except OSError:
        if not dest.is_dir():
            raise
        shutil.rmtree(made)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
