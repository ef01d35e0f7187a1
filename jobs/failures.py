"""What went wrong, as a group of failures that look alike. Pure: the stored words of an attempt in, a Signature out.

Two failures are one group when job type, reason, exception type, last frame of the user's own code and message are the
same, once what differs from job to job is folded out of the message: numbers, ids, paths, what stands in quotes. The
words come from nodes and are hostile: only a bounded part is looked at, and nothing here raises.
"""

import hashlib
import json
import re
from typing import Final, NamedTuple

from jobs.status import Reason

#: Of a traceback, its end; of other words, their beginning.
LOOK_AT: Final = 16 * 1024
MESSAGE_LIMIT: Final = 300
EXCEPTION_LIMIT: Final = 120
FRAME_LIMIT: Final = 160
FINGERPRINT: Final = re.compile(r"f[0-9a-f]{15}")

#: Ends that a person asked for, and those that cost nothing, are no failures of the work.
NOT_GROUPED: Final = frozenset(
    {
        Reason.NONE,
        Reason.KILLED,
        Reason.KILL_UNCONFIRMED,
        Reason.GIVEN_BACK,
        Reason.DISPATCH_FAILED,
        Reason.TYPE_DELETED,
    }
)
#: What the server says about these names the machine, not the fault.
_WORDLESS: Final = frozenset({Reason.LOST})


class Signature(NamedTuple):
    """What a group of failures has in common."""

    fingerprint: str
    job_type: str
    reason: Reason
    #: Type of the exception, or how the process ended; empty: there was none.
    exception: str
    #: The first line of the message, folded.
    message: str
    #: ``file in function`` of the last frame that is the user's; empty: unknown.
    frame: str


class _Words(NamedTuple):
    exception: str
    message: str
    frame: str


def sign(
    job_type: str, reason: Reason, error: str | None, *, exit_code: int | None = None, signal: int | None = None
) -> Signature | None:
    """The group of this failure; None: it belongs to none."""
    if reason in NOT_GROUPED:
        return None
    words = _read("" if reason in _WORDLESS else error or "")
    exception = words.exception or _ending(reason, exit_code, signal)
    folded = fold(words.message)
    named = json.dumps([job_type, str(reason), exception, words.frame, folded])
    fingerprint = "f" + hashlib.sha256(named.encode()).hexdigest()[:15]
    return Signature(fingerprint, job_type, reason, exception, folded, words.frame)


def sign_overflow(job_type: str) -> Signature:
    """The group for all that differ too much: hostile or careless messages must not make groups without end."""
    fingerprint = "f" + hashlib.sha256(json.dumps([job_type]).encode()).hexdigest()[:15]
    return Signature(fingerprint, job_type, Reason.ERROR, "", "many different messages", "")


def _ending(reason: Reason, exit_code: int | None, signal: int | None) -> str:
    if reason != Reason.DIED:
        return ""
    if signal is not None:
        return f"signal {signal}"
    return "" if exit_code is None else f"exit code {exit_code}"


# ----------------------------------------------------------------------------------------------------------- traceback

#: A frame as Python prints it; groups of exceptions put "|" in front.
_FRAME = re.compile(r'[ |]{2,40}File "([^"\n]{1,400})", line [0-9]{1,9}(?:, in ([^\n]{1,200}))?')
_EXCEPTION = re.compile(r"([^\W\d][\w.<>]{0,200})(?::[ ]?(.*))?")
_MARGIN = " |+-"
#: Below these, files are not the user's.
_NOT_USERS = re.compile(
    r"<frozen |<string>|[/\\](?:site|dist)-packages[/\\]|[/\\]python3?(?:\.[0-9]+)?[/\\]|\.pyz[/\\]"
)


def _read(error: str) -> _Words:
    if 'File "' not in error and "Traceback (most recent call last)" not in error:
        return _Words("", _first_line(error[:LOOK_AT]), "")
    lines = error[-LOOK_AT:].splitlines()
    frames = [(at, found) for at, line in enumerate(lines) if (found := _FRAME.match(line))]
    last = frames[-1][0] if frames else 0
    exception, message = _exception(lines[last + 1 :])
    return _Words(exception, message, _users([found for _, found in frames]))


def _first_line(text: str) -> str:
    return next((line.strip()[: 4 * MESSAGE_LIMIT] for line in text.splitlines() if line.strip()), "")


def _exception(after: list[str]) -> tuple[str, str]:
    """(type, first line of its message): the first line below the last frame that is not source code."""
    grouped = any(line.lstrip().startswith("|") for line in after)
    for line in after:
        plain = line.lstrip(_MARGIN) if grouped else line
        if not plain or plain[0] == " " or (grouped and line.lstrip(" |").startswith("  ")):
            continue
        found = _EXCEPTION.fullmatch(plain[: 4 * MESSAGE_LIMIT])
        if found:
            return found[1][-EXCEPTION_LIMIT:], found[2] or ""
    return "", _first_line("\n".join(after))


def _users(frames: list[re.Match[str]]) -> str:
    own = [found for found in frames if not _NOT_USERS.search(found[1])] or frames
    if not own:
        return ""
    place, function = own[-1][1], own[-1][2]
    return _printable(f"{_file(place)} in {function}" if function else _file(place))[:FRAME_LIMIT]


def _file(path: str) -> str:
    """Its name; folders differ between machines and versions."""
    parts = re.split(r"[/\\]", path)
    return "/".join(parts[-2:]) if parts[-1] == "__init__.py" else parts[-1]


# ------------------------------------------------------------------------------------------------------------- message

_FOLDS: Final = (
    (re.compile(r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s'\"<>]+"), "<url>"),
    (re.compile(r'(?<!\w)b?"[^"\n]*"'), '"…"'),
    (re.compile(r"(?<!\w)b?'[^'\n]*'"), "'…'"),
    (re.compile(r"(?i)\b0x[0-9a-f]+\b"), "<id>"),
    (re.compile(r"(?i)\b(?=[a-f]*[0-9])[0-9a-f]{8,}\b"), "<id>"),
    (re.compile(r"(?:\b[A-Za-z]:|~|\.{1,2})?(?:[/\\][^\s'\"<>/\\:;,()\[\]]+){1,}[/\\]?"), "<path>"),
    (re.compile(r"[0-9]+(?:[.,:_][0-9]+)*(?:[eE][+-]?[0-9]+)?"), "#"),
    (re.compile(r"\s+"), " "),
)


def fold(message: str) -> str:
    """The message without what differs from job to job."""
    text = message[: 2 * MESSAGE_LIMIT]
    for pattern, instead in _FOLDS:
        text = pattern.sub(instead, text)
    return _printable(text.strip())[:MESSAGE_LIMIT]


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
