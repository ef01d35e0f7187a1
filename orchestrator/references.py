"""Secrets by reference: ``env:NAME`` or ``file:/path`` in place of a password. The password itself is never shown."""

import logging
import os
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from orchestrator.errors import UserError

log = logging.getLogger(__name__)


def check_reference(field: str, url: str, reference: str) -> None:
    """Raises ValueError where a password of this address cannot be said so."""
    if not reference:
        if "@" in url and urlsplit(url).password is not None:
            log.warning("db holds a password; better: take it out and set %s: file:/path or env:NAME", field)
        return
    kind, _, where = reference.partition(":")
    if kind not in ("env", "file") or not where:
        raise ValueError(f"{field}: expected env:NAME or file:/path")
    if not urlsplit(url).username:
        raise ValueError(f"{field}: db names no account it could belong to; expected mysql://account@host/name")


def with_password(url: str, reference: str) -> str:
    """The address with the password that the reference leads to. Raises UserError."""
    parts = urlsplit(url)
    account, _, host = parts.netloc.rpartition("@")
    name = account.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{name}:{quote(_password(reference), safe='')}@{host}"))


def _password(reference: str) -> str:
    kind, _, where = reference.partition(":")
    if kind == "env":
        if where not in os.environ:
            raise UserError(f"db_password: there is no variable {where} in the environment")
        return os.environ[where]
    try:
        path = Path(where).expanduser()
        if path.stat().st_mode & 0o077:
            log.warning("%s can be read by others: chmod 600", path)
        return path.read_text("utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"db_password: {where} cannot be read: {error}") from error
