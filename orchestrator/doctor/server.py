"""The hands that look the server's own house over: home, settings' sense, database, inventory, SSH here, listeners.

Works beside a running server and without one. Changes nothing; shows no secret, and no address with one in it.
"""

import os
import shutil
import socket
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from inventory.file import InventoryInvalid, load
from inventory.machine import Machine
from jobs.errors import JobsError
from jobs.store import Store
from orchestrator.config import FILE, Settings, is_loopback
from orchestrator.doctor.plan import Hand, Report, Said, Step, Tell, failed, fine, follow, warning
from orchestrator.ssh import look as ssh_look

STEPS: Final = (
    Step("home", "home"),
    Step("account", "account"),
    Step("disk", "disk", ("home",)),
    Step("clock", "clock"),
    Step("database", "database", ("home",)),
    Step("inventory", "inventory", ("home",)),
    Step("ssh", "SSH on this computer"),
    Step("listeners", "listeners", ("home",)),
)
SECRETS: Final = ("secret", "token")
NEEDED_BYTES: Final = 256 << 20
SOME_BYTES: Final = 2 << 30
#: No clock that is right can show less: this was written later.
EARLIEST: Final = 1_780_000_000.0
_ANSWER_S: Final = 5.0
_KEEP_SMALL: Final = "that is what return_user asks for; let nothing else be done as root there"


def examine_server(settings: Settings, tell: Tell = lambda _result: None) -> Report:
    """Take all steps."""
    return Report(about="", results=follow(STEPS, _Hands(settings).all(), tell))


class _Hands:
    """One look at one home."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._home = settings.home

    def all(self) -> Mapping[str, Hand]:
        return {
            "home": self._look_at_home,
            "account": self._account,
            "disk": self._disk,
            "clock": self._clock,
            "database": self._database,
            "inventory": self._inventory,
            "ssh": self._ssh,
            "listeners": self._listeners,
        }

    def _look_at_home(self) -> Said:
        if not self._home.is_dir():
            return failed(f"there is no {self._home}", "make one: mj init")
        found = self._home.stat()
        if found.st_uid != os.geteuid():
            return failed(f"{self._home} belongs to another account", "start the server as the account that owns it")
        if not os.access(self._home, os.W_OK):
            return failed(f"{self._home} is not writable", "mount it writable, or take another --home")
        secret_files = [self._home / name for name in SECRETS if (self._home / name).exists()]
        open_ones = [str(path) for path in secret_files if _is_open(path)]
        if open_ones:
            return failed(f"others may read {', '.join(open_ones)}", f"chmod 600 {' '.join(open_ones)}")
        config = self._home / FILE
        if "@" in self._settings.db and config.exists() and _is_open(config):
            return warning(f"{config} may hold the database's password, and others may read it", f"chmod 600 {config}")
        if _is_open(self._home):
            return warning(f"others may look into {self._home}", f"chmod 700 {self._home}")
        return fine(str(self._home))

    def _account(self) -> Said:
        if os.geteuid() == 0:
            if self._settings.return_user:
                return warning(f"the server runs as root, return_main as {self._settings.return_user}", _KEEP_SMALL)
            return warning("the server runs as root, and so does every return_main", "start it as an ordinary account")
        return fine("an ordinary account")

    def _disk(self) -> Said:
        free = shutil.disk_usage(self._home).free
        shown = f"{free / (1 << 30):.1f} GiB free at {self._home}"
        if free < NEEDED_BYTES:
            return failed(shown, "free space there: without it no job can be stored")
        return fine(shown) if free >= SOME_BYTES else warning(shown, "free some more soon")

    def _clock(self) -> Said:
        newest = max((path.stat().st_mtime for path in self._home.glob("*") if path.is_file()), default=0.0)
        now = time.time()
        if now < max(EARLIEST, newest - 60):
            return warning("this computer's clock is behind", "set it by NTP; what is shown as age will be wrong")
        return fine("plausible")

    def _database(self) -> Said:
        kind = self._settings.db_url.partition(":")[0]
        if kind == "sqlite" and not self._settings.db and not (self._home / "multijob.db").exists():
            return fine("not made yet: the first mj up does it")
        try:
            store = Store(self._settings.db_url)
            try:
                healthy = store.healthy()
            finally:
                store.close()
        except JobsError as error:
            return failed(f"{kind}: {error}", "look at the database's own log")
        except ImportError as error:
            return failed(f"{kind}: {error}", "install multijob-server with the extra mysql or postgresql")
        if not healthy:
            return failed(f"{kind} takes no writes now", "is it running, reachable, full or locked by another program?")
        return fine(kind)

    def _inventory(self) -> Said:
        path = self._home / "inventory.yml"
        try:
            machines = load(path).machines
        except InventoryInvalid as error:
            more = f", and {len(error.problems) - 1} more" if len(error.problems) > 1 else ""
            return failed(
                f"{error.problems[0]}{more}", "mj inventory check shows all; the last good one stays in force"
            )
        if not machines:
            return warning("it names no machine", "add one: mj machine add me@host")
        open_ones = sorted({path for machine in machines.values() for path in _open_files(machine)})
        if open_ones:
            return warning(f"others may read {', '.join(open_ones)}", f"chmod 600 {' '.join(open_ones)}")
        return fine(f"{len(machines)} machine{'' if len(machines) == 1 else 's'}")

    def _ssh(self) -> Said:
        wrong = ssh_look.reasons()
        if wrong:
            return failed("; ".join(wrong), "correct the file: every connection reads it")
        return fine("its settings can be read")

    def _listeners(self) -> Said:
        settings = self._settings
        url_file = self._home / "url"
        url = url_file.read_text().strip() if url_file.exists() else ""
        if not url:
            return self._port_is_free()
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=_ANSWER_S) as answer:  # noqa: S310 - our own url
                alive = answer.status == 200
        except (OSError, urllib.error.URLError):
            alive = False
        if not alive:
            return failed(f"{url} does not answer", f"is mj up running? if not, remove {url_file}")
        if not settings.auth:
            return warning(f"{url}; anyone on this computer is admin (auth: false)", "leave auth: on")
        if not is_loopback(urlsplit(url).hostname or ""):
            return fine(f"{url}, behind a TLS proxy")
        return fine(f"{url}, for this computer only")

    def _port_is_free(self) -> Said:
        host, port = self._settings.host, self._settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.create_server((host, port), family=family):
                return fine(f"no server runs; {host} port {port} is free")
        except OSError as error:
            return failed(f"{host} port {port}: {error.strerror}", "stop what listens there, or choose another port")


def _open_files(machine: Machine) -> list[str]:
    """Files with secrets of this machine's that others may read."""
    named = [machine.identity_file or "", (machine.password or "").partition("file:")[2]]
    paths = [Path(name).expanduser() for name in named if name]
    return [str(path) for path in paths if path.exists() and _is_open(path)]


def _is_open(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
