"""The builder itself, as a process: built once, whole or not at all, whatever ends it; swept when nobody holds it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.node.workshop import find_pip_wheel, find_uv
from remote_runner import building, environment, versions
from tests.conftest import require
from tests.support import wait, wheels
from tests.support.processes import processes_below

pytestmark = pytest.mark.timeout(300)

#: A package that is built here, and takes as long as a test lets it.
SLOW_BACKEND = """
import os, time
def build_wheel(folder, config_settings=None, metadata_directory=None):
    open({mark!r}, "w").close()
    while True:
        time.sleep(0.1)
"""


class Root:
    """A node's root, and builders on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wheels = path / "sent"
        self.environments = path / environment.FOLDER

    def spec(self, *packages: str, **more: Any) -> dict[str, Any]:
        pip = find_pip_wheel()
        facts = {"digest": "abc", "packages": packages, "index_url": "none", "timeout_s": 120, "pip": str(pip)}
        return {**facts, "wheels": str(self.wheels), "env": {"PIP_CONFIG_FILE": os.devnull}, **more}

    def start(self, spec: dict[str, Any], act: str = "build") -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "remote_runner", "environment", "--root", str(self.path), act]
        # Whatever uv this machine has is not asked.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.path)},
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(spec).encode() + b"\n")
        process.stdin.flush()
        return process

    def build(self, *packages: str, **more: Any) -> dict[str, Any]:
        out, _ = self.start(self.spec(*packages, **more)).communicate(timeout=240)
        answer: dict[str, Any] = json.loads(out)
        return answer

    def names(self) -> list[str]:
        """What lies there but for logs, locks and what is kept for the next build."""
        left = [path.name for path in self.environments.iterdir() if path.is_dir()]
        return sorted(name for name in left if name != environment.CACHE)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    made = Root(tmp_path / "root")
    made.path.mkdir(mode=0o700)
    wheels.make(made.wheels, "mjtiny", mjtiny="SAYS = 'hello'\n")
    yield made
    assert processes_below(made.path) == []


def name() -> str:
    return environment.name_of("abc")


def test_it_is_built_once_and_is_for_its_account_alone(root: Root) -> None:
    first = root.build("mjtiny")
    assert first["ready"]["name"] == name()
    assert root.names() == [name()]
    place = root.environments / name()
    files = [path for path in place.rglob("*") if not path.is_symlink()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in [root.environments, place, *files])
    assert not os.access(place / "lib", os.W_OK) or os.geteuid() == 0
    stamp = (place / "bin").stat().st_ctime_ns
    assert root.build("mjtiny")["ready"]["name"] == name()
    assert (place / "bin").stat().st_ctime_ns == stamp
    said = subprocess.run([place / "bin" / "python", "-c", "import mjtiny; print(mjtiny.SAYS)"], capture_output=True)
    assert said.stdout == b"hello\n"


def test_builders_of_the_same_wait_for_one_another(root: Root) -> None:
    together = [root.start(root.spec("mjtiny")) for _ in range(3)]
    answers = [json.loads(process.communicate(timeout=240)[0]) for process in together]
    assert [answer["ready"]["name"] for answer in answers] == [name()] * 3
    assert root.names() == [name()]


def test_what_there_is_not_is_said_in_pips_words_and_leaves_nothing(root: Root) -> None:
    answer = root.build("mjtiny==99")
    assert answer["ready"] is None
    assert answer["final"] is True
    assert "No matching distribution found for mjtiny==99" in answer["why"]
    assert "mjtiny==99" in answer["log"]
    assert root.names() == []
    assert "mjtiny==99" in (root.environments / f"{name()}.log").read_text()


def test_uv_does_the_same(root: Root) -> None:
    uv = find_uv()
    require([] if uv else ["uv"])
    assert root.build("mjtiny", uv=str(uv))["ready"]["name"] == name()
    said = subprocess.run([root.environments / name() / "bin" / "python", "-c", "import mjtiny"], check=False)
    assert said.returncode == 0
    answer = root.build("mjtiny==99", digest="other", uv=str(uv))
    assert (answer["ready"], answer["final"]) == (None, True)
    assert "mjtiny==99" in answer["why"]
    assert root.names() == [name()]


def test_one_that_was_killed_leaves_nothing_that_counts(root: Root, tmp_path: Path) -> None:
    mark = tmp_path / "begun"
    spec = root.spec(slow(root, mark))
    builder = root.start(spec)
    wait.until(mark.exists, timeout_s=120)
    builder.kill()
    builder.communicate()
    assert name() not in root.names()
    wait.until(lambda: not installers(root), what="the installer's end", timeout_s=30)
    end(root)
    assert root.build("mjtiny")["ready"]["name"] == name()
    assert root.names() == [name()], "what the killed one left is gone"


def test_one_that_takes_too_long_is_ended_with_all_it_started(root: Root, tmp_path: Path) -> None:
    answer = root.build(slow(root, tmp_path / "begun"), timeout_s=15)
    assert answer["ready"] is None
    assert answer["final"] is False
    assert "longer than it may" in answer["why"]
    assert processes_below(root.path) == []
    assert root.names() == []


def test_a_purge_ends_a_build(root: Root, tmp_path: Path) -> None:
    mark = tmp_path / "begun"
    builder = root.start(root.spec(slow(root, mark)))
    wait.until(mark.exists, timeout_s=120)
    (root.path / "run").mkdir()
    reaper = subprocess.Popen([sys.executable, "-m", "remote_runner", "purge", "--root", str(root.path)])
    builder.communicate(timeout=60)
    assert reaper.wait(60) == 0
    assert not root.path.exists()


def test_a_full_disk_is_no_fault_of_the_packages(root: Root) -> None:
    spec = root.spec("mjtiny")
    (root.path / environment.FOLDER).mkdir()
    (root.path / environment.FOLDER / environment.CACHE).write_text("a file where a folder should be")
    answer = json.loads(root.start(spec).communicate(timeout=60)[0])
    assert answer["ready"] is None
    assert answer["final"] is False


def test_what_a_worker_holds_is_not_swept(root: Root) -> None:
    root.build("mjtiny")
    place = root.environments / name()
    held = environment.hold(str(place))
    long_ago = time.time() - 90 * 86400
    os.utime(place / environment.READY, (long_ago, long_ago))
    assert [row["name"] for row in versions.sweep(str(root.path), [])["environments"]] == [name()]
    os.close(held)
    swept = versions.sweep(str(root.path), [])
    assert swept["environments"] == []
    assert root.names() == []
    assert building.look(str(root.path), {"digest": "abc"})["ready"] is None


def slow(root: Root, mark: Path) -> str:
    """A source package that never gets built; the requirement for it."""
    folder = root.path / "slow"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "mjslow"\nversion = "1"\n'
    )
    (folder / "backend.py").write_text(SLOW_BACKEND.format(mark=str(mark)))
    return f"mjslow @ {folder.as_uri()}"


def installers(root: Root) -> list[int]:
    """Installers as they were started; what builds for them may live a moment longer."""
    return [pid for pid in processes_below(root.path) if b"install" in _command(pid)]


def end(root: Root) -> None:
    """What a compiler does after the death of its installer is its own affair."""
    for pid in processes_below(root.path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait.until(lambda: not processes_below(root.path), timeout_s=30)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
