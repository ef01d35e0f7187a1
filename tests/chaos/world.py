"""Everything the ledger test needs: three nodes with real sshd, a server, a database; and what can be done to them.

As root the nodes are as apart as machines are: each has its own process numbers and boot id, so that killing one ends
all of it at once; one is behind a link that can be cut, one has a small disk, and the server's home is a disk of its
own. Without root there are plain nodes, and fewer faults.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from multijob import Client
from tests.chaos import disks, jobs, ledger
from tests.support import databases, hosts, network, wait
from tests.support.databases import Database
from tests.support.hosts import Host, Hosts
from tests.support.network import Namespace
from tests.support.processes import processes_below
from tests.support.server import RunningServer

#: Everything that takes its time takes seconds here.
TIMERS: Final = {
    "poll_s": 1,
    "linger_s": 2,
    "orphan_s": 20,
    "lost_after_s": 6,
    "grace_s": 2,
    "retry_first_s": 0.2,
    "retry_longest_s": 1,
    "connect_first_s": 0.2,
    "connect_longest_s": 1,
    "connect_refused_s": 1,
    "contact_s": 10,
    "poll_timeout_s": 10,
    "hello_s": 10,
    "deploy_first_s": 0.5,
    "deploy_longest_s": 2,
    "disk_rest_s": 2,
    "end_look_s": 2,
    "sweep_s": 3,
    "housekeeping_s": 5,
    "look_s": 1,
    "bench_first_s": 1,
    "bench_longest_s": 3,
    "lease_s": 3,
    "return_timeout_s": 60,
    "return_processes": 2,
    "log_level": "info",
}
NODES: Final = 3
SLOTS: Final = 2
DISK_MB: Final = 24
HOME_MB: Final = 192
#: What may lie in our folder on a node between jobs: the lock, the birth mark, the runner, the version cache; and, for
#: their time, what a transfer or an unpacking that was cut off left beside it.
MAY_STAY: Final = re.compile(
    r"born|run|run/(lock|journal|workers|attempts|pycache)|runner|runner/[0-9a-f]+(\.pyz)?(\.\d+)?(/.*)?|"
    r"versions|versions/\w+|versions/\w+/(\d+-[0-9a-f]{16}|\.stage-[0-9a-f]+)(/.*)?"
)
#: The titles of sshd's processes that serve a connection; the listener's goes on with its path.
_SESSION: Final = re.compile(r"sshd(-session)?: [^/]")
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


class Node:
    """One machine. ``kill`` it and bring it ``back``; ``root`` is what the product was given there."""

    def __init__(
        self, hosts_: Hosts, name: str, root: Path, mark: str, wrapper: list[str], namespace: Namespace | None
    ):
        self.name = name
        self.root = root
        self.mark = mark
        self._boot_id = hosts_.folder / f"{name}.boot_id"
        self._boot()
        self._apart = os.geteuid() == 0
        if self._apart:
            bind = f'mount --bind "$0" {_BOOT_ID} && exec "$@"'
            wrapper += ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
            wrapper += ["sh", "-c", bind, str(self._boot_id)]
        self.host: Host = hosts_.start(name, wrapper=wrapper, address=namespace.address if namespace else "")

    def sessions(self) -> list[int]:
        """The sshd processes that serve a connection."""
        if self.host.process is None:
            return []
        found = hosts._descendants(self.host.process.pid)
        titles = {pid: hosts._command(pid) for pid in found}
        return [pid for pid, title in titles.items() if _SESSION.match(title)]

    def named(self, name: str) -> list[int]:
        """Our processes on it that carry this name, such as mj-runner."""
        found = []
        for pid in processes_below(self.root):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    found.append(pid)
        return found

    def remains(self) -> list[int]:
        """Everything of the product or of its jobs that runs there."""
        return sorted({*processes_below(self.root), *_marked(f"{self.mark}-{self.name}")})

    def kill(self, *, reboot: bool) -> int:
        """All of it at once, without a word; how many processes that were."""
        process = self.host.process
        assert process is not None
        died = {*self.remains(), *hosts._descendants(process.pid)}
        if self._apart:
            os.kill(process.pid, signal.SIGKILL)
        else:
            _kill_all(lambda: [*hosts._descendants(process.pid), *self.remains(), process.pid])
        process.wait(30)
        self.host.process = None
        wait.until(lambda: not self.remains(), what=f"the end of {self.name}")
        if reboot:
            self._boot()
        return len(died)

    def back(self) -> None:
        if self.host.process is None:
            self.host.start()

    def stray_files(self) -> list[str]:
        """What lies below the root and should not."""
        if not self.root.exists():
            return []
        inside = [Path(where, name) for where, folders, files in os.walk(self.root) for name in folders + files]
        ours = [Path(*path.relative_to(self.root).parts[1:]) for path in inside]
        return sorted(str(path) for path in ours if path.name and not MAY_STAY.fullmatch(str(path)))

    def _boot(self) -> None:
        self._boot_id.write_text(f"{uuid.uuid4()}\n")


class DyingServer(RunningServer):
    """The server, through our own entrance (see ``dying_server``), begun as often as it takes."""

    entrance = "tests.chaos.dying_server"

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stand_up(self) -> None:
        """Until it stays up: the database may be away, or the disk full."""
        wait.until(self._stands, what="the server to come up again", timeout_s=240, pause_s=0.05)

    def _stands(self) -> bool:
        if not self.is_alive:
            self._process = None
            with contextlib.suppress(OSError):  # no room for its settings
                self.begin()
        return self.is_alive and self._listens()

    def _end(self, number: signal.Signals) -> None:
        if not self.is_alive:
            self._process = None
        super()._end(number)


class World:
    """See the module. Safe to use from the threads that play fate, one thread a thing."""

    def __init__(self, folder: Path, made: Hosts, database: Database) -> None:
        self.folder = folder
        self.mark = f"mj-chaos-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.hosts = made
        self.database = database
        #: Who the jobs run as: where possible an account of our own, whose login files nobody else depends on.
        self.account = "sh" if "sh" in made.shells() else ""
        self.nodes: list[Node] = []
        self.image: disks.Image | None = None
        self.namespace: Namespace | None = None
        self.small_disk: Node | None = None
        #: Beside the nodes' roots: their accounts may go there.
        self.side = made.folder / "side"
        self.side.touch()
        self.side.chmod(0o666)
        self.dying = folder / "dying"
        self.dying.mkdir()
        #: What really happened, by the name of the fault.
        self.seen: Counter[str] = Counter()
        self.server = DyingServer(folder / "home", "")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, retry_s: float = 10.0) -> Client:
        """A client that knows where the server will be, also while it is away."""
        return Client(self.url, token=self.token, retry_s=retry_s, timeout_s=60)

    def evidence(self) -> list[str]:
        path = self.dying / "evidence"
        return path.read_text().splitlines() if path.exists() else []

    def publish(self) -> None:
        """All job types."""
        client = self.client()
        for name, files in jobs.FOLDERS.items():
            self.server.job(name, note=jobs.NOTE, **files)
            client.register(name)

    def sql(self, statement: str) -> list[Any]:
        """Ask the database itself. SQLite's is let go of at once: its disk may be about to be unmounted."""
        if self.database.kind != "sqlite":
            return self.database.sql(statement)
        path = self.server.home / "multijob.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=10)) as conn:
            return list(conn.execute(statement))

    def rows(self) -> tuple[list[ledger.JobRow], list[ledger.AttemptRow]]:
        """All that is stored, past the product."""
        found = self.sql(
            "SELECT id, input, status, reason, attempt, starts, limit_count, return_interruptions FROM jobs"
        )
        stored = [ledger.JobRow(row[0], _token(row[1]), *row[2:]) for row in found]
        tries = self.sql("SELECT job_id, attempt, reason, started, result, error FROM attempts")
        return stored, [
            ledger.AttemptRow(job_id, attempt, reason, bool(started), *ledger.nonce_in(result, error))
            for job_id, attempt, reason, started, result, error in tries
        ]

    def unfinished(self) -> int:
        return int(self.sql("SELECT COUNT(*) FROM jobs WHERE status IN (0, 1, 2)")[0][0])

    def stray_processes(self) -> list[str]:
        """What still runs of the server, of the nodes and of their jobs."""
        pids = {*processes_below(self.folder), *_marked(self.mark)} - self._standing()
        return [describe(pid) for pid in sorted(pids)]

    def _standing(self) -> set[int]:
        """The nodes themselves."""
        standing = set()
        for node in self.nodes:
            if node.host.process is not None:
                pid = node.host.process.pid
                sshd = [each for each in hosts._descendants(pid) if "sshd" in hosts._command(each)]
                standing |= {pid, *(each for each in sshd if each not in node.remains())}
        return standing

    def end(self) -> None:
        """Nothing runs any more."""
        self.server.kill()
        for node in self.nodes:
            if node.host.process is not None:
                node.kill(reboot=False)
        _kill_all(lambda: [*processes_below(self.folder), *_marked(self.mark)])

    def _inventory(self) -> str:
        user = self.hosts.user(self.account)
        lines = [
            f"  {node.name}: {{host: {node.host.address}, port: {node.host.port}, user: {user}, "
            f'identity_file: "{self.hosts.identity}", root: "{node.root}", limit_process: {SLOTS}, '
            f"tag: [{node.name}]}}"
            for node in self.nodes
        ]
        return "\n".join(["machines:", *lines]) + "\n"

    def _settle(self, **settings: object) -> None:
        """The server's home and its first start."""
        home = self.folder / "home"
        if self.image is not None:
            home = self.image.at / "home"
        self.port = _free_port()
        db = {} if self.database.kind == "sqlite" else {"db": self.database.url}
        self.server = DyingServer(home, self._inventory(), **{**TIMERS, "port": self.port, **db, **settings})
        shutil.copy(self.hosts.home / "known_hosts", home / "known_hosts")
        self.server.start()
        os.sync()  # all this was long ago
        self.token = (home / "token").read_text().strip()
        self.publish()


@contextlib.contextmanager
def world(folder: Path, kind: str, *, disk: bool = True, **settings: object) -> Iterator[World]:
    """A running world on a database of this kind; everything of it is gone at the end but what lies in the folder."""
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(hosts.running())
        image = None
        if disk and kind == "sqlite" and not disks.missing():
            image = stack.enter_context(disks.image(folder, HOME_MB))
        home = (image.at if image else folder) / "home"
        home.mkdir()
        if image:
            (image.at / "dying").symlink_to(folder / "dying")
        database = stack.enter_context(_database(kind, home))
        here = World(folder, made, database)
        here.image = image
        _make_nodes(here, stack)
        stack.callback(here.end)
        here._settle(**settings)
        yield here


def _database(kind: str, home: Path) -> contextlib.AbstractContextManager[Database]:
    if kind == "sqlite":  # migrated by the server itself
        return contextlib.nullcontext(Database(kind, f"sqlite:///{home}/multijob.db"))
    return databases.a_database(kind, home)


def _make_nodes(here: World, stack: contextlib.ExitStack) -> None:
    roots = here.hosts.folder / "roots"
    roots.mkdir()
    apart = os.geteuid() == 0
    for number in range(1, NODES + 1):
        name, wrapper, namespace = f"node-{number}", [], None
        root = roots / name
        if apart and number == 2:
            stack.enter_context(disks.memory(root, DISK_MB))
        if number == NODES and not network.missing():
            namespace = here.namespace = stack.enter_context(network.namespace())
            wrapper = ["ip", "netns", "exec", namespace.name]
        root.mkdir(exist_ok=True)
        if here.account:
            os.chown(root, here.hosts.uid(here.account), -1)
        node = Node(here.hosts, name, root / "multijob", here.mark, wrapper, namespace)
        here.nodes.append(node)
        if apart and number == 2:
            here.small_disk = node


def _token(text: str) -> str:
    return str(json.loads(text)["kwargs"]["token"])


def _marked(mark: str) -> list[int]:
    """Processes that a job left behind: their names say whose they are."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(mark.encode()):
                found.append(int(path.parent.name))
    return found


def describe(pid: int) -> str:
    """A process, as far as it can still be seen."""
    shown = subprocess.run(
        ["ps", "-o", "pid=,ppid=,stat=,etimes=,comm=,args=", "-p", str(pid)],
        capture_output=True,
        check=False,
        text=True,
    )
    return f"process {shown.stdout.strip() or pid}"


def _kill_all(living: Callable[[], list[int]]) -> None:
    """Stop everything first, so that nothing sees another die; then end it."""
    stopped: set[int] = set()
    while new := set(living()) - stopped:
        for pid in new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= new
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
