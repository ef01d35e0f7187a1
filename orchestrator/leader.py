"""One active orchestrator per database (G18): waits as standby, takes the lead, shows that it lives, notices its end.

What makes it safe is in the store: every transaction of the leader is fenced by its epoch. Here is only who tries when.
A standby believes its own monotonic clock alone: it takes over when it has read the same count of renewals for as long
as the leader said it may be silent. A database that does not answer proves nothing, so the wait begins anew after it.
"""

import contextlib
import hmac
import logging
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from jobs.errors import StoreTooNew, StoreUnavailable, StoreUnfit, Superseded
from jobs.service import JobService
from jobs.store import Store, leader
from jobs.store.leader import Lease
from orchestrator.config import Settings
from orchestrator.errors import UserError

log = logging.getLogger(__name__)

#: Renewals in the time that a leader may be silent.
RENEWALS: Final = 3
#: Looks of a standby in that time.
LOOKS: Final = 12


SECRET_MARK: Final = "secret_mark"  # noqa: S105  (the name of a value)


def open_store(settings: Settings) -> Store:
    """The database of these settings. Raises UserError where it cannot be used."""
    if not settings.db:
        _keep_private(settings.home / "multijob.db")
    try:
        return Store.open(settings.db_url)
    except (StoreUnavailable, StoreUnfit, StoreTooNew) as error:
        raise UserError(str(error)) from error


def _keep_private(path: Path) -> None:
    """Also where the home is open to others, as one that a person made may be. An empty file is an empty database."""
    with contextlib.suppress(OSError):  # what is wrong there is the store's to say
        path.touch(mode=0o600, exist_ok=True)
        for end in ("", "-wal", "-shm"):  # those are made with the mode of the first
            beside = path.with_name(path.name + end)
            if beside.exists():
                beside.chmod(0o600)


def compare_secret(service: JobService, secret: bytes, *, ours: bool = True) -> None:
    """Whether this home has the secret that the database is used with; ``ours``: it is from now on."""
    mark = hmac.new(secret, b"multijob database", "sha256").hexdigest()
    known = service.meta(SECRET_MARK)
    if known not in (None, mark):
        log.warning(
            "this home's secret is not the one this database was used with; copy HOME/secret from the other home, "
            "or people must sign in again and runners that work now can report over SSH alone"
        )
    if ours and known != mark:
        service.set_meta(SECRET_MARK, mark)


class Watch:
    """How long the same lease has been seen, by the monotonic clock of whoever looks. Pure but for what it is told."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._since_s = 0.0

    def forget(self) -> None:
        """What was seen before proves nothing any more."""
        self._seen = None

    def silent_s(self, lease: Lease, now_s: float) -> float:
        """For how long its holder has not renewed it, as far as we have seen."""
        if self._seen != (lease.epoch, lease.renewals):
            self._seen, self._since_s = (lease.epoch, lease.renewals), now_s
        return now_s - self._since_s


class Leadership:
    """The lead over one database, for the one process that holds the home's lock.

    ``take`` it before anything is written, ``start`` the renewals, ``stop`` once.
    """

    def __init__(self, store: Store, home: Path, lease_s: float, superseded: Callable[[], None]) -> None:
        self._store = store
        self._name = f"{socket.gethostname()}:{home}"
        #: The last epoch of a process of this home.
        self._note = home / "epoch"
        self._lease_s = lease_s
        self._superseded = superseded
        self._epoch: int | None = None
        self.lost = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="leader", daemon=True)

    def take(self, give_up: threading.Event) -> bool:
        """Wait until the lead is ours, then fence all writes of this process; False: told to give up before."""
        watch, told = Watch(), ""
        while not give_up.is_set():
            pause_s = self._lease_s / LOOKS
            try:
                lease = self._look()
                if self._is_free(lease, watch):
                    if self._try(lease):
                        return True
                    watch.forget()
                told = self._tell(lease, told)
            except StoreUnavailable as error:
                watch.forget()
                log.warning("the store does not answer: %s", error)
            give_up.wait(pause_s)
        return False

    def start(self) -> None:
        """Renew from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Give the lead up, so that a standby need not wait. Harmless when it was never taken, or lost."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._epoch is not None and not self.lost:
            try:
                self._store.write(partial(leader.release, epoch=self._epoch))
            except StoreUnavailable:
                log.debug("the lease was not given up; it ends by itself")

    def _look(self) -> Lease:
        with self._store.read() as conn:
            return leader.look(conn)

    def _is_free(self, lease: Lease, watch: Watch) -> bool:
        silent_s = watch.silent_s(lease, time.monotonic())
        return not lease.owner or self._was_ours(lease) or silent_s >= max(lease.lease_s, self._lease_s)

    def _try(self, seen: Lease) -> bool:
        now, before_s = time.time(), time.monotonic() + self._lease_s / 2
        take = partial(leader.take, seen=seen, owner=self._name, lease_s=self._lease_s, now=now, before_s=before_s)
        epoch = self._store.write(take)
        if epoch is None:
            return False
        self._epoch = epoch
        self._store.fence(partial(leader.fence, epoch=epoch))
        self._note.write_text(f"{epoch}\n")
        log.info("this server is active (epoch %d)", epoch)
        return True

    def _was_ours(self, lease: Lease) -> bool:
        """Held by a process of this home, which is no more: the home's lock is ours."""
        try:
            return self._note.read_text().strip() == str(lease.epoch)
        except (OSError, UnicodeDecodeError):
            return False

    def _tell(self, lease: Lease, told: str) -> str:
        if lease.owner and lease.owner != told:
            since = datetime.fromtimestamp(lease.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            log.warning("standby: %s is active since %s; this server waits to take over", lease.owner, since)
        return lease.owner

    def _renew(self) -> None:
        while not (self.lost or self._over.wait(self._lease_s / RENEWALS)):
            self._renew_once()

    def _renew_once(self) -> None:
        assert self._epoch is not None  # noqa: S101  (started after it was taken)
        try:
            self._store.write(partial(leader.renew, epoch=self._epoch))
        except Superseded as error:
            log.error("%s; this server ends", error)
            self.lost = True
            self._superseded()
        except StoreUnavailable as error:
            log.warning("the lease is not renewed: %s", error)
