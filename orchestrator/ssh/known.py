"""One known_hosts file, read once for as long as it stays the same: a thousand connects ask it thousands of times.

Plain names are looked up; only patterns and hashed names are tried one after the other. Knows nothing of trust.
"""

import hmac
import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import paramiko

log = logging.getLogger(__name__)

#: What tells that the file is another one now: when it was changed, its size, its number.
_Signature = tuple[int, int, int] | None
_NOBODY: _Signature = (-1, -1, -1)


class Line(NamedTuple):
    """A kind of key and a key in base64."""

    kind: str
    key_base64: str


class _Content:
    """A file's lines, by how their hosts are named. Lines of another form say nothing."""

    def __init__(self, text: str) -> None:
        self.revoked: set[str] = set()
        self._plain: dict[str, list[Line]] = {}
        self._tried: list[tuple[Callable[[str], bool], Line]] = []
        for words in map(str.split, text.splitlines()):
            if words and words[0] == "@revoked":
                self.revoked.update(words)
            elif len(words) >= 3 and words[0][0] not in "#@":
                self._learn(words[0], Line(words[1], words[2]))

    def of(self, name: str) -> list[Line]:
        return [*self._plain.get(name.lower(), ()), *(line for means, line in self._tried if means(name))]

    def _learn(self, patterns: str, line: Line) -> None:
        if patterns.startswith("|1|"):
            self._tried.append((lambda name: _is_hashed(name, patterns), line))
        elif any(letter in patterns for letter in "*?!"):
            self._tried.append((_by_patterns(patterns), line))
        else:
            for name in {name.lower() for name in patterns.split(",")}:
                self._plain.setdefault(name, []).append(line)


class KnownFile:
    """See the module. A file that is not there, or cannot be read, knows nobody. From any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read = _NOBODY
        self._content = _Content("")

    def keys(self, name: str) -> dict[str, set[str]]:
        """What it knows of a host: kind → keys in base64."""
        found: dict[str, set[str]] = {}
        for line in self._now().of(name):
            found.setdefault(line.kind, set()).add(line.key_base64)
        return found

    def revokes(self, key_base64: str) -> bool:
        """Whether it revokes the key; we take that to hold for every host."""
        return key_base64 in self._now().revoked

    def _now(self) -> _Content:
        with self._lock:
            signature = _signature(self._path)
            if signature != self._read:
                self._content = _Content(_text(self._path))
                self._read = signature
            return self._content


def _signature(path: Path) -> _Signature:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        log.warning("cannot read %s: %s", path, error.strerror)
        return ""


def _is_hashed(name: str, hashed: str) -> bool:
    return hmac.compare_digest(paramiko.HostKeys.hash_host(name, hashed), hashed)


def _by_patterns(patterns: str) -> Callable[[str], bool]:
    """Whether names with * and ? mean a host, with ! for exceptions."""
    wanted = [_expression(pattern) for pattern in patterns.split(",") if not pattern.startswith("!")]
    unwanted = [_expression(pattern[1:]) for pattern in patterns.split(",") if pattern.startswith("!")]
    return lambda name: any(one.fullmatch(name) for one in wanted) and not any(one.fullmatch(name) for one in unwanted)


def _expression(pattern: str) -> re.Pattern[str]:
    """As ssh does: only * and ? are special, the brackets around an address with a port are not."""
    text = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.compile(text, re.IGNORECASE)
