"""What each line about a machine may say. Pure: YAML's value in, the Machine's value or FieldInvalid out."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

MAX_NAME: Final = 64
_MACHINE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"\w[\w.:%-]*|::[\w.:%-]+")
_USER = re.compile(r"[\w][\w.@+\\-]*\$?")
_GATEWAY = re.compile(r"([\w][\w.+-]*@)?(\w[\w.-]*|\[[0-9A-Fa-f:.%]+\])(:\d{1,5})?")
_HOST_KEY = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class FieldInvalid(Exception):
    """A value that cannot be meant. ``remedy`` says what can stand there."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def machine_id(text: str) -> str:
    if not _MACHINE_ID.fullmatch(text):
        raise FieldInvalid(
            f"{text!r} cannot name a machine",
            "letters, digits, _ - . and at most 64 of them, the first a letter, a digit or _",
        )
    return text


def tag(text: str) -> str:
    """A tag: anything but control characters and commas (B8)."""
    if not text or len(text) > MAX_NAME or "," in text or not text.isprintable():
        raise FieldInvalid(f"{text!r} cannot be a tag", "at most 64 characters, no comma, no control characters")
    return text


def parse(key: str, value: Any) -> Any:
    """The value of the Machine's field; ``key`` is one of KEYS."""
    return KEYS[key][1](value)


def _words(pattern: re.Pattern[str], what: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        text = _text(value)
        if not pattern.fullmatch(text):
            raise FieldInvalid(f"{text!r} is not {what}", f"expected {what}")
        return text

    return parse


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise FieldInvalid(
            f"{value!r} is not a text", "write a text, in quotes where it could be read as something else"
        )
    if not value.isprintable():
        raise FieldInvalid(f"{value!r} has control characters in it", "one line of plain text")
    return value


def _host(value: Any) -> str:
    text = _text(value)
    if "@" in text:
        raise FieldInvalid(f"{text!r} has a user in it", "write host: and user: apart")
    if not _HOST.fullmatch(text):
        raise FieldInvalid(
            f"{text!r} is not a host", "an address, a host's name, or a Host of ~/.ssh/config; port: stands apart"
        )
    return text


def _name(value: Any) -> str:
    text = _text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)
    if len(text) > MAX_NAME:
        raise FieldInvalid(f"the name has {len(text)} characters", f"at most {MAX_NAME}")
    return text


def _tags(value: Any) -> frozenset[str]:
    """A list, or one text with commas."""
    if value is None:
        return frozenset()
    found = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    texts = [str(item).strip() if isinstance(item, str | int) and not isinstance(item, bool) else "" for item in found]
    return frozenset(tag(text) for text in texts)


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise FieldInvalid(f"{value!r} is not a number from {low} to {high}", f"a whole number, {low} to {high}")
        return value

    return parse


def _yes_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise FieldInvalid(f"{value!r} is neither true nor false", "true or false")
    return value


def _one_of(*words: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in words:
            raise FieldInvalid(f"{value!r} is not known here", "one of " + ", ".join(words))
        return str(value)

    return parse


def _ratio(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise FieldInvalid(f"{value!r} is not a load", "a number above 0, as 1.5; it counts per core")
    return float(value)


def _size(value: Any) -> int:
    found = (
        _SIZE.fullmatch(str(value).strip()) if isinstance(value, str | int) and not isinstance(value, bool) else None
    )
    if found is None:
        raise FieldInvalid(f"{value!r} is not a size", "a number of bytes, or one with K, M, G or T: 512M")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _password(value: Any) -> str:
    """A reference; the text itself is in no message."""
    kind, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if (kind == "env" and _ENV_NAME.fullmatch(rest)) or (kind == "file" and rest.startswith(("/", "~/"))):
        return f"{kind}:{rest}"
    raise FieldInvalid(
        "a password does not belong into this file", "say where it is: env:NAME or file:/path (a key is better)"
    )


def _path(value: Any) -> str:
    text = _text(value)
    if not text.startswith(("/", "~/")):
        raise FieldInvalid(f"{text!r} is not a whole path", "a path that begins with / or ~/")
    return text


def _root(value: Any) -> str:
    text = _path(value).rstrip("/")
    if text in ("", "~") or ".." in text.split("/"):
        raise FieldInvalid(f"{value!r} cannot be our folder", "a folder of its own, as ~/.multijob, without ..")
    return text


def _python(value: Any) -> str:
    text = _text(value)
    if not (text.startswith(("/", "~/")) or re.fullmatch(r"[\w.-]+", text)):
        raise FieldInvalid(f"{text!r} is not an interpreter", "its path on the machine, or its name there")
    return text


def _env(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping):
        raise FieldInvalid(f"{value!r} is not a mapping", 'NAME: "value" pairs')
    for name, text in value.items():
        if not isinstance(name, str) or not _ENV_NAME.fullmatch(name):
            raise FieldInvalid(f"{name!r} cannot be a variable", "letters, digits and _, not a digit first")
        if not isinstance(text, str) or "\0" in text:
            raise FieldInvalid(f"the value of {name} is not a text", f'put it in quotes: {name}: "…"')
    return tuple(sorted(value.items()))


#: Key in the file → (field of Machine, parser).
KEYS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "connection": ("connection", _one_of("ssh", "local")),
    "host": ("host", _host),
    "port": ("port", _whole(1, 65535)),
    "user": ("user", _words(_USER, "an account's name")),
    "gateway": ("gateway", _words(_GATEWAY, "a jump host: host, user@host or user@host:port")),
    "host_key": ("host_key", _words(_HOST_KEY, 'a fingerprint "SHA256:…", as ssh-keygen -lf prints it')),
    "identity_file": ("identity_file", _path),
    "password": ("password", _password),
    "name": ("name", _name),
    "tag": ("tags", _tags),
    "limit_process": ("limit_process", _whole(1, 1000)),
    "python": ("python", _python),
    "root": ("root", _root),
    "env": ("env", _env),
    "paused": ("paused", _yes_no),
    "closed": ("closed", _yes_no),
    "max_load": ("max_load", _ratio),
    "min_free_memory": ("min_free_memory_bytes", _size),
    "min_free_disk": ("min_free_disk_bytes", _size),
    "report": ("report", _one_of("tunnel", "direct", "drain")),
}

#: What only one machine can say of itself.
OWN_KEYS: Final = frozenset({"host", "host_key", "name"})
#: What means nothing without SSH.
SSH_KEYS: Final = frozenset({"host", "port", "user", "gateway", "host_key", "identity_file", "password"})
