"""What the inventory and ~/.ssh/config together say about reaching a machine; the inventory wins. Reads files only."""

import contextlib
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fabric
import paramiko

from inventory.machine import Machine
from orchestrator.errors import NodeRefused

log = logging.getLogger(__name__)

USUAL_FILES = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))
HANDSHAKE_S = 15.0
AUTH_S = 20.0


def resolve(machine: Machine, paths: Sequence[Path] = USUAL_FILES) -> fabric.Connection:
    """The target with address, account, keys and what lies before it; not connected."""
    config = fabric.Config(ssh_config=_ssh_config(machine, paths))
    gateway = fabric.Connection(machine.gateway, config=config) if machine.gateway else None
    return fabric.Connection(
        machine.host,
        user=machine.user,
        port=machine.port,
        gateway=gateway,
        config=config,
        forward_agent=False,
        connect_kwargs=_credentials(machine),
    )


def options(target: fabric.Connection) -> dict[str, Any]:
    """Of paramiko's connect."""
    only_named = target.ssh_config.get("identitiesonly", "no") == "yes"
    keys = [path for path in target.connect_kwargs.get("key_filename", []) if Path(path).expanduser().exists()]
    return {
        "hostname": target.host,
        "port": target.port,
        "username": target.user,
        "password": target.connect_kwargs.get("password"),
        "key_filename": [str(Path(path).expanduser()) for path in keys] or None,
        "allow_agent": not only_named,
        "look_for_keys": not only_named,
        "timeout": HANDSHAKE_S,
        "banner_timeout": HANDSHAKE_S,
        "auth_timeout": AUTH_S,
        "channel_timeout": HANDSHAKE_S,
    }


def key_name(target: fabric.Connection) -> str:
    """What known_hosts calls the target."""
    alias = target.ssh_config.get("hostkeyalias")
    if alias:
        return str(alias)
    return target.host if target.port == 22 else f"[{target.host}]:{target.port}"


def algorithms(kind: str) -> tuple[str, ...]:
    """The names under which a kind of host key is asked for."""
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)


def _ssh_config(machine: Machine, paths: Sequence[Path]) -> paramiko.SSHConfig:
    """The files, after what the inventory says: the first of two values counts, also in a ProxyCommand's %p and %r."""
    said = {"Port": machine.port, "User": machine.user}
    lines = [f"  {key} {value}\n" for key, value in said.items() if value is not None]
    config = paramiko.SSHConfig()
    config.parse(io.StringIO(f"Host {machine.host}\n" + "".join(lines) if lines else ""))
    for path in paths:
        with contextlib.suppress(FileNotFoundError), path.expanduser().open(errors="replace") as stream:
            config.parse(stream)
    return config


def _credentials(machine: Machine) -> dict[str, Any]:
    kwargs: dict[str, Any] = {}
    if machine.identity_file:
        kwargs["key_filename"] = [str(Path(machine.identity_file).expanduser())]
    if machine.password:
        kwargs["password"] = _secret(machine)
    return kwargs


def _secret(machine: Machine) -> str:
    """The password the inventory refers to; its value is in no message."""
    where, _, what = (machine.password or "").partition(":")
    if where == "env":
        if what not in os.environ:
            raise NodeRefused(f"{machine.machine_id}: password refers to {what}, which is not set", pause=True)
        return os.environ[what]
    path = Path(what).expanduser()
    try:
        if path.stat().st_mode & 0o077:
            log.warning("%s holds a password and others may read it: chmod 600", path)
        return path.read_text().rstrip("\n")
    except OSError as error:
        message = f"{machine.machine_id}: password refers to {path}, which cannot be read: {error.strerror}"
        raise NodeRefused(message, pause=True) from error
