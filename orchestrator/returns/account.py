"""Where return_main works on the server, as which account, and what it may use.

By default that is the server's own account, in HOME/returns. With an account of its own it cannot look into our home,
so it gets a folder elsewhere: ``work``, which is its own, and ``versions`` and ``environments``, copies that it can
read and not change.
"""

import json
import os
import pwd
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from orchestrator.errors import UserError

#: Copies of a job type's versions that are kept for the account.
VERSIONS_KEPT: Final = 3
#: Copies of environments, of whatever job types.
ENVIRONMENTS_KEPT: Final = 16
_TRY_S: Final = 60.0
_MODULE: Final = "orchestrator.returns.process"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Of one process, which user code may reach and not pass. 0: none."""

    memory_bytes: int = 4 << 30
    #: Processor time of one call.
    cpu_s: float = 0
    open_files: int = 1024

    def text(self) -> str:
        """As the process is told."""
        return json.dumps(asdict(self))


class Account(NamedTuple):
    """Of this computer."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class Quarters:
    """See the module. Safe from every thread."""

    def __init__(
        self,
        folder: Path,
        account: Account | None = None,
        bounds: Bounds = Bounds(),
        python: str = sys.executable,
    ) -> None:
        """``python``: what runs it, with our packages."""
        self.bounds = bounds
        self._python = python
        self._folder = folder
        self._account = account
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Make what an account of its own needs. Raises UserError where that is no safe place, or of no use to it."""
        if self._account is None:
            return
        for name in (".", "work", "versions", "environments"):
            _make_passable(self._folder / name)
        for path in (self._folder, *self._folder.parents):
            self._check(path, self._account)
        self._try(self._account)

    def _check(self, path: Path, account: Account) -> None:
        """Only we may change what the way leads through, and the account may pass."""
        found = path.stat()
        if found.st_uid not in (0, os.geteuid()) or (found.st_mode & 0o022 and not found.st_mode & 0o1000):
            raise UserError(f"return_folder: others than the server may change {path}; choose another folder")
        if not found.st_mode & 0o001:
            raise UserError(f"return_folder: {account.name} may not pass {path}; chmod o+x, or choose another folder")

    def _try(self, account: Account) -> None:
        command = [self._python, "-c", f"import {_MODULE}"]
        try:
            subprocess.run(
                command, check=True, capture_output=True, timeout=_TRY_S, cwd="/", env=self._clean({}), **self.options()
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise UserError(
                f"return_user: {account.name} cannot run {self._python}: install the server where every account "
                "may read it, such as below /opt"
            ) from error

    def command(self, source: Path, packages: Path | None) -> list[str]:
        """What serves calls of the version in this folder, with these packages."""
        return [self._python, "-m", _MODULE, str(source), self.bounds.text(), str(packages or "")]

    def options(self) -> dict[str, Any]:
        """For subprocess: as whom."""
        if self._account is None:
            return {}
        account = self._account
        return {"user": account.uid, "group": account.gid, "extra_groups": list(account.groups), "umask": 0o077}

    def environment(self, shown: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
        """``shown`` of ours, and what the version's settings say; under the account's own name."""
        return {**self._clean(shown), **own, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}

    def _clean(self, shown: Mapping[str, str]) -> dict[str, str]:
        if self._account is None:
            return dict(shown)
        name = self._account.name
        kept = {key: value for key, value in shown.items() if key != "TMPDIR"}
        return {**kept, "HOME": self._account.home, "USER": name, "LOGNAME": name}

    def cwd(self, job_type: str) -> Path:
        """The lasting folder of a job type."""
        if self._account is None:
            return self._folder / job_type
        folder = self._folder / "work" / job_type
        with self._lock:
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
                os.chown(folder, self._account.uid, self._account.gid, follow_symlinks=False)
        return folder

    def readable(self, source: Path, job_type: str) -> Path:
        """A version's folder where the process can read it."""
        if self._account is None:
            return source
        return self._copy(source, self._folder / "versions" / job_type, VERSIONS_KEPT)

    def packages(self, environment: Path | None) -> Path | None:
        """An environment where the process can read it."""
        if self._account is None or environment is None:
            return environment
        return self._copy(environment, self._folder / "environments", ENVIRONMENTS_KEPT)

    def _copy(self, source: Path, ours: Path, kept: int) -> Path:
        target = ours / source.name
        with self._lock:
            if not target.is_dir():
                _make_passable(ours)
                beside = ours / f".{source.name}"
                shutil.rmtree(beside, ignore_errors=True)
                shutil.copytree(source, beside, symlinks=True)
                _open_to_read(beside)
                beside.replace(target)
                _drop_old(ours, kept)
        return target


def account_of(name: str) -> Account | None:
    """The account that return_main is to run as; None: our own. Raises UserError."""
    if not name:
        return None
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise UserError(
            f"return_user: there is no account {name} on this computer; make it (useradd -r {name})"
        ) from None
    if found.pw_uid == os.geteuid():
        raise UserError(f"return_user: {name} is the server's own account; leave it out, or name another")
    if os.geteuid() != 0:
        raise UserError("return_user: only a server that runs as root can start processes of other accounts")
    if found.pw_uid == 0:
        raise UserError("return_user: root is no account for that; name an ordinary one")
    groups = tuple(os.getgrouplist(name, found.pw_gid))
    return Account(name, found.pw_uid, found.pw_gid, groups, found.pw_dir)


def _make_passable(folder: Path) -> None:
    """What is there already is as somebody wants it."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(0o711)


def _open_to_read(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if path.is_symlink():
            continue
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _drop_old(folder: Path, kept: int) -> None:
    copies = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in sorted(copies, key=lambda one: one.stat().st_ctime)[:-kept]:
        shutil.rmtree(path, ignore_errors=True)
