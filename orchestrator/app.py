"""Puts the concrete parts together: one server, from its settings to its last closed socket. Decides nothing."""

import _thread
import fcntl
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, Final, TextIO

from inventory.file import Inventory, InventoryInvalid
from inventory.machine import Machine
from inventory.watch import Watch
from jobs.errors import StoreUnavailable
from jobs.happenings import INVENTORY
from jobs.model import AttemptKey, Reported
from jobs.retention import Retention
from jobs.service import JobService
from orchestrator import logs, own_process, timing
from orchestrator.asked import Asked
from orchestrator.bulk import Bulk
from orchestrator.clock import SystemClock
from orchestrator.commands import CommandDesk
from orchestrator.config import Settings
from orchestrator.doctor.machine import Tools
from orchestrator.engine.beat import Engine
from orchestrator.engine.wishes import Wishes
from orchestrator.errors import UserError
from orchestrator.leader import Leadership, compare_secret, open_store
from orchestrator.neighbours import Neighbours
from orchestrator.node.events import (
    Admit,
    InventoryChanged,
    KillAsked,
    MachineEvent,
    Published,
    ReportStored,
    Submitted,
)
from orchestrator.node.keys import RunnerKeys
from orchestrator.node.local import LocalTransport
from orchestrator.node.session import Session, Surroundings
from orchestrator.node.stream import StreamTerms
from orchestrator.node.transport import Transport
from orchestrator.returns.account import Bounds, Quarters, account_of
from orchestrator.returns.calls import Returns
from orchestrator.returns.packages import HomeEnvironments
from orchestrator.ssh.connect import Connector
from orchestrator.ssh.gate import ConnectGate
from orchestrator.ssh.keys import KnownHosts
from orchestrator.ssh.transport import SshTransport
from orchestrator.ssh.tunnel import Pump
from orchestrator.trail import Trail
from remote_runner import bundle
from web.accounts import Accounts
from web.app import WebOptions, create_app
from web.reports import create_reports_app
from web.rooms import LOOPBACK_NAMES
from web.serve import Listener

log = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
#: Threads for what may take long on a machine: folders, of which small ones go to all machines at once; and polls.
HANDS: Final = 128
POLLS: Final = 32
#: Machines on which packages can be installed at once.
BUILDERS: Final = 128
REPORT_THREADS: Final = 8
STORE_AWAY_S: Final = 1.0
#: How long a signal may lie unheard.
SIGNAL_S: Final = 1.0
#: Something that starts services again should start this one again: it becomes the standby.
EXIT_SUPERSEDED: Final = 75


class Server:
    """One orchestrator with its dashboard and report listener. ``start`` once, ``stop`` once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = _lock_home(settings)
        self._stopping = threading.Event()
        #: Set by whoever wants it to end, and when another server has taken its place.
        self.over = threading.Event()
        self._problems: Sequence[Mapping[str, Any]] = ()
        self._store = open_store(settings)
        self._leadership = Leadership(self._store, settings.home, settings.lease_s, self.over.set)
        self._service = JobService(self._store, settings.home / "jobs", settings.home / "cache", timezone=settings.zone)
        self._service.backoff = timing.of_jobs(settings)
        self._keys = RunnerKeys(self._service, settings.secret)
        known_hosts = KnownHosts(settings.home / "known_hosts", accept_new=settings.accept_new_host_keys)
        self._trail = Trail(self._service.audit)
        known_hosts.on_accepted = self._trail.key_accepted
        self._gate = ConnectGate()
        self._connector = Connector(known_hosts, self._gate)
        self._sessions: dict[str, Session] = {}
        self._pump = Pump()
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="hand")
        self._polls = ThreadPoolExecutor(POLLS, thread_name_prefix="poll")
        self._builders = ThreadPoolExecutor(BUILDERS, thread_name_prefix="build")
        self._shop = timing.of_packages(settings)
        self._reports = Listener(
            create_reports_app(self._service, self._keys.of), LOOPBACK, settings.report_port, REPORT_THREADS
        )
        self._web = Listener(
            create_app(self._service, Accounts(self._service, settings.secret), self._web_options()),
            settings.host,
            settings.port,
            settings.threads,
            stopping=self._stopping,
            trusted_proxy=LOOPBACK if settings.behind_tls_proxy else None,
        )
        self._quarters = Quarters(
            settings.return_folder or settings.home / "returns",
            account_of(settings.return_user),
            Bounds(
                memory_bytes=settings.return_memory_mb << 20,
                cpu_s=settings.return_cpu_s,
                open_files=settings.return_files,
            ),
        )
        self._bundle = bundle.build(settings.home / "cache" / "runner")
        self._home_environments = HomeEnvironments(settings.home, self._bundle.path, self._shop)
        self._returns = Returns(
            self._service,
            self._quarters,
            settings.home / "logs" / "returns",
            settings.return_processes,
            settings.return_timeout_s,
            environments=self._home_environments,
        )
        self._bulk = Bulk(self._service.operations)
        self._neighbours = Neighbours(self._service)
        self._watch = Watch(settings.home / "inventory.yml", self._inventory_good, self._inventory_bad)
        self._wishes = Wishes(self._service, Inventory({}))
        self._engine: Engine | None = None
        self._desk: CommandDesk | None = None

    @property
    def service(self) -> JobService:
        return self._service

    @property
    def url(self) -> str:
        host = f"[{self._web.host}]" if ":" in self._web.host else self._web.host
        return f"http://{host}:{self._web.port}"

    @property
    def report_port(self) -> int:
        return self._reports.port

    @property
    def superseded(self) -> bool:
        """Another server has taken the lead."""
        return self._leadership.lost

    def start(self) -> bool:
        """Wait until no other server is active on the database, listen, take up what was left, connect the machines.

        False: it was ``over`` before its turn came. Raises UserError where an address is taken.
        """
        if not self._leadership.take(self.over):
            return False
        self._leadership.start()
        self._quarters.prepare()
        compare_secret(self._service, self._settings.secret)
        self._keep_token()
        _bind(self._reports, "report_port")
        self._pump.start()
        inventory = self._watch.first() or Inventory({})
        self._trail.inventory(inventory)
        self._wishes = Wishes(self._service, inventory)
        self._engine = self._make_engine()
        self._hang_bells(self._engine)
        self._returns.start()
        self._bulk.start()
        self._neighbours.start()
        with self._gate.held():
            self._wishes.tell(self._engine.start)
            self._desk = self._make_desk(self._engine)
            self._desk.start()
            self._watch.start()
            _bind(self._web, "port")
            self._tell_url()
        return True

    def stop(self) -> None:
        """Stop taking work, let go of the machines (what runs there goes on), close everything."""
        self._stopping.set()
        (self._settings.home / "url").unlink(missing_ok=True)
        self._watch.stop()
        self._web.stop()
        if self._desk is not None:
            self._desk.stop()
        if self._engine is not None:
            self._engine.stop()
        self._neighbours.stop()
        self._bulk.stop()
        self._returns.stop()
        for pool in (self._hands, self._polls, self._builders):
            pool.shutdown(wait=True, cancel_futures=True)
        self._pump.stop()
        self._reports.stop()
        self._leadership.stop()
        self._store.close()
        self._lock.close()

    def sign_in_link(self) -> str:
        """A link that signs a browser in, once; the code rides in the fragment, which no server ever sees."""
        return f"{self.url}/#code={self._service.create_code()}"

    # how the parts hear of each other

    def _hang_bells(self, engine: Engine) -> None:
        def submitted(priorities: Mapping[int, int]) -> None:
            engine.tell(Submitted({lane: -priority for lane, priority in priorities.items()}))

        def reported(machine_id: str, items: Sequence[Reported]) -> None:
            engine.tell(ReportStored(machine_id, items))

        def kill(machine_id: str, keys: Sequence[AttemptKey]) -> None:
            engine.tell(KillAsked(machine_id, keys))

        def published(_job_type: str, _version: int) -> None:
            engine.tell(Published())

        self._service.on_submitted = submitted
        self._service.on_reported = reported
        self._service.on_returning = self._returns.wake
        self._service.on_kill = kill
        self._service.on_published = published
        self._service.on_override = self._overridden
        self._service.live.on_watch = self._watch_log
        self._service.operations.on_moved = lambda _number: self._bulk.wake()

    def _inventory_good(self, inventory: Inventory) -> None:
        self._problems = ()
        self._service.happenings.note(INVENTORY)
        self._trail.inventory(inventory)
        self._insist(lambda: self._wishes.file_changed(inventory, self._tell_engine))

    def _watch_log(self, machine_id: str, message: Mapping[str, object]) -> bool:
        session = self._sessions.get(machine_id)
        return session is not None and session.watch(message)

    def _overridden(self, _machine_ids: Sequence[str]) -> None:
        # From a hook of the store, which must not wait for the store: by other hands.
        self._hands.submit(self._insist, lambda: self._wishes.tell(self._tell_engine))

    def _insist(self, act: Callable[[], None]) -> None:
        """Do it as soon as the store is there."""
        while not self._stopping.is_set():
            try:
                return act()
            except StoreUnavailable as error:
                log.warning("the store does not answer: %s", error)
                self._stopping.wait(STORE_AWAY_S)
        return None

    def _tell_engine(self, inventory: Inventory) -> None:
        if self._engine is not None:
            self._engine.tell(InventoryChanged(inventory))

    def _inventory_bad(self, error: InventoryInvalid) -> None:
        self._problems = [problem.as_dict() for problem in error.problems]
        self._service.happenings.note(INVENTORY)
        log.error("inventory.yml is not taken over; the last good one stays in force\n%s", error)

    def _make_engine(self) -> Engine:
        around = self._surroundings()
        keep = Retention(self._store, timing.of_retention(self._settings), self._service.now, self._stopping.is_set)
        chores = [keep.apply, self._service.drop_unused_functions, self._home_environments.sweep]

        def make_session(machine: Machine, tell: Callable[[MachineEvent], None]) -> Session:
            self._sessions[machine.machine_id] = made = Session(machine, around, tell)
            return made

        return Engine(self._service, make_session, timing.of_fleet(self._settings), SystemClock(), chores)

    def _make_desk(self, engine: Engine) -> CommandDesk:
        tools = Tools(
            connector=self._connector,
            pump=self._pump,
            server_id=self._service.keep_meta("server_id", os.urandom(6).hex()),
            report_url=self._settings.report_url,
        )

        def try_again(machine_id: str) -> None:
            session = self._sessions.get(machine_id)
            if session is not None:
                session.try_again()

        def admit(machine_id: str) -> None:
            engine.tell(Admit(machine_id))

        asked = Asked(
            self._settings,
            self._connector.known_hosts,
            tools,
            purge=engine.purge,
            admit=admit,
            try_again=try_again,
            log=self._service.live.answer,
        )
        return CommandDesk(self._service.commands, asked.handlers())

    def _surroundings(self) -> Surroundings:
        server_id = self._service.keep_meta("server_id", os.urandom(6).hex())
        return Surroundings(
            server_id=server_id,
            connect=self._transport,
            hands=self._hands,
            polls=self._polls,
            builders=self._builders,
            shop=self._shop,
            bundle=self._bundle,
            terms=StreamTerms(
                server_id=server_id,
                linger_s=self._settings.linger_s,
                orphan_s=self._settings.orphan_s,
                silence_s=timing.silence_s(self._settings),
                hello_s=self._settings.hello_s,
                new_runner=self._keys.new_runner,
                runner_up=self._keys.runner_up,
                runner_left=self._keys.runner_left,
                take_records=self._service.take_report,
                take_live=self._service.live.take,
            ),
            report_port=self._reports.port,
            report_url=self._settings.report_url,
            pace=timing.of_sessions(self._settings),
        )

    def _transport(self, machine: Machine) -> Transport:
        if machine.connection == "local":
            return LocalTransport(machine)
        return SshTransport(machine, self._connector, self._pump)

    def _web_options(self) -> WebOptions:
        return WebOptions(
            allowed_hosts=LOOPBACK_NAMES | {self._settings.host, *self._settings.allowed_hosts},
            auth=self._settings.auth,
            secure_cookies=self._settings.behind_tls_proxy,
            version=version("multijob-server"),
            inventory_problems=lambda: self._problems,
            retention=timing.of_retention(self._settings),
            stopping=self._stopping,
            waiting_requests=self._settings.threads // 2,
        )

    def _tell_url(self) -> None:
        """For SDK and CLI of this account; renamed into place, so that nobody reads half of it."""
        beside = self._settings.home / "url.part"
        beside.write_text(self.url + "\n")
        beside.replace(self._settings.home / "url")

    def _keep_token(self) -> None:
        """The admin token of this home: made at the first start, where SDK and CLI of this account find it."""
        path = self._settings.home / "token"
        if path.exists() and self._service.check_token(path.read_text().strip()) is not None:
            return
        text = self._service.create_token(f"admin-{os.urandom(3).hex()}", ["admin"])
        path.touch(mode=0o600)
        path.write_text(text + "\n")


def run(settings: Settings) -> int:
    """``mj up``: serve until told to stop; the exit code.

    A handler interrupts the main thread, which may just hold the lock of the very event it waits for: another thread
    sets it. And the handler only runs when the main thread does, which a signal that another thread took does not wake.
    """
    logs.set_up(settings.log_level, settings.home / "logs")
    own_process.prepare()
    server = Server(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _thread.start_new_thread(server.over.set, ()))
    try:
        if not server.start():
            return 0
        print(f"Multi Job is up: {server.url}   home: {settings.home}")  # noqa: T201 - the entrance speaks
        print(f"Sign in (once):  {server.sign_in_link()}", flush=True)  # noqa: T201
        if not settings.auth:
            print("Authentication is OFF: whoever can open that port on this computer is admin.", flush=True)  # noqa: T201
        while not server.over.wait(SIGNAL_S):
            pass
        print("Stopping; what runs on the machines goes on.", flush=True)  # noqa: T201
    finally:
        server.stop()
    return EXIT_SUPERSEDED if server.superseded else 0


def _lock_home(settings: Settings) -> TextIO:
    """One server per home; the lock ends with the process, however it ends."""
    lock = (settings.home / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        raise UserError(
            f"a server already uses {settings.home} (process {owner}); stop it, or give another --home"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _bind(listener: Listener, setting: str) -> None:
    try:
        listener.start()
    except OSError as error:
        raise UserError(
            f"cannot listen on {listener.host} port {listener.port}: {error.strerror}; choose another {setting}"
        ) from error
