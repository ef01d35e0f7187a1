"""SSH as the doctor looks at it: where a machine is, whose key it showed, at which point a connection failed.

It sends no work and keeps no connection.
"""

import contextlib
import secrets
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import fabric
import paramiko

from inventory.machine import Machine
from orchestrator.errors import HostKeyRefused, NodeRefused, OrchestratorError
from orchestrator.ssh import keys, quoting
from orchestrator.ssh.connect import Link
from orchestrator.ssh.errors import is_about_login
from orchestrator.ssh.settings import USUAL_FILES, resolve

_BANNER_BYTES: Final = 255
_OPEN_S: Final = 15.0
_NOISE_LIMIT_BYTES: Final = 1 << 16


class Address(NamedTuple):
    """Where a machine is, after ~/.ssh/config. ``behind``: the jump host or command it lies behind, if any."""

    host: str
    port: int
    user: str
    behind: str


def address(machine: Machine, ssh_config: Path | None) -> Address:
    """Raises NodeRefused where the settings make no sense."""
    try:
        target = resolve(machine, [ssh_config] if ssh_config else USUAL_FILES)
        behind = _name(target.gateway)
    except (paramiko.ConfigParseError, paramiko.CouldNotCanonicalize, ValueError) as error:
        raise NodeRefused(f"~/.ssh/config: {error}", pause=True) from error
    return Address(target.host, target.port, target.user, behind)


def _name(gateway: object) -> str:
    if isinstance(gateway, fabric.Connection):
        return f"{gateway.user}@{gateway.host}:{gateway.port}"
    return "a command of ~/.ssh/config" if gateway else ""


def banner(host: str, port: int, timeout_s: float) -> str:
    """The first words of whatever listens there, cut short. Raises OSError."""
    with socket.create_connection((host, port), timeout=timeout_s) as sock:
        said = b""
        with contextlib.suppress(TimeoutError):
            while b"\n" not in said and len(said) < _BANNER_BYTES and (more := sock.recv(_BANNER_BYTES)):
                said += more
        return said.split(b"\n")[0][:_BANNER_BYTES].decode("ascii", "replace").strip()


def failed_at_login(error: OrchestratorError) -> bool:
    """Whether the host key had been checked and found right when a connection failed."""
    if isinstance(error, HostKeyRefused):
        return False
    return is_about_login(error.__cause__)


def fingerprint(link: Link) -> str:
    """Of the key the machine showed: its kind and SHA256:…"""
    key = link.transport.get_remote_server_key()
    return f"{key.get_name()} {keys.fingerprint(key)}"


def noise(link: Link, timeout_s: float) -> bytes | None:
    """What the login prints before a command's own output; None where no command ran."""
    mark = secrets.token_hex(8)
    channel = link.transport.open_session(timeout=_OPEN_S)
    try:
        channel.settimeout(timeout_s)
        channel.exec_command(quoting.framed(["true"], mark))
        said = _said(channel, time.monotonic() + timeout_s)
    except (paramiko.SSHException, OSError, EOFError):
        return None
    finally:
        channel.close()
    before, found, _ = said.partition(mark.encode())
    return before if found else None


def _said(channel: paramiko.Channel, ends_at: float) -> bytes:
    said = b""
    with contextlib.suppress(TimeoutError):
        while len(said) < _NOISE_LIMIT_BYTES and time.monotonic() < ends_at and (more := channel.recv(1 << 15)):
            said += more
    return said


def reasons(paths: Sequence[Path] = ()) -> list[str]:
    """What is wrong with the files of SSH on this computer; empty where all can be read."""
    wrong = []
    for path in paths or USUAL_FILES:
        config = paramiko.SSHConfig()
        try:
            with path.expanduser().open(errors="replace") as stream:
                config.parse(stream)
        except FileNotFoundError:
            continue
        except (paramiko.ConfigParseError, OSError) as error:
            wrong.append(f"{path}: {error}")
    return wrong
