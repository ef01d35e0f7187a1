"""Packages for return_main: the same lock as on the machines, installed once in the server's home.

Built by the runner's own builder, in a process that sees none of the server's secrets.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jobs.model import JobVersion
from orchestrator.errors import ProtocolError
from orchestrator.node import equip
from orchestrator.node.workshop import Workshop, own_platform
from remote_runner import environment

#: What of our environment an installer sees, beside what any return_main sees: where packages come from.
_SHOWN_BEGINNINGS: Final = ("PIP_", "UV_")
_SHOWN: Final = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
)
_LOOK_S: Final = 0.5


class Interrupted(Exception):
    """We are stopping."""


class HomeEnvironments:
    """See the module. ``runner``: the runner's bundle. Safe to use from any thread: builders wait for one another."""

    def __init__(self, home: Path, runner: str, shop: Workshop) -> None:
        self._home = home
        self._runner = runner
        self._shop = shop

    def of(self, version: JobVersion, lines: Callable[[], tuple[str, ...]], stopping: threading.Event) -> Path | None:
        """The environment for a version's return_main, made where needed; None: it asks for no packages.

        Raises CannotEquip, ProtocolError, Interrupted.
        """
        digest = version.settings.environment
        if not digest:
            return None
        path = self._home / environment.FOLDER / environment.name_of(digest)
        if environment.row(str(path)) is None or not environment.can_run(str(path)):
            equip.judge(self._build(self._spec(digest, lines()), stopping))
        return path

    def sweep(self) -> None:
        """Remove those that nobody used for long, and of too many the longest unused."""
        environment.sweep(str(self._home), self._shop.unused_s, self._shop.limit_bytes)

    def _spec(self, digest: str, lines: tuple[str, ...]) -> dict[str, Any]:
        spec = self._shop.spec(digest, lines, {})
        uv, pip = self._shop.uv(own_platform()), self._shop.pip()
        if uv is not None:
            spec["uv"] = str(uv.source / "uv")
        if pip is not None:
            spec["pip"] = str(next(pip.source.iterdir()))
        if self._shop.wheelhouse() is not None:
            spec["wheels"] = str(self._shop.wheels)
        return spec

    def _build(self, spec: Mapping[str, Any], stopping: threading.Event) -> Mapping[str, Any]:
        process = subprocess.Popen(
            [sys.executable, "-I", self._runner, "environment", "--root", str(self._home), "build"],
            env=_shown(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until_s = time.monotonic() + self._shop.timeout_s + equip.PATIENCE_S
        said: bytes | None = json.dumps(spec).encode() + b"\n"
        try:
            while True:
                try:
                    out, _ = process.communicate(said, timeout=_LOOK_S)
                    break
                except subprocess.TimeoutExpired:
                    said = None
                    if stopping.is_set():
                        raise Interrupted from None
                    if time.monotonic() > until_s:
                        raise equip.CannotEquip("the builder gave no answer in time") from None
        finally:
            process.kill()  # what it started ends with it
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None and not stream.closed:
                    stream.close()
        try:
            answer: dict[str, Any] = json.loads(out)
        except ValueError as error:
            raise ProtocolError("the builder's answer is not JSON") from error
        return answer


def _shown() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _SHOWN or name.startswith(_SHOWN_BEGINNINGS)}
