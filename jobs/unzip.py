"""A zip from somebody else, unpacked without trusting a word of it (B11).

Refused whole: the destination is made only by this call and removed when anything is wrong. Sizes are counted while
unpacking, names are judged before anything is written, nothing but plain files and folders is made.
"""

import os
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Final

from jobs.errors import InvalidInput
from jobs.folders import FILES_LIMIT, MAIN, SIZE_LIMIT_BYTES, check_path, set_mode

RATIO_LIMIT: Final = 100
#: The record an archive ends with, without its comment.
_LAST: Final = b"PK\x05\x06"
_LAST_BYTES: Final = 22
_BLOCK_BYTES: Final = 1 << 16
_UTF8_FLAG: Final = 0x800
_ENCRYPTED_FLAG: Final = 0x1
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


def unpack(path: Path, dest: Path) -> None:
    """Unpack a job folder's zip into the new folder ``dest``. Raises InvalidInput with the reason."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_whole(path, archive)
            files = _judge(archive)
            _write(archive, files, dest, path.stat().st_size * RATIO_LIMIT)
    except InvalidInput:
        shutil.rmtree(dest, ignore_errors=True)
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        shutil.rmtree(dest, ignore_errors=True)
        raise InvalidInput("zip", f"is damaged or of an unknown kind: {error!s:.200}") from None
    except BaseException:
        shutil.rmtree(dest, ignore_errors=True)
        raise


# -------------------------------------------------------------------------------------------------------------- judge


def _check_whole(path: Path, archive: zipfile.ZipFile) -> None:
    """Nothing before the first entry, nothing after the end: other programs might read that as another archive."""
    if any(entry.header_offset == 0 for entry in archive.infolist()) != bool(archive.infolist()):
        raise InvalidInput("zip", "has something before its beginning")
    with path.open("rb") as stream:
        stream.seek(-_LAST_BYTES - len(archive.comment), os.SEEK_END)
        if stream.read(len(_LAST)) != _LAST:
            raise InvalidInput("zip", "has something after its end")


def _judge(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """{path: entry} of all files, every entry found harmless."""
    entries = archive.infolist()
    if len(entries) > FILES_LIMIT:
        raise InvalidInput("zip", f"has more than {FILES_LIMIT} entries")
    files: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = _safe_name(entry)
        _check_kind(entry, name)
        if entry.is_dir():
            continue
        if name in files:
            raise InvalidInput("zip", f"{name} is in it twice")
        files[name] = entry
    _check_tree(files)
    return files


def _safe_name(entry: zipfile.ZipInfo) -> str:
    name = _true_name(entry)
    trimmed = name.rstrip("/") if entry.is_dir() else name
    if name.startswith("/") or any(part in ("", ".", "..") for part in trimmed.split("/")):
        raise InvalidInput("zip", f"{name[:200]!a} leads out of the folder")
    if len(name) > 1 and name[1] == ":":
        raise InvalidInput("zip", f"{name[:200]!a} is an absolute path")
    return check_path(trimmed, "zip")


def _true_name(entry: zipfile.ZipInfo) -> str:
    """Older tools write names without saying how; these are UTF-8 or, from a Chinese Windows, GB 18030."""
    if entry.flag_bits & _UTF8_FLAG or entry.filename.isascii():
        return entry.filename
    raw = entry.filename.encode("cp437")
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InvalidInput("zip", f"{entry.filename[:200]!a} is a name in an unknown encoding; zip it with UTF-8 names")


def _check_kind(entry: zipfile.ZipInfo, name: str) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InvalidInput("zip", f"{name} is a link or a special file")
    if entry.flag_bits & _ENCRYPTED_FLAG:
        raise InvalidInput("zip", f"{name} is encrypted")
    if entry.compress_type not in _METHODS:
        raise InvalidInput("zip", f"{name} is compressed by a method other than deflate")


def _check_tree(files: dict[str, zipfile.ZipInfo]) -> None:
    _check_twins(files)
    if MAIN not in files:
        raise InvalidInput("zip", f"has no {MAIN} at its top; zip the folder's content, not the folder")
    for name in files:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in files:
                raise InvalidInput("zip", f"{'/'.join(parts[:depth])} is both a file and a folder")


def _check_twins(files: Iterable[str]) -> None:
    """Names that some file systems take for one: by case, or by how accents are written."""
    seen: dict[str, str] = {}
    for name in files:
        for path in (name, *(str(parent) for parent in PurePosixPath(name).parents)):
            twin = seen.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
            if twin != path:
                raise InvalidInput("zip", f"{twin} and {path} are one name on some machines")


# -------------------------------------------------------------------------------------------------------------- write


def _write(archive: zipfile.ZipFile, files: dict[str, zipfile.ZipInfo], dest: Path, ratio_limit_bytes: int) -> None:
    limit_bytes = min(SIZE_LIMIT_BYTES, ratio_limit_bytes)
    dest.mkdir(parents=True)
    for name, entry in files.items():
        path = dest / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, path.open("xb") as target:
            limit_bytes -= _pour(source, target, limit_bytes, ratio_limit_bytes < SIZE_LIMIT_BYTES)
        set_mode(path, executable=bool(entry.external_attr >> 16 & 0o100))


def _pour(source: IO[bytes], target: IO[bytes], limit_bytes: int, by_ratio: bool) -> int:
    """Copy, counting; how many bytes."""
    count = 0
    while block := source.read(_BLOCK_BYTES):
        count += len(block)
        if count > limit_bytes:
            bound = f"{RATIO_LIMIT} times its own size" if by_ratio else f"{SIZE_LIMIT_BYTES} bytes"
            raise InvalidInput("zip", f"unpacks to more than {bound}")
        target.write(block)
    return count
