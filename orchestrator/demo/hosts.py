"""Three sandbox machines for the demo: folders of this computer, reached over real SSH by a private sshd.

The sshd listens on the loopback only, on free ports, and lets in one key that is made for it; nothing of ~/.ssh or /etc
is read or changed by it. Where it cannot be had, the machines are the same folders without SSH, and why is said.
"""

import contextlib
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOOLS: Final = ("sshd", "ssh", "ssh-keygen", "rsync")
COUNT: Final = 3
LIMIT_PROCESS: Final = 4
START_TIMEOUT_S: Final = 10.0
#: Where sshd lives on systems that keep it out of an ordinary PATH.
SBIN: Final = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/sbin", "/opt/homebrew/sbin"))


class NoSandbox(Exception):
    """This computer cannot have a private sshd; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandbox:
    """What was started: the inventory that describes it, how it is reached, and how to end it."""

    inventory: str
    how: str
    stop: Callable[[], None]


def start(folder: Path, *, local: bool) -> Sandbox:
    """Machines with their roots below ``folder``, over SSH if that is possible and wanted."""
    roots = [folder / f"sandbox-{number}" for number in range(1, COUNT + 1)]
    if local:
        return _without_ssh(roots, "no SSH, as asked")
    try:
        return _over_ssh(folder, roots)
    except NoSandbox as reason:
        return _without_ssh(roots, f"no SSH: {reason}")


def purge(folder: Path) -> None:
    """End every runner below ``folder`` and remove what it left; the server must have stopped."""
    for bundle in folder.glob("sandbox-*/*/runner/*.pyz"):
        root = bundle.parent.parent
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            command = [sys.executable, "-I", str(bundle), "purge", "--root", str(root)]
            subprocess.run(command, check=False, capture_output=True, timeout=30)


def _without_ssh(roots: list[Path], how: str) -> Sandbox:
    return Sandbox(inventory=_inventory(roots, [{"connection": "local"} for _ in roots]), how=how, stop=lambda: None)


def _over_ssh(folder: Path, roots: list[Path]) -> Sandbox:
    sshd = _tools()
    keys = folder / "ssh"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity, host_key = _key(keys / "identity"), _key(keys / "host_key")
    places = _places()
    process = _sshd(sshd, _config(keys, identity, host_key, places))
    try:
        _answering(process, places, keys)
        _admitting(identity, host_key, places[0])
    except NoSandbox:
        _end(process)
        raise
    fingerprint = _fingerprint(host_key)
    reach = [
        {
            "host": address,
            "port": port,
            "user": getpass.getuser(),
            "identity_file": str(identity),
            "host_key": fingerprint,
        }
        for address, port in places
    ]
    how = f"SSH to a private sshd at {places[0][0]} … {places[-1][0]}"
    return Sandbox(inventory=_inventory(roots, reach), how=how, stop=lambda: _end(process))


def _inventory(roots: list[Path], reach: list[dict[str, object]]) -> str:
    """inventory.yml; a machine is written as JSON, which YAML understands."""
    lines = ["# Written anew by each demo.", "machines:"]
    for number, (root, how) in enumerate(zip(roots, reach, strict=True), 1):
        facts = {
            **how,
            "name": f"Sandbox {number}",
            "root": str(root),
            "python": sys.executable,  # it has requests, which one of the examples needs
            "limit_process": LIMIT_PROCESS,
            "tag": ["demo"],
        }
        lines.append(f"  sandbox-{number}: {json.dumps(facts, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _tools() -> str:
    """The path of sshd, if it and its companions are here."""
    found = {tool: shutil.which(tool, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{SBIN}") for tool in TOOLS}
    missing = [tool for tool, path in found.items() if path is None]
    if missing:
        raise NoSandbox(f"{', '.join(missing)} not found on this computer")
    return str(found["sshd"])


def _places() -> list[tuple[str, int]]:
    """An address of its own for each machine where the loopback has many, and a free port."""
    many = sys.platform == "linux"
    return [_free_place(f"127.0.0.{number + 1}" if many else "127.0.0.1") for number in range(1, COUNT + 1)]


def _free_place(address: str) -> tuple[str, int]:
    try:
        with socket.create_server((address, 0)) as probe:
            return address, int(probe.getsockname()[1])
    except OSError as error:
        raise NoSandbox(f"{address} cannot be used: {error.strerror}") from error


def _config(keys: Path, identity: Path, host_key: Path, places: list[tuple[str, int]]) -> Path:
    authorized = keys / "authorized_keys"
    shutil.copyfile(f"{identity}.pub", authorized)
    path = keys / "sshd_config"
    listen = [f"ListenAddress {address}:{port}" for address, port in places]
    fixed = [
        f"HostKey {_quoted(host_key)}",
        f"AuthorizedKeysFile {_quoted(authorized)}",
        "PidFile none",
        f"AllowUsers {getpass.getuser()}",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "StrictModes no",
        "UseDNS no",
        "PrintMotd no",
        "AllowAgentForwarding no",
        "X11Forwarding no",
    ]
    path.write_text("\n".join([*listen, *fixed]) + "\n", "utf-8")
    return path


def _quoted(path: Path) -> str:
    return f'"{path}"'


def _key(path: Path) -> Path:
    if not path.exists():
        made = _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "multijob demo", "-f", str(path)])
        if made.returncode:
            raise NoSandbox(f"ssh-keygen: {made.stderr.strip()}")
    return path


def _fingerprint(key: Path) -> str:
    said = _run(["ssh-keygen", "-l", "-E", "sha256", "-f", f"{key}.pub"]).stdout.split()
    if len(said) < 2:
        raise NoSandbox("ssh-keygen does not tell fingerprints")
    return said[1]


def _sshd(sshd: str, config: Path) -> subprocess.Popen[bytes]:
    if os.geteuid() == 0:
        # What the service's own start-up makes; sshd run by root refuses to start without it.
        with contextlib.suppress(OSError):
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (config.parent / "sshd.log").open("wb") as log:
        return subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _answering(process: subprocess.Popen[bytes], places: list[tuple[str, int]], keys: Path) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT_S
    for place in places:
        while not _greets(place):
            if process.poll() is not None or time.monotonic() > give_up_at:
                lines = (keys / "sshd.log").read_text("utf-8", "replace").strip().splitlines()
                raise NoSandbox(f"sshd did not start: {lines[-1] if lines else 'it said nothing'}")
            time.sleep(0.02)


def _greets(place: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(place, timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _admitting(identity: Path, host_key: Path, place: tuple[str, int]) -> None:
    """Log in once: accounts without a usable shell, or locked ones, show only then."""
    address, port = place
    known = identity.parent / "known_hosts"
    kind, key, *_ = Path(f"{host_key}.pub").read_text("ascii").split()
    known.write_text(f"[{address}]:{port} {kind} {key}\n", "ascii")
    options = ["BatchMode=yes", "IdentitiesOnly=yes", f"UserKnownHostsFile={known}", "GlobalKnownHostsFile=/dev/null"]
    command = ["ssh", "-F", os.devnull, "-i", str(identity), "-p", str(port)]
    command += [part for option in options for part in ("-o", option)]
    tried = _run([*command, f"{getpass.getuser()}@{address}", "exit 0"])
    if tried.returncode:
        lines = tried.stderr.strip().splitlines()
        raise NoSandbox(f"this account cannot log in: {lines[-1] if lines else tried.returncode}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30
        )
    except subprocess.TimeoutExpired as error:
        raise NoSandbox(f"{command[0]} did not end in time") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
