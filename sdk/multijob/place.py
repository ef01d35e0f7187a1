"""Where the server is and what token it takes: arguments, environment, .netrc, or the server's own home.

Reads files and the environment; opens no connection. A token from the local home is given to that home's server only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from .errors import Invalid

DEFAULT_URL = "http://127.0.0.1:5006"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Place(NamedTuple):
    """A server, and the credential for it."""

    url: str  # without credentials and without a slash at the end
    token: str | None
    loopback: bool


def find(base_url: str | None = None, token: str | None = None, home: str | Path | None = None) -> Place:
    """The server meant: arguments, MJ_URL and MJ_TOKEN, credentials in the URL, .netrc, the home; in this order."""
    folder = home_folder(home)
    asked = base_url or ("" if home else os.environ.get("MJ_URL", ""))
    url, in_url = split_credentials(asked or _line(folder / "url") or DEFAULT_URL)
    loopback = (urlsplit(url).hostname or "") in LOOPBACK
    found = (
        token
        or (in_url if base_url else None)
        or (None if home else os.environ.get("MJ_TOKEN"))
        or in_url
        or (None if home else _from_netrc(url))
        or (_line(folder / "token") if _is_home_of(folder, url, loopback) else None)
    )
    return Place(url, found or None, loopback)


def home_folder(home: str | Path | None = None) -> Path:
    """The server's home on this machine: given, or MJ_HOME, or the usual one."""
    given = home or os.environ.get("MJ_HOME")
    return Path(given).expanduser() if given else _data_folder().expanduser() / "multijob"


def _data_folder() -> Path:
    """Where programs of this account keep their data, as the server's own choice is."""
    if sys.platform == "darwin":
        return Path("~/Library/Application Support")
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share")


def split_credentials(text: str) -> tuple[str, str | None]:
    """A URL without its credentials, and the password that stood in it (a token needs no user name)."""
    parts = _parsed(text if "://" in text else "http://" + text)
    host = parts.netloc.rpartition("@")[2]
    secret = parts.password or parts.username
    bare = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    return bare, unquote(secret) if secret else None


def _parsed(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises on nonsense
    except ValueError as error:
        raise Invalid(f"{text!r} is not a URL: {error}", field="base_url") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(f"{text!r} is not a URL like {DEFAULT_URL}", field="base_url")
    return parts


def _is_home_of(folder: Path, url: str, loopback: bool) -> bool:
    """Whether the home's token may be sent to this URL: its own server, or this machine where it wrote no URL."""
    own = _line(folder / "url")
    return url == split_credentials(own)[0] if own else loopback


def _line(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError):
        return ""


def _from_netrc(url: str) -> str | None:
    # Not at the top, and not without a file to look into: finding the local server needs no requests.
    given = os.environ.get("NETRC")
    if not any(Path(name).expanduser().exists() for name in ([given] if given else ["~/.netrc", "~/_netrc"])):
        return None
    from requests.utils import get_netrc_auth

    found = get_netrc_auth(url)
    return found[1] if found else None
