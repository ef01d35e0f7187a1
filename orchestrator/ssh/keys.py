"""Which host keys are trusted: pins of the inventory, HOME/known_hosts, then the person's own known_hosts.

Strict: an unknown key is refused with its fingerprint until somebody accepts it. Reads and writes key files.
"""

import base64
import hashlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import paramiko

from orchestrator.errors import HostKeyRefused
from orchestrator.ssh.known import KnownFile

log = logging.getLogger(__name__)

SYSTEM_FILES = (Path("~/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts"))


class Accepted(Protocol):
    """Hears of each key that is trusted from now on."""

    def __call__(self, machine_id: str, name: str, fingerprint: str, *, at_first_sight: bool) -> None: ...


def _unheard(machine_id: str, name: str, fingerprint: str, *, at_first_sight: bool) -> None:
    """A hook nobody has set."""


class Offer(NamedTuple):
    """A key that was refused and may be accepted."""

    name: str
    kind: str
    key_base64: str
    fingerprint: str


class KnownHosts:
    """The keys we trust. ``own`` is the file we write; ``others`` are only read."""

    def __init__(self, own: Path, *, accept_new: bool = False, others: Sequence[Path] = SYSTEM_FILES) -> None:
        self._own = own
        #: Our own decides before the person's.
        self._files = [KnownFile(path) for path in (own, *(path.expanduser() for path in others))]
        self._accept_new = accept_new
        self._lock = threading.Lock()
        self._offers: dict[tuple[str, str], Offer] = {}
        self.on_accepted: Accepted = _unheard

    def kinds(self, name: str) -> list[str]:
        """Kinds of keys known for a host: to be asked for first, so that the key it shows is one we can compare."""
        return list(self._known(name))

    def check(self, machine_id: str, name: str, key: paramiko.PKey, pin: str | None) -> None:
        """Return if ``key`` is the right one for the host ``name``; else raise HostKeyRefused."""
        shown = fingerprint(key)
        if any(file.revokes(key.get_base64()) for file in self._files):
            raise HostKeyRefused(f"the host key of {name} is revoked: {shown}", fingerprint=shown, changed=True)
        known = self._known(name)
        if shown == pin or (pin is None and key.get_base64() in known.get(key.get_name(), ())):
            return
        offer = Offer(name, key.get_name(), key.get_base64(), shown)
        if pin is None and not known and self._accept_new:
            log.warning("host key of %s accepted at first sight: %s", name, shown, extra={"machine_id": machine_id})
            self._write(offer)
            self.on_accepted(machine_id, name, shown, at_first_sight=True)
            return
        self._offers[machine_id, name] = offer
        raise HostKeyRefused(_why(name, shown, pin, changed=bool(known)), fingerprint=shown, changed=bool(known or pin))

    def accept(self, machine_id: str, shown: str) -> bool:
        """Trust the key with this fingerprint that the machine showed; False if it showed no such key."""
        with self._lock:
            found = [key for key, offer in self._offers.items() if key[0] == machine_id and offer.fingerprint == shown]
            offers = [self._offers.pop(key) for key in found]
        for offer in offers:
            self._write(offer)
            self.on_accepted(machine_id, offer.name, shown, at_first_sight=False)
        return bool(offers)

    def _known(self, name: str) -> dict[str, set[str]]:
        """Kind → keys in base64, of the first file that knows the host."""
        return next((found for file in self._files if (found := file.keys(name))), {})

    def _write(self, offer: Offer) -> None:
        with self._lock:
            lines = self._own.read_text().splitlines() if self._own.exists() else []
            kept = [line for line in lines if line.split(" ", 1)[0] != offer.name]
            kept.append(f"{offer.name} {offer.kind} {offer.key_base64}")
            beside = self._own.with_suffix(".new")
            beside.write_text("\n".join(kept) + "\n")
            beside.chmod(0o600)
            beside.replace(self._own)


class StrictPolicy(paramiko.MissingHostKeyPolicy):
    """Hands paramiko's question to KnownHosts."""

    def __init__(self, known_hosts: KnownHosts, machine_id: str, name: str, pin: str | None) -> None:
        self._known_hosts = known_hosts
        self._machine_id = machine_id
        self._name = name
        self._pin = pin

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        self._known_hosts.check(self._machine_id, self._name, key, self._pin)


def fingerprint(key: paramiko.PKey) -> str:
    """As ``ssh`` prints it: SHA256:…"""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode("ascii").rstrip("=")


def _why(name: str, shown: str, pin: str | None, *, changed: bool) -> str:
    if pin is not None:
        return f"{name} shows the host key {shown}, but host_key pins {pin}"
    if changed:
        return f"the host key of {name} has changed: it now shows {shown}; accept it only if you know why"
    return f"the host key of {name} is unknown: {shown}; compare it with the machine's own, then accept it"
