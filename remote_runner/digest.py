"""The digest that names a folder's content; the same on the server and on every node. Reads files, writes nothing.

Python >= 3.6, standard library only.
"""

import hashlib
import os
import stat
from typing import Iterator, List, Tuple


def entries(root: str) -> Iterator[Tuple[str, str]]:
    """(path below root with "/", absolute path) of every regular file, sorted by the path's bytes.

    Raises ValueError for a link or a special file: such are never part of a version (guarantees S10).
    """
    found: List[Tuple[bytes, str, str]] = []
    for folder, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            relative = os.path.relpath(path, root).replace(os.sep, "/")
            if stat.S_ISREG(mode):
                found.append((os.fsencode(relative), relative, path))
            elif not stat.S_ISDIR(mode):
                raise ValueError("%s is neither a file nor a folder" % relative)
    for _, relative, path in sorted(found):
        yield relative, path


def of_folder(root: str) -> str:
    """Hex SHA-256 over each file's path, executable bit, size and content. Empty folders and times do not count."""
    whole = hashlib.sha256()
    for relative, path in entries(root):
        whole.update(header(relative, os.stat(path).st_mode, os.path.getsize(path)))
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                whole.update(block)
    return whole.hexdigest()


def header(relative: str, mode: int, size_bytes: int) -> bytes:
    """What goes into the digest before a file's content."""
    executable = b"x" if mode & 0o100 else b"-"
    return os.fsencode(relative) + b"\0" + executable + b"\0%d\0" % size_bytes
