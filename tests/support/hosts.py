"""Real SSH servers for tests: private sshd processes with keys, accounts and folders of their own.

Nothing of the machine is used or changed: configuration, host keys, authorized keys and homes live in one temporary
folder. As root the servers run in a mount namespace of their own whose account files are ours, so that there are
accounts with every login shell; as an ordinary user there is that user's account alone.
"""

import contextlib
import getpass
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inventory.machine import Machine
from orchestrator.node.local import LocalTransport
from orchestrator.node.transport import Transport
from orchestrator.ssh.connect import Connector
from orchestrator.ssh.gate import ConnectGate
from orchestrator.ssh.keys import KnownHosts
from orchestrator.ssh.transport import SshTransport
from orchestrator.ssh.tunnel import Pump
from tests.support import wait

#: Accounts that exist as root, by the login shell they have.
SHELLS = ("sh", "bash", "dash", "zsh", "fish", "csh")
_FIRST_UID = 61001
_SBIN = "/usr/sbin:/usr/local/sbin:/sbin"
#: Ports of each worker of the tests, ten workers in all; by hand from anywhere in the last part.
PORTS_FROM, PORTS_EACH = 12_000, 2_000
_ports = itertools.count(os.getpid())


def sshd_path() -> str | None:
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{_SBIN}")


def missing_tools() -> list[str]:
    """What this machine lacks to run an sshd with rsync."""
    found = {"sshd": sshd_path(), "ssh-keygen": shutil.which("ssh-keygen"), "rsync": shutil.which("rsync")}
    return [name for name, path in found.items() if path is None]


def has_accounts() -> bool:
    """Whether several accounts are possible here: root, with leave to make a mount namespace."""
    return (
        os.geteuid() == 0
        and subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0
    )


@dataclass
class Host:
    """One sshd. ``address`` and ``port`` stay the same over ``stop`` and ``start``."""

    name: str
    address: str
    port: int
    folder: Path
    command: list[str]
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def key_name(self) -> str:
        """What known_hosts calls it."""
        return f"[{self.address}]:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text(errors="replace")

    def start(self) -> None:
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait.until(self._answers, what=f"sshd {self.name}")

    def fingerprint(self) -> str:
        """Of its host key, as people compare it."""
        return fingerprint(self.folder / "host_key")

    def change_key(self) -> None:
        """Come back with another host key, as after a reinstallation."""
        self.stop()
        for path in self.folder.glob("host_key*"):
            path.unlink()
        new_key(self.folder / "host_key")
        self.start()

    def stop(self) -> None:
        """End the server and every connection to it, as a reboot would."""
        if self.process is None:
            return
        self.cut()
        self.process.terminate()
        self.process.wait(10)
        self.process = None

    def cut(self) -> None:
        """End all connections there are; the server goes on listening. What commands started by themselves lives on."""
        there = set(self.connections())
        for pid in there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Whoever was cut off may be back already.
        wait.until(lambda: not there.intersection(self.connections()), what="the connections' end")

    def freeze(self) -> None:
        """Stop answering, without a word: connections stay open."""
        for pid in self._all():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._all():
            os.kill(pid, signal.SIGCONT)

    def connections(self) -> list[int]:
        """Processes of the server that serve connections."""
        if self.process is None:
            return []
        return [pid for pid in _descendants(self.process.pid) if _command(pid).startswith("sshd")]

    def _all(self) -> list[int]:
        return [self.process.pid, *self.connections()] if self.process else []

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise AssertionError(f"sshd {self.name} ended: {self.log}")
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), timeout=1) as sock:
            return sock.recv(4) == b"SSH-"
        return False


class Transports:
    """Makes transports as the server does, over one known_hosts, gate and tunnel thread; ``stop`` closes them all."""

    def __init__(self, known_hosts: KnownHosts, ssh_config: Path) -> None:
        self.known_hosts = known_hosts
        self._connector = Connector(known_hosts, ConnectGate(), ssh_config)
        self._pump = Pump()
        self._pump.start()
        self._made: list[Transport] = []

    def __call__(self, machine: Machine) -> Transport:
        local = machine.connection == "local"
        made = LocalTransport(machine) if local else SshTransport(machine, self._connector, self._pump)
        self._made.append(made)
        return made

    def connected(self, machine: Machine) -> Transport:
        transport = self(machine)
        transport.connect()
        return transport

    def stop(self) -> None:
        for transport in self._made:
            transport.close()
        self._pump.stop()


class Hosts:
    """Makes hosts, and what it takes to reach them: a client key, a known_hosts, an ssh_config."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: list[Host] = []
        self._made: list[Transports] = []
        self.identity = new_key(folder / "id_client")
        self.home = _folder(folder / "home")
        self.ssh_config = folder / "ssh_config"
        self.ssh_config.write_text("")
        self._accounts = _write_accounts(folder) if has_accounts() else {}

    def start(
        self, name: str = "", *, lines: Sequence[str] = (), wrapper: Sequence[str] = (), address: str = ""
    ) -> Host:
        """A new running host. ``lines`` go to sshd_config; ``wrapper`` is put before the command."""
        number = len(self.hosts) + 2
        name = name or f"node-{number - 1}"
        address = address or f"127.0.0.{number}"
        folder = _folder(self.folder / name)
        host = Host(name, address, _free_port(), folder, [])
        _make_privilege_folder()
        host.command = [*wrapper, *self._in_namespace(), *self._server(host, lines)]
        self.hosts.append(host)
        host.start()
        self.trust(host)
        return host

    def trust(self, host: Host) -> None:
        """Put the host's key into our known_hosts."""
        kind, key, *_ = (host.folder / "host_key.pub").read_text().split()
        with (self.home / "known_hosts").open("a") as known:
            known.write(f"{host.key_name} {kind} {key}\n")

    def user(self, shell: str = "") -> str:
        """An account that logs in with this shell; the account of the tests without."""
        return f"mj-{shell}" if shell else getpass.getuser()

    def shells(self) -> list[str]:
        return sorted(self._accounts)

    def uid(self, shell: str) -> int:
        return _FIRST_UID + list(self._accounts).index(shell)

    def user_home(self, shell: str) -> Path:
        return self._accounts[shell]

    def root_of(self, host: Host) -> str:
        """A root for machines on this host, apart from everyone else's."""
        return str(host.folder / "root")

    def machine(self, host: Host, /, **changes: object) -> Machine:
        """The inventory's view of a host."""
        facts: dict[str, object] = {
            "machine_id": host.name,
            "host": host.address,
            "port": host.port,
            "user": self.user(),
            "identity_file": str(self.identity),
            "root": self.root_of(host),
        }
        return Machine(**{**facts, **changes})  # type: ignore[arg-type]

    def inventory(self, **settings: object) -> str:
        """inventory.yml with all hosts; ``settings`` are added to each machine."""
        extra = "".join(f", {key}: {value}" for key, value in settings.items())
        lines = [
            f"  {host.name}: {{host: {host.address}, port: {host.port}, user: {self.user()}, "
            f'identity_file: "{self.identity}", root: "{self.root_of(host)}"{extra}}}'
            for host in self.hosts
        ]
        return "\n".join(["machines:", *lines]) + "\n"

    def transports(self, *, accept_new: bool = False, home: Path | None = None) -> Transports:
        """A factory that knows our host keys and nothing of the person's ~/.ssh; stopped with the hosts."""
        own = (home or self.home) / "known_hosts"
        made = Transports(KnownHosts(own, accept_new=accept_new, others=()), self.ssh_config)
        self._made.append(made)
        return made

    def stop(self) -> None:
        for made in self._made:
            made.stop()
        for host in self.hosts:
            host.stop()

    def _server(self, host: Host, lines: Sequence[str]) -> list[str]:
        key = new_key(host.folder / "host_key")
        authorized = self.folder / "authorized_keys"
        authorized.write_text((self.folder / "id_client.pub").read_text())
        config = host.folder / "sshd_config"
        config.write_text(
            "\n".join(
                [
                    *lines,  # the first of two equal settings counts
                    f"ListenAddress {host.address}",
                    f"Port {host.port}",
                    f"HostKey {key}",
                    f"AuthorizedKeysFile {authorized}",
                    f"PidFile {host.folder / 'sshd.pid'}",
                    "StrictModes no",
                    "UsePAM no",
                    "PasswordAuthentication no",
                    "KbdInteractiveAuthentication no",
                    "PermitRootLogin yes",
                    "UseDNS no",
                    "PrintMotd no",
                    "MaxStartups 100",
                    "LogLevel VERBOSE",
                    *self._quiet_login(lines),
                ]
            )
            + "\n"
        )
        return [str(sshd_path()), "-D", "-e", "-f", str(config)]

    def _quiet_login(self, lines: Sequence[str]) -> list[str]:
        """An empty home for our own account: its login files are a person's, and slow or locked as they please."""
        said = [line.removeprefix("SetEnv ") for line in lines if line.startswith("SetEnv ")]
        return [f"Match User {getpass.getuser()}", " ".join(["SetEnv", f"HOME={self.home}", *said])]

    def _in_namespace(self) -> list[str]:
        """Run with our account files in the places of the machine's."""
        if not self._accounts:
            return []
        binds = " && ".join(
            f"mount --bind {self.folder / 'etc' / name} /etc/{name}" for name in ("passwd", "shadow", "group")
        )
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", f'{binds} && exec "$@"', "sh"]


def fingerprint(key: Path) -> str:
    """SHA256:… of a key, as ssh-keygen says it."""
    done = subprocess.run(["ssh-keygen", "-lf", f"{key}.pub"], capture_output=True, check=True, text=True)
    return done.stdout.split()[1]


@contextlib.contextmanager
def running() -> Iterator[Hosts]:
    """Hosts in a temporary folder; all of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mj-hosts-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        hosts = Hosts(Path(name))
        try:
            yield hosts
        finally:
            hosts.stop()


def _write_accounts(folder: Path) -> dict[str, Path]:
    """Account files with one account a login shell; answer their homes."""
    etc = _folder(folder / "etc")
    found = {shell: path for shell in SHELLS if (path := shutil.which(shell))}
    homes = {shell: _folder(folder / f"home-{shell}") for shell in found}
    accounts = [
        f"mj-{shell}:x:{uid}:{uid}::{homes[shell]}:{found[shell]}" for uid, shell in enumerate(found, _FIRST_UID)
    ]
    for uid, shell in enumerate(found, _FIRST_UID):
        os.chown(homes[shell], uid, uid)
    ours = {
        "passwd": accounts,
        "shadow": [f"mj-{shell}:*:19000:0:99999:7:::" for shell in found],
        "group": [f"mj-{shell}:x:{uid}:" for uid, shell in enumerate(found, _FIRST_UID)],
    }
    for name, lines in ours.items():
        (etc / name).write_text(Path("/etc", name).read_text().rstrip("\n") + "\n" + "\n".join(lines) + "\n")
        (etc / name).chmod(0o600 if name == "shadow" else 0o644)
    return homes


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o755)
    return path


def _make_privilege_folder() -> None:
    """sshd run by root wants this folder, which a service manager makes elsewhere."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, parents=True, exist_ok=True)


def new_key(path: Path, kind: str = "ed25519") -> Path:
    """A key pair without passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path


def _free_port() -> int:
    """Free at every address, below those that connections take by themselves, and of this worker of the tests alone."""
    first = PORTS_FROM + PORTS_EACH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw9")[2:]) % 10)
    for number in itertools.islice(_ports, PORTS_EACH):
        port = first + number % PORTS_EACH
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", port))
            return port
    raise AssertionError("no port is free")


def children() -> list[int]:
    """Processes started by this one, directly or not."""
    return _descendants(os.getpid())


def own_children() -> list[int]:
    """Processes started by this one itself: others, as those of a database server, come and go as they please."""
    return [child for child, parent in _parents().items() if parent == os.getpid()]


def _descendants(pid: int) -> list[int]:
    return _below(_parents(), pid)


def _parents() -> dict[int, int]:
    """Every process and who is above it."""
    with subprocess.Popen(["ps", "-e", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True) as ps:
        listing = ps.communicate()[0]
    parents = {int(child): int(parent) for child, parent in map(str.split, listing.splitlines())}
    parents.pop(ps.pid, None)
    return parents


def _below(parents: dict[int, int], pid: int) -> list[int]:
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [below for child in found for below in _below(parents, child)]


def _command(pid: int) -> str:
    result = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, check=False, text=True)
    return result.stdout.strip()
