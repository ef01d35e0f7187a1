"""Turn an argument list into one command line that every login shell reads alike. Pure text.

sshd hands the line to whatever login shell the account has: sh, bash, dash, zsh, fish, csh. They agree on very little:
bare words of harmless characters, and single quotes around text without quote, backslash, exclamation mark or line
break. Everything else travels as octal escapes inside such quotes and is turned back by a plain ``sh``.
"""

import re
from collections.abc import Sequence

_BARE = re.compile(r"[A-Za-z0-9_./:@,+-]+")
_QUOTABLE = re.compile(r"[A-Za-z0-9_./:@,+ \"#$%&()*;<=>?\[\]^{|}~-]*")
_PLAIN_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@,+- ")
_ESCAPED = [chr(byte) if byte in _PLAIN_BYTES else f"\\0{byte:03o}" for byte in range(256)]

_FRAME = 'echo $0; exec "$@"'
_DECODE = 'eval "$(printf %b "$@")"'

#: csh takes no longer words.
_WORD_BYTES = 1000


def command(argv: Sequence[str]) -> str:
    """The line that makes any login shell become ``argv``."""
    if not argv:
        raise ValueError("an empty command")
    if any("\0" in word for word in argv):
        raise ValueError("a command cannot carry a NUL character")
    words = [_word(word) for word in argv]
    if None not in words:
        return "exec " + " ".join(word for word in words if word is not None)
    name, lines = _lines(argv)
    return f"exec sh -c '{_DECODE}' {name} " + " ".join(f"'{part}'" for part in _octal(lines))


def framed(argv: Sequence[str], mark: str) -> str:
    """Like ``command``, with ``mark`` and a line break printed just before: what came earlier is the login's noise."""
    if _is_script(argv):  # its own sh can say it
        return command(["sh", "-c", f"echo {mark}; {argv[2]}", *argv[3:]])
    return command(["sh", "-c", _FRAME, mark, *argv])


def after_mark(output: bytes, mark: str) -> bytes | None:
    """What follows the mark's line, or None while the mark has not come."""
    _, found, rest = output.partition(mark.encode("ascii") + b"\n")
    return rest if found else None


def _is_script(argv: Sequence[str]) -> bool:
    return list(argv[:2]) == ["sh", "-c"] and len(argv) > 2


def _lines(argv: Sequence[str]) -> tuple[str, str]:
    """What the sh that decodes is called, and what it runs: a script itself, for one sh is enough."""
    name = _word(argv[3] if len(argv) > 3 else "sh") if _is_script(argv) else None
    if name is not None:
        return name, f"set -- {_posix(argv[4:])}\n{argv[2]}"
    return "sh", f"exec {_posix(argv)}"


def _word(text: str) -> str | None:
    """The word as every shell reads it, or None if there is no such form."""
    if len(text) > _WORD_BYTES:
        return None
    if _BARE.fullmatch(text):
        return text
    return f"'{text}'" if _QUOTABLE.fullmatch(text) else None


def _posix(argv: Sequence[str]) -> str:
    return " ".join(word if _BARE.fullmatch(word) else "'" + word.replace("'", "'\\''") + "'" for word in argv)


def _octal(text: str) -> list[str]:
    """The text in escapes, in parts that no shell finds too long."""
    escaped = [_ESCAPED[byte] for byte in text.encode("utf-8", "surrogateescape")]
    step = _WORD_BYTES // len("\\0000")
    return ["".join(escaped[start : start + step]) for start in range(0, len(escaped), step)]
