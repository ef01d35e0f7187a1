"""Which host keys are trusted: pins of the inventory, HOME/known_hosts, then the person's own known_hosts.

Strict: an unknown key is refused with its fingerprint until somebody accepts it. Reads and writes key files.
"""

import base64
import hashlib
import hmac
import logging
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import paramiko

from orchestrator.errors import HostKeyRefused

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
        self._others = [path.expanduser() for path in others]
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
        if any(_revokes(path, key) for path in (self._own, *self._others)):
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
        """Kind → keys in base64, of the first file that knows the host: our own decides before the person's."""
        for path in (self._own, *self._others):
            found = _read(path, name)
            if found:
                return found
        return {}

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


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("cannot read %s: %s", path, error.strerror)
        return []


def _read(path: Path, name: str) -> dict[str, set[str]]:
    """What one file knows of a host: kind → keys in base64. Lines with a marker or of another form say nothing."""
    found: dict[str, set[str]] = {}
    for line in _lines(path):
        words = line.split()
        if len(words) >= 3 and line[0] not in "#@" and _names(words[0], name):
            found.setdefault(words[1], set()).add(words[2])
    return found


def _names(patterns: str, name: str) -> bool:
    """Whether the first word of a line means this host: hashed, or names with * and ?, with ! for exceptions."""
    if patterns.startswith("|1|"):
        return hmac.compare_digest(paramiko.HostKeys.hash_host(name, patterns), patterns)
    wanted = [pattern for pattern in patterns.split(",") if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns.split(",") if pattern.startswith("!")]
    return any(_matches(name, pattern) for pattern in wanted) and not any(_matches(name, one) for one in unwanted)


def _matches(name: str, pattern: str) -> bool:
    """As ssh does: only * and ? are special, the brackets around an address with a port are not."""
    expression = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(expression, name, re.IGNORECASE) is not None


def _revokes(path: Path, key: paramiko.PKey) -> bool:
    """Whether a file revokes the key; we take that to hold for every host."""
    return any(line.startswith("@revoked ") and key.get_base64() in line.split() for line in _lines(path))


def _why(name: str, shown: str, pin: str | None, *, changed: bool) -> str:
    if pin is not None:
        return f"{name} shows the host key {shown}, but host_key pins {pin}"
    if changed:
        return f"the host key of {name} has changed: it now shows {shown}; accept it only if you know why"
    return f"the host key of {name} is unknown: {shown}; compare it with the machine's own, then accept it"
