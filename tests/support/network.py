"""A network of its own with one link to it, which can be cut without a word to either side. Needs root and ``ip``.

What is sent into a cut link vanishes: no refusal, no reset, no carrier on the far side, as behind a dead router.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

from tests.support.hosts import Host, Hosts


def missing() -> list[str]:
    """What this machine lacks to make network namespaces."""
    if shutil.which("ip") is None:
        return ["ip"]
    if os.geteuid() != 0:
        return ["root, to make a network namespace"]
    name = f"mj-try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode != 0:
        return ["leave to make a network namespace"]
    _ip("netns", "del", name)
    return []


class Namespace:
    """The far side of the link. ``cut`` and ``mend`` the link as often as needed."""

    def __init__(self, number: int) -> None:
        self.name = f"mj-net-{number}"
        self._near, self._far = f"mj{number}a", f"mj{number}b"
        self.near_address, self.address = _addresses(number)

    def start(self, hosts: Hosts, name: str = "far") -> Host:
        """A host on the far side."""
        return hosts.start(name, address=self.address, wrapper=["ip", "netns", "exec", self.name])

    def cut(self) -> None:
        self._inside("link", "set", self._far, "down")

    def mend(self) -> None:
        self._inside("link", "set", self._far, "up")
        self._know_each_other()

    def make(self) -> None:
        _ip("netns", "add", self.name)
        _ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.name)
        _ip("addr", "add", f"{self.near_address}/30", "dev", self._near)
        _ip("link", "set", self._near, "up")
        self._inside("addr", "add", f"{self.address}/30", "dev", self._far)
        self._inside("link", "set", "lo", "up")
        self._inside("link", "set", self._far, "up")
        self._know_each_other()

    def remove(self) -> None:
        subprocess.run(["ip", "link", "del", self._near], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)

    def _know_each_other(self) -> None:
        """Fixed neighbours: a cut link must not show by addresses that cannot be found."""
        far = _address_of(["ip", "netns", "exec", self.name, "cat", f"/sys/class/net/{self._far}/address"])
        near = _address_of(["cat", f"/sys/class/net/{self._near}/address"])
        _ip("neigh", "replace", self.address, "lladdr", far, "dev", self._near, "nud", "permanent")
        self._inside("neigh", "replace", self.near_address, "lladdr", near, "dev", self._far, "nud", "permanent")

    def _inside(self, *words: str) -> None:
        _ip("-n", self.name, *words)


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """A namespace and its link; both are gone afterwards."""
    made = Namespace(os.getpid() % 16000)
    try:
        made.make()
        yield made
    finally:
        made.remove()


def _addresses(number: int) -> tuple[str, str]:
    """Two addresses of a block kept for tests of network gear (198.18.0.0/15), others for each process."""
    base = number * 4
    prefix = f"198.18.{base // 256}" if base < 65536 else f"198.19.{(base - 65536) // 256}"
    return f"{prefix}.{base % 256 + 1}", f"{prefix}.{base % 256 + 2}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _address_of(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
