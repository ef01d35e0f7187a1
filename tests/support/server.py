"""A whole server as people run it: ``mj up`` in a process of its own, on a home of its own, and a client for it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from multijob import Client
from tests.support import wait

#: Short, so that tests see the end of things; all of them are ordinary settings.
QUICK = {"poll_s": 1, "linger_s": 3, "lost_after_s": 60}


class RunningServer:
    """See the module. ``home`` outlives ``stop`` and ``kill``, so that another life can follow."""

    #: The module that is run: the command ``mj``, or something that behaves like it.
    entrance = "orchestrator.cli"

    def __init__(self, home: Path, inventory: str, **settings: object) -> None:
        self.home = home
        self.jobs = home / "jobs"
        self.inventory = home / "inventory.yml"
        self.jobs.mkdir(parents=True, exist_ok=True)
        self.inventory.write_text(inventory)
        self._settings = {"port": 0, **QUICK, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RunningServer":
        """Up and listening when this returns."""
        self.begin()
        wait.until(self._listens, what="mj up", timeout_s=60)
        return self

    def begin(self) -> None:
        """Start the process; a standby listens only when its turn comes."""
        lines = [f"{name}: {value}" for name, value in self._settings.items()]
        (self.home / "config.yml").write_text("\n".join(lines) + "\n")
        (self.home / "url").unlink(missing_ok=True)
        command = [sys.executable, "-m", self.entrance, "up", "--home", str(self.home)]
        with (self.home / "up.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start_at(self, port: int) -> "RunningServer":
        """Another life where the last one was to be found."""
        self._settings["port"] = port
        return self.start()

    def wait_active(self, timeout_s: float) -> None:
        wait.until(self._listens, what="mj up", timeout_s=timeout_s)

    def wait_end(self, timeout_s: float = 30) -> int:
        """Its exit code, when it has ended by itself."""
        assert self._process is not None
        code = self._process.wait(timeout_s)
        self._process = None
        return code

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return (self.home / "url").read_text().strip()

    @property
    def log(self) -> str:
        return (self.home / "up.log").read_text(errors="replace")

    def client(self) -> Client:
        return Client(self.url, token=(self.home / "token").read_text().strip())

    def job(self, name: str, **files: str | bytes) -> Path:
        """Write (into) a job folder; ``main`` and the like get their ``.py``."""
        folder = self.jobs / name
        for key, content in files.items():
            path = folder / (key if "." in key else f"{key}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    def stop(self) -> None:
        """As a person would: SIGTERM, and it lets go."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)
            self._process.wait(30)
            self._process = None

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"mj up ended with {self._process.returncode}:\n{self.log}")
        return (self.home / "url").exists()


@contextmanager
def running(home: Path, inventory: str, **settings: object) -> Iterator[RunningServer]:
    """A started server, stopped afterwards."""
    server = RunningServer(home, inventory, **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
