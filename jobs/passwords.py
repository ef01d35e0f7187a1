"""Passwords as memory-hard hashes (scrypt), told right from wrong in constant time. Pure, but for the memory it takes.

A hash names its own parameters, so that later ones can be stronger: ``scrypt$N$r$p$salt$hash``.
"""

import base64
import contextlib
import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterator
from typing import Final

from jobs.errors import InvalidInput, TooMuch

#: 32 MiB and about a tenth of a second for each try.
_N: Final = 2**15
_R: Final = 8
_P: Final = 1
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
_SHORTEST: Final = 10
_LONGEST: Final = 256
#: Tries that may take their memory at once.
_AT_ONCE: Final = 2
#: Tries that may wait for their turn; more are refused, so that they cannot hold up everybody else.
_IN_LINE: Final = 8
_turn = threading.BoundedSemaphore(_AT_ONCE)
_line = threading.BoundedSemaphore(_IN_LINE)


def check(password: object, name: str) -> str:
    """A password fit to be set. Raises InvalidInput."""
    if not isinstance(password, str) or not _SHORTEST <= len(password) <= _LONGEST:
        raise InvalidInput("password", f"must have {_SHORTEST} to {_LONGEST} characters")
    if password.casefold() == name.casefold() or len(set(password)) < 4:
        raise InvalidInput("password", "is too easy to guess; take several words, or let a password manager make one")
    return password


def hashed(password: str) -> str:
    """What to keep of a password."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(_scrypt(password, salt, _N, _R, _P))}"


def right(password: str, kept: str | None) -> bool:
    """Whether the password is the one that ``kept`` was made of; takes as long where there is none to compare with.

    Raises TooMuch.
    """
    _, n, r, p, salt, expected = (kept or _NOBODYS).split("$")
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(expected)) and kept is not None


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    if not _line.acquire(blocking=False):
        raise TooMuch("too many people sign in at once; try again in a moment")
    with _released(_line), _turn:
        return hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"),
            salt=salt,
            n=n,
            r=r,
            p=p,
            maxmem=256 * n * r,
            dklen=_HASH_BYTES,
        )


@contextlib.contextmanager
def _released(place: threading.BoundedSemaphore) -> Iterator[None]:
    try:
        yield
    finally:
        place.release()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


_NOBODYS: Final = f"scrypt${_N}${_R}${_P}${_text(b'nobody' * 3)}${_text(bytes(_HASH_BYTES))}"
