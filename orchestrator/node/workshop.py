"""What the server has to build environments with, for machines and for itself: uv, pip, wheels, an index. Reads files.

Nothing here says where packages come from unless a setting does: machines ask what their own pip is configured for.
"""

import importlib.util
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from remote_runner import digest

#: The setting that means: packages come from the server's wheels alone.
NO_INDEX: Final = "none"
#: Where distributions that take pip out of Python keep its wheel.
_SYSTEM_WHEELS: Final = Path("/usr/share/python-wheels")


@dataclass(frozen=True, slots=True)
class Tool:
    """A folder that a machine should have, by its content."""

    #: Of its folder there, below ``tools`` or ``wheels``.
    name: str
    digest: str
    source: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """The settings for packages, and where the tools are. ``cache``: ours, for copies that can be sent."""

    cache: Path
    wheels: Path
    index: str = ""
    sends_uv: bool = True
    timeout_s: float = 1800.0
    unused_s: float = 30 * 86400.0
    limit_bytes: int = 20 << 30

    def uv(self, machine_platform: str) -> Tool | None:
        """Our own uv, where it runs there."""
        found = find_uv() if self.sends_uv and machine_platform == own_platform() else None
        return None if found is None else self._alone("uv", found)

    def pip(self) -> Tool | None:
        """The wheel of pip that came with our Python."""
        found = find_pip_wheel()
        return None if found is None else self._alone("pip", found)

    def wheelhouse(self) -> Tool | None:
        """What lies in the folder of wheels, if anything does. Raises OSError, ValueError: a link is in it."""
        if not self.wheels.is_dir() or not any(self.wheels.iterdir()):
            return None
        whole = digest.of_folder(str(self.wheels))
        return Tool(whole[:16], whole, self.wheels)

    def spec(self, lock: str, packages: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
        """What a builder is told, but for the tools."""
        return {
            "digest": lock,
            "packages": list(packages),
            "index_url": self.index or None,
            "timeout_s": self.timeout_s,
            "env": dict(env),
        }

    def _alone(self, name: str, file: Path) -> Tool:
        """A folder with a copy of this one file."""
        facts = file.stat()
        folder = self.cache / "tools" / f"{name}-{facts.st_size}-{facts.st_mtime_ns}"
        if not folder.is_dir():
            beside = folder.with_name(f".{folder.name}.part")
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            shutil.copy(file, beside / file.name)
            beside.replace(folder)
        whole = digest.of_folder(str(folder))
        return Tool(f"{name}-{whole[:16]}", whole, folder)


def find_uv() -> Path | None:
    """The uv beside our Python, or of this account."""
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    return None if found is None else Path(found).resolve()


def find_pip_wheel() -> Path | None:
    """The newest wheel of pip there is on this machine."""
    bundled = importlib.util.find_spec("ensurepip")  # not every distribution has it
    folders = [_SYSTEM_WHEELS, *([Path(bundled.origin).parent / "_bundled"] if bundled and bundled.origin else [])]
    wheels = [wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))]
    return wheels[-1] if wheels else None


def own_platform() -> str:
    """As a builder names the machine it runs on."""
    return f"{sys.platform}-{platform.machine()}"
