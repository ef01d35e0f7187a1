"""Real databases for tests: private MariaDB and PostgreSQL servers, and a fresh, migrated database for whoever asks.

A server is started when the first test wants it and ended with the session, by its pid. It listens on a Unix socket in
a temporary folder of its own, so nothing of the machine is used or changed. As root, PostgreSQL runs as an unprivileged
account, because it refuses root. SQLite has no server; here it is one more kind.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pymysql
from sqlalchemy import Engine, make_url

from jobs.store import Store, engines
from tests.support import wait

KINDS = ("sqlite", "mariadb", "postgresql")
#: Databases are made in it, and nothing else is.
TEMPLATE = "mj_template"
_SBIN = "/usr/sbin:/usr/local/sbin:/sbin"
_numbers = itertools.count(1)


@dataclass
class Database:
    """One database, migrated and empty. ``url`` is what the settings would say."""

    kind: str
    url: str
    #: The private server it lives on; None: SQLite.
    server: "PrivateServer | None" = None
    drop: Callable[[], None] = field(default=lambda: None, repr=False)

    def sql(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Straight to the database, past every door and on a connection of its own; ``?`` stands for a parameter."""
        if self.kind != "sqlite":
            statement = statement.replace("%", "%%").replace("?", "%s")
        with self._engine.connect() as conn:
            result = conn.exec_driver_sql(statement, tuple(parameters))
            return [tuple(row) for row in result] if result.returns_rows else []

    @cached_property
    def _engine(self) -> Engine:
        return engines.for_reading(make_url(self.url))

    def close(self) -> None:
        """Let go of it, and drop it where it lives on a server."""
        self._engine.dispose()
        self.drop()


class PrivateServer(Protocol):
    """A database server of ours. Address and content stay the same over ``stop`` and ``start``."""

    kind: str

    def start(self) -> None: ...
    def stop(self, how: signal.Signals = signal.SIGTERM) -> None: ...
    def create(self, *, empty: bool = False) -> Database: ...
    def execute(self, *statements: str) -> list[Any]: ...


class _Process:
    """What both servers share: a folder, a process, its end."""

    name = ""
    #: Commits survive a power loss, as people want it and tests need not wait for. Set before a server is started.
    durable = False

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mj-db-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _spawn(self, command: Sequence[str], answers: Callable[[], object]) -> None:
        # A session of its own, so that Ctrl-C at the tests does not reach it; it ends with them whatever happens.
        command = [*self._guarded(), *command]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        wait.until(lambda: self.must_live() and answers(), what=self.name, timeout_s=60)

    def _guarded(self) -> list[str]:
        return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []

    def must_live(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"{self.name} ended: {self.log}")
        return True

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            left = _children(self._process.pid)
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None
            # They end when they notice, and keep the shared memory, which the next postgres refuses to start beside.
            wait.until(lambda: not any(map(_lives, left)), what=f"the processes of {self.name} to end", timeout_s=60)

    def close(self) -> None:
        self.stop(signal.SIGKILL)
        self._folder.cleanup()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(str(path)) == 0


class MariaDb(_Process):
    """A private mariadbd; the account ``root`` has no password, and only we reach its socket."""

    kind = "mariadb"
    name = "mariadbd"

    def __init__(self) -> None:
        super().__init__()
        self._own_account = ["--user=root"] if os.geteuid() == 0 else []
        _run(
            [
                "mariadb-install-db",
                "--no-defaults",
                *self._own_account,
                f"--datadir={self.folder / 'data'}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ]
        )
        self.start()
        self._create_statements = self._make_template()

    @staticmethod
    def missing() -> list[str]:
        return [name for name in ("mariadbd", "mariadb-install-db") if _which(name) is None]

    @property
    def socket(self) -> Path:
        return self.folder / "sock"

    def url(self, name: str, who: str = "root") -> str:
        return f"mysql+pymysql://{who}@/{name}?unix_socket={self.socket}"

    def start(self) -> None:
        command = [
            str(_which("mariadbd")),
            "--no-defaults",
            *self._own_account,
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'pid'}",
            "--skip-networking",
            # 2 survives our kill -9, if not a power loss.
            f"--innodb-flush-log-at-trx-commit={1 if self.durable else 2}",
            "--innodb-buffer-pool-size=64M",
            "--max-allowed-packet=64M",
            # What an old installation has: everything must be said explicitly.
            "--character-set-server=latin1",
            "--default-time-zone=+05:45",
        ]
        self._spawn(command, lambda: _listens(self.socket))

    def execute(self, *statements: str) -> list[Any]:
        """As the server's administrator; the rows of the last statement."""
        with contextlib.closing(
            pymysql.connect(unix_socket=str(self.socket), user="root", charset="utf8mb4", autocommit=True)
        ) as conn:
            cursor = conn.cursor()
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def create(self, *, empty: bool = False) -> Database:
        name = f"mj_{next(_numbers)}"
        self.execute(*_create_database(name), f"USE {name}", *([] if empty else self._create_statements))
        return Database(self.kind, self.url(name), self, lambda: self._drop(name))

    def _drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name}")

    def _make_template(self) -> list[str]:
        """What makes a migrated database: MariaDB has no templates."""
        self.execute(*_create_database(TEMPLATE))
        Store.open(self.url(TEMPLATE)).close()
        tables = [row[0] for row in self.execute(f"SHOW TABLES FROM {TEMPLATE}")]
        triggers = [row[0] for row in self.execute(f"SHOW TRIGGERS FROM {TEMPLATE}")]
        makers = [self.execute(f"SHOW CREATE TABLE {TEMPLATE}.{table}")[0][1] for table in tables]
        copies = [f"INSERT INTO {table} SELECT * FROM {TEMPLATE}.{table}" for table in tables]  # noqa: S608  (ours)
        guards = [self.execute(f"SHOW CREATE TRIGGER {TEMPLATE}.{trigger}")[0][2] for trigger in triggers]
        return [*makers, *copies, *guards]


class PostgreSql(_Process):
    """A private postgres; whoever reaches its socket may do everything."""

    kind = "postgresql"
    name = "postgres"

    def __init__(self) -> None:
        super().__init__()
        self._as_other: list[str] = []
        if os.geteuid() == 0:
            account = _unprivileged()
            assert account is not None
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            who = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
            self._as_other = ["setpriv", *who]
        initdb = [str(_postgres("initdb")), "-D", str(self.folder / "data"), "-A", "trust", "-U", "multijob"]
        _run([*self._as_other, *initdb, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], cwd=self.folder)
        self.start()
        self.execute(f"CREATE DATABASE {TEMPLATE}")
        Store.open(self.url(TEMPLATE)).close()

    @staticmethod
    def missing() -> list[str]:
        lacks = [name for name in ("initdb", "postgres") if _postgres(name) is None]
        if os.geteuid() == 0:
            lacks += [] if shutil.which("setpriv") else ["setpriv"]
            lacks += [] if _unprivileged() else ["an unprivileged account for postgres"]
        return lacks

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://multijob@/{name}?host={self.folder}"

    def start(self) -> None:
        command = [str(_postgres("postgres")), "-D", str(self.folder / "data")]
        sync = "on" if self.durable else "off"
        options = ["-k", str(self.folder), "-c", "listen_addresses=", "-c", "max_connections=300"]
        options += ["-c", "timezone=Asia/Kathmandu", "-c", f"fsync={sync}", "-c", f"synchronous_commit={sync}"]
        self._spawn([*command, *options], self._takes_us)

    def _guarded(self) -> list[str]:
        """In one call: a change of account would forget the signal."""
        return [*self._as_other, "--pdeathsig", "KILL"] if self._as_other else super()._guarded()

    def _takes_us(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            self.execute("SELECT 1")
            return True
        return False

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: at once and in order; SIGTERM would wait for clients."""
        super().stop(signal.SIGINT if how == signal.SIGTERM else how)

    def execute(self, *statements: str) -> list[Any]:
        """As the server's administrator; the rows of the last statement."""
        with psycopg.connect(f"host={self.folder} user=multijob dbname=postgres", autocommit=True) as conn:
            for statement in statements:
                cursor = conn.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, *, empty: bool = False) -> Database:
        name = f"mj_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else TEMPLATE}")
        return Database(self.kind, self.url(name), self, lambda: self._drop(name))

    def _drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")


_servers: dict[str, MariaDb | PostgreSql] = {}


def missing(kind: str) -> list[str]:
    """What this machine lacks for a kind of database."""
    return {"sqlite": list, "mariadb": MariaDb.missing, "postgresql": PostgreSql.missing}[kind]()


def server(kind: str) -> MariaDb | PostgreSql:
    """The session's server of this kind."""
    if kind not in _servers:
        _servers[kind] = {"mariadb": MariaDb, "postgresql": PostgreSql}[kind]()
    _servers[kind].must_live()
    return _servers[kind]


def make_durable() -> None:
    """Servers started from now on keep their commits over a power loss."""
    _Process.durable = True


def stop_all() -> None:
    """At the session's end."""
    while _servers:
        _servers.popitem()[1].close()


@contextlib.contextmanager
def a_database(kind: str, folder: Path, *, empty: bool = False) -> Iterator[Database]:
    """A fresh one, migrated unless ``empty``, dropped afterwards; SQLite's lies in the folder."""
    if kind == "sqlite":
        (folder / "multijob.db").write_bytes(b"" if empty else _migrated_sqlite())
        made = Database(kind, f"sqlite:///{folder}/multijob.db")
    else:
        made = server(kind).create(empty=empty)
    try:
        yield made
    finally:
        made.close()


@cache
def _migrated_sqlite() -> bytes:
    """A migrated database; migrating anew for every test would be most of its time."""
    with tempfile.TemporaryDirectory() as folder:
        Store.open(f"sqlite:///{folder}/multijob.db").close()
        return Path(folder, "multijob.db").read_bytes()


def _create_database(name: str) -> list[str]:
    return [f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"]


def _run(command: Sequence[str], cwd: Path | None = None) -> None:
    path = f"{os.environ.get('PATH', '')}:{_SBIN}"
    done = subprocess.run(
        command, capture_output=True, check=False, text=True, env={**os.environ, "PATH": path}, cwd=cwd
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"


def _which(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SBIN}")


def _postgres(name: str) -> str | None:
    """Debian keeps these out of the PATH; of several versions, the newest."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return str(found[-1]) if found else _which(name)


def _unprivileged() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None
