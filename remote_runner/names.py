"""What comes over the wire and becomes a path is checked here: nothing leads outside the root. Pure."""

import os
import re
from typing import Any, Optional, Set, Tuple

from remote_runner.protocol import ProtocolError, Version

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")


def check(name: Any) -> str:
    """A single name: letters, digits, ``_ - .``, not beginning with a dot or dash, at most 64."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise ProtocolError("%r is not a name" % (name,))
    return name


def check_path(path: Any) -> str:
    """A relative path that stays below where it starts."""
    if not isinstance(path, str) or not path or "\0" in path or os.path.isabs(path):
        raise ProtocolError("%r is not a path below the root" % (path,))
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ProtocolError("%r is not a path below the root" % (path,))
    return path


def keys(rows: Any) -> Optional[Set[Tuple[int, int]]]:
    """The attempts a message names; None: all."""
    return None if rows is None else {(int(job), int(attempt)) for job, attempt in rows}


def check_version(version: Version) -> Version:
    """A version whose folder is below the root."""
    check_path(version.folder)
    if version.environment:
        check(version.environment)
    return version
