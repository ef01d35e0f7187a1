"""The hands that find out whether a machine can be reached: name, network, host key, login, login shell."""

import shlex
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

from orchestrator.doctor import look
from orchestrator.doctor.plan import Hand, Said, Step, failed, fine, warning
from orchestrator.doctor.visit import RUN_S, Visit
from orchestrator.errors import HostKeyRefused, NodeUnreachable, OrchestratorError
from orchestrator.ssh import look as ssh_look
from orchestrator.ssh.connect import Link
from orchestrator.ssh.transport import SshTransport

STEPS: Final = (
    Step("resolve", "name and address"),
    Step("tcp", "network", ("resolve",)),
    Step("host_key", "host key", ("tcp",)),
    Step("login", "login", ("host_key",)),
    Step("shell", "login shell", ("login",)),
)
#: A login that takes longer than this is felt at every connection.
SLOW_LOGIN_S: Final = 3.0
_TCP_S: Final = 10.0


class Reach:
    """One look at the way to one machine."""

    def __init__(self, visit: Visit, accept: Callable[[str], bool]) -> None:
        self._visit = visit
        self._accept = accept
        self._link: Link | None = None
        self._login_error: OrchestratorError | None = None

    def hands(self) -> Mapping[str, Hand]:
        return {
            "resolve": self._resolve,
            "tcp": self._tcp,
            "host_key": self._host_key,
            "login": self._login,
            "shell": self._shell,
        }

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _resolve(self) -> Said:
        self._visit.address = where = ssh_look.address(self._visit.machine, self._visit.tools.ssh_config)
        shown = f"{where.user}@{where.host}:{where.port}"
        if where.behind:
            return fine(f"{shown}, by way of {where.behind}")
        try:
            found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
        except OSError as error:
            return failed(
                f"{where.host} cannot be resolved: {error.strerror}",
                "mind the spelling of host: in the inventory, or of the Host in ~/.ssh/config; an address works too",
            )
        addresses = sorted({str(one[4][0]) for one in found})
        return fine(shown if addresses == [where.host] else f"{shown} is {', '.join(addresses[:4])}")

    def _tcp(self) -> Said:
        where = self._visit.address
        if where.behind:
            return fine("left to what it lies behind")
        try:
            words = ssh_look.banner(where.host, where.port, _TCP_S)
        except ConnectionRefusedError:
            return failed(
                f"{where.host} refuses port {where.port}: nothing listens there",
                "start sshd on the machine, or correct port: in the inventory",
            )
        except TimeoutError:
            return failed(
                f"no answer from {where.host} port {where.port} within {_TCP_S:.0f} s",
                "is it switched on and in this network? look at firewalls and VPN, or name a jump host as gateway:",
            )
        except OSError as error:
            return failed(
                f"no way to {where.host}: {error.strerror}",
                "look at this computer's network and VPN, or name a jump host as gateway:",
            )
        if not words.startswith("SSH-"):
            said = f"says {look.text(words)!r}" if words else "says nothing"
            return failed(
                f"port {where.port} is open, but what listens there {said}",
                "correct port:, or raise MaxStartups in its sshd_config if it limits new connections",
            )
        return fine(look.text(words))

    def _host_key(self) -> Said:
        try:
            link = self._visit.tools.connector.connect(self._visit.machine)
        except HostKeyRefused as error:
            if error.changed or not self._accept(error.fingerprint):
                return self._refused_key(error)
            self._visit.tools.connector.known_hosts.accept(self._visit.machine.machine_id, error.fingerprint)
            return self._host_key_accepted()
        except OrchestratorError as error:
            if not ssh_look.failed_at_login(error):
                raise
            self._login_error = error
            return fine("the one that is known")
        self._link = link
        return fine(look.text(ssh_look.fingerprint(link)))

    def _host_key_accepted(self) -> Said:
        """Once more, now that the key is known; a gateway may have one of its own to accept."""
        said = self._host_key()
        return said._replace(finding=f"{said.finding} (accepted now)") if said.state == "fine" else said

    def _refused_key(self, error: HostKeyRefused) -> Said:
        if error.changed:
            return failed(
                str(error),
                "if the machine was set up anew, compare the key with its own and accept it "
                f"(mj machine trust {self._visit.machine.machine_id}); if not, somebody may stand in between: do not",
            )
        self._visit.unknown_key = error.fingerprint
        return failed(
            f"unknown: {error.fingerprint}",
            "compare it with what the machine itself says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), "
            f"then accept it: mj machine trust {self._visit.machine.machine_id}",
        )

    def _login(self) -> Said:
        where, error = self._visit.address, self._login_error
        if error is None:
            return fine(f"as {where.user}")
        copy = shlex.join(["ssh-copy-id", "-p", str(where.port), f"{where.user}@{where.host}"])
        return failed(
            str(error),
            f"let your key in: {copy}; or correct user:, identity_file: or password: in the inventory",
        )

    def _shell(self) -> Said:
        link = self._link
        if link is None:
            raise NodeUnreachable("the connection is gone")
        began = time.monotonic()
        noise = ssh_look.noise(link, RUN_S)
        spent_s = time.monotonic() - began
        link.close()
        self._link = None
        self._visit.transport = SshTransport(self._visit.machine, self._visit.tools.connector, self._visit.tools.pump)
        try:
            self._visit.transport.connect()
            self._visit.transport.run(["true"], timeout_s=RUN_S)
        except OrchestratorError as error:
            return failed(str(error), "let the account have a plain login shell: chsh -s /bin/sh there")
        if noise is None:
            return warning("it starts another program, which takes commands as input", "let its login files end sooner")
        if noise.strip():
            words = look.text(noise.decode("utf-8", "replace").strip().splitlines()[0])
            return warning(
                f"prints {len(noise)} bytes before every command, beginning {words!r}; that does no harm here",
                "let its login files (~/.bashrc and the like) print only for people: [ -t 1 ] && echo …",
            )
        if spent_s > SLOW_LOGIN_S:
            return warning(
                f"takes {spent_s:.1f} s before a command runs",
                "look at what its login files do (~/.bashrc, /etc/profile)",
            )
        return fine("quiet")
