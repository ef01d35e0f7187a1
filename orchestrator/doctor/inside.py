"""The hands that look around inside a machine: Python, folder, space, rsync, report route, logout, account, clock."""

import secrets
import shlex
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from orchestrator.doctor import greeter, look
from orchestrator.doctor.plan import Hand, Said, Step, failed, fine, warning
from orchestrator.doctor.visit import RUN_S, Visit
from orchestrator.errors import ForwardingRefused, ProtocolError
from orchestrator.node import health
from orchestrator.node.local import LocalTransport

STEPS: Final = (
    Step("python", "Python", ("shell",)),
    Step("root", "root folder", ("python",)),
    Step("space", "space", ("root",)),
    Step("rsync", "rsync", ("python",)),
    Step("forwarding", "report route", ("python",)),
    Step("logout", "survives logout", ("python",)),
    Step("account", "account", ("python",)),
    Step("clock", "clock", ("python",)),
)
#: Steps that mean nothing where there is no connection between.
BETWEEN: Final = frozenset({"rsync", "forwarding", "logout"})
#: Below this nothing can be run, and little above it soon neither.
NEEDED_BYTES: Final = 64 << 20
SOME_BYTES: Final = 1 << 30
NEEDED_FILES: Final = 1000
#: Beyond this a clock is called wrong.
CLOCK_S: Final = 60.0


class Inside:
    """One look around one machine that can be reached."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._root = ""

    def hands(self) -> Mapping[str, Hand]:
        return {
            "python": self._find_python,
            "root": self._look_at_root,
            "space": self._space,
            "rsync": self._rsync,
            "forwarding": self._forward,
            "logout": self._logout,
            "account": self._account,
            "clock": self._clock,
        }

    def _find_python(self) -> Said:
        if self._visit.machine.connection == "local":
            self._visit.transport = LocalTransport(self._visit.machine)
            self._visit.transport.connect()
        mark = secrets.token_hex(8)
        argv = health.find_python(self._visit.machine.python, mark, "-", "-")
        done = self._visit.here().run(argv, stdin=look.WHO.encode("ascii"), timeout_s=RUN_S)
        found = look.found_python(done.stdout, mark)
        if not isinstance(found, str):
            self._visit.python, version = found
            return fine(f"{version} at {self._visit.python}")
        floor = ".".join(map(str, health.FLOOR))
        named = f"python: {self._visit.machine.python}" if self._visit.machine.python else "any of the usual names"
        seen = f"too old: {found}" if found else f"none was found under {named}"
        return failed(
            f"{seen}; {floor} or later is needed",
            f"install Python {floor} or later there, or name its path as python: in the inventory",
        )

    def _look_at_root(self) -> Said:
        facts = self._visit.look("root", self._visit.machine.root, self._visit.tools.server_id)
        if facts.get("homeless") is True:
            return failed(
                f"{self._visit.machine.root} has no home to stand in", "give an absolute path as root: in the inventory"
            )
        self._root = look.text(facts.get("root", ""))
        problem, why = look.texts(facts, ("error", "errno"))
        other = "or give another folder as root: in the inventory"
        if facts.get("ours") is False:
            return failed(f"{self._root} belongs to another account", f"chown it, {other}")
        if why in ("ENOSPC", "EDQUOT"):
            return failed(f"{self._root}: {problem}", f"free space there, {other}")
        if why == "EROFS":
            return failed(f"{self._root} is on a read-only file system", f"mount it writable, {other}")
        if problem:
            return failed(f"cannot write to {self._root}: {problem}", f"let the account write there, {other}")
        if facts.get("runs") is False:
            return failed(f"nothing may be executed in {self._root} (noexec)", f"mount it without noexec, {other}")
        mode = int(look.number(facts, "mode"))
        if mode & 0o077:
            return warning(f"{self._root} is open to others ({mode:04o})", "the next connection makes it 0700")
        return fine(self._root)

    def _space(self) -> Said:
        facts = self._visit.look("space", self._root)
        free, files = int(look.number(facts, "free")), int(look.number(facts, "files"))
        where = look.text(facts.get("where", self._root))
        shown = f"{free / (1 << 30):.1f} GiB free at {where}"
        wanted = max(NEEDED_BYTES, self._visit.machine.min_free_disk_bytes)
        if free < wanted:
            return failed(
                f"only {free >> 20} MiB free at {where}, {wanted >> 20} MiB are needed",
                "free space there, or give a folder on another disk as root: in the inventory",
            )
        if 0 <= files < NEEDED_FILES:
            return failed(f"room for {files} more files only at {where}", "remove files there: its inodes are used up")
        if free < SOME_BYTES:
            return warning(shown, "free some more: job folders and logs go there")
        return fine(shown)

    def _rsync(self) -> Said:
        facts = self._visit.look("rsync")
        path, version = look.texts(facts, ("path", "version"))
        if not path:
            return warning(
                "missing; folders travel as tar, whole each time", "install rsync there: unchanged files stay"
            )
        if facts.get("code") != 0:
            return warning(f"{path} does not run: {version}", "install it anew; folders travel as tar meanwhile")
        return fine(version or path)

    def _forward(self) -> Said:
        if self._visit.machine.report == "drain":
            return fine("not used: reports are drained over the connection (report: drain)")
        if self._visit.machine.report == "direct":
            return self._direct()
        with greeter.listening() as port:
            try:
                there = self._visit.here().forward(port)
            except ForwardingRefused:
                return _no_forwarding("its SSH server forbids reverse forwarding")
            try:
                heard = self._visit.look("reach", str(there)).get("heard")
            except ProtocolError:
                heard = None
        if heard != greeter.WORDS.decode():
            return _no_forwarding("the tunnel was made, but nothing comes through it")
        return fine("a tunnel on the connection")

    def _direct(self) -> Said:
        url = self._visit.tools.report_url
        if not url:
            return failed("report: direct, but the server has no report_url", "set report_url, or leave report: out")
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            self._visit.look("post", parts.hostname or "", str(port))
        except ProtocolError:
            return warning(
                f"{parts.hostname}:{port} cannot be reached from the machine; reports are drained over the connection",
                "open the way to it, or leave report: out",
            )
        return fine(f"straight to {parts.hostname}:{port}")

    def _logout(self) -> Said:
        """Leave a process there, hang up, come back and look."""
        mark = secrets.token_hex(8)
        pid = int(look.number(self._visit.look("stay", mark), "pid"))
        here = self._visit.here()
        here.close()
        here.connect()
        facts = self._visit.look("stayed", mark, str(pid))
        if facts.get("stayed") is True and facts.get("rule") is not True:
            return fine("work goes on while nobody is connected")
        return warning(
            "the system ends what a login started when it hangs up: work there ends with the connection",
            f"as root there: loginctl enable-linger {shlex.quote(self._visit.address.user)}",
        )

    def _account(self) -> Said:
        facts = self._visit.look("account")
        name = look.text(facts.get("name", "?"))
        if look.number(facts, "uid") == 0:
            return warning(
                f"jobs run as {name}, who may do anything there",
                "make an ordinary account for jobs, and name it as user:",
            )
        return fine(f"jobs run as {name}")

    def _clock(self) -> Said:
        before = time.time()
        there = look.number(self._visit.look("clock"), "now")
        after = time.time()
        ahead_s = there - (before + after) / 2
        if abs(ahead_s) > CLOCK_S + (after - before):
            direction = "ahead of" if ahead_s > 0 else "behind"
            return warning(
                f"{abs(ahead_s):.0f} s {direction} the server's; nothing here depends on it, jobs may",
                "set it by NTP there",
            )
        return fine("right")


def _no_forwarding(finding: str) -> Said:
    return warning(
        f"{finding}; reports are drained over the connection instead",
        "AllowTcpForwarding remote in its sshd_config, and no restrict without port-forwarding in authorized_keys",
    )
