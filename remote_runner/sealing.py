"""Put a version's folder in its place: what was staged beside it, or what comes as differences from an older one.

Either way the whole is read and compared with its digest before it is renamed: half a folder is never run.
"""

import json
import os
import stat
from typing import Any, BinaryIO, Dict, Optional

from remote_runner import digest, names
from remote_runner.folder import remove

_CHUNK_BYTES = 1 << 18


class Refused(Exception):
    """What was asked cannot be done; the text says why."""


def seal(root: str, stage: str, name: str, wanted: str) -> Dict[str, Any]:
    """Make the staged folder the version ``name``, if it is what it should be. An equal one there is as good."""
    source = os.path.join(root, names.check_path(stage))
    target = os.path.join(root, names.check_path(name))
    if _is_sound(target, wanted):
        remove(source)
        return {"sealed": name, "was_there": True}
    found = digest.of_folder(source)
    if found != wanted:
        raise Refused("%s has digest %s, not %s" % (stage, found, wanted))
    _make_read_only(source)
    if os.path.lexists(target):
        remove(target)
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    os.rename(source, target)
    return {"sealed": name, "was_there": False}


def _is_sound(folder: str, wanted: str) -> bool:
    try:
        return os.path.isdir(folder) and digest.of_folder(folder) == wanted
    except (OSError, ValueError):
        return False


def _make_read_only(root: str) -> None:
    """Take the right to write from every file and folder below; the top keeps it, or it could not be renamed."""
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            executable = os.stat(path).st_mode & stat.S_IXUSR
            os.chmod(path, 0o500 if executable else 0o400)
        if folder != root:
            os.chmod(folder, 0o500)


def receive(root: str, base: Optional[str], stage: str, name: str, wanted: str, source: BinaryIO) -> Dict[str, Any]:
    """Make the version ``name`` of what is linked from the version ``base`` and what ``source`` holds: a line of JSON,
    ``[[path, executable, size or null for linked], ...]``, then the contents in that order.
    """
    made = os.path.join(root, names.check_path(stage))
    links = os.path.join(root, names.check_path(base) if base else made)
    try:
        os.makedirs(made, 0o700)
        for path, executable, size in json.loads(source.readline().decode("ascii")):
            target = os.path.join(os.fsencode(made), _path(path))
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            if size is None:
                os.link(os.path.join(os.fsencode(links), _path(path)), target)
            else:
                _write(target, 0o500 if executable else 0o400, size, source)
        return seal(root, stage, name, wanted)
    except BaseException:
        remove(made)
        raise


def _path(told: Any) -> bytes:
    """Paths are bytes, told as the characters of the same numbers: no locale has a say."""
    return names.check_path(told).encode("latin-1")


def _write(path: bytes, mode: int, size: int, source: BinaryIO) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as target:
        while size:
            data = source.read(min(size, _CHUNK_BYTES))
            if not data:
                raise Refused("the input ended early")
            target.write(data)
            size -= len(data)
