"""deploy: the runner's bundle arrives whole or not at all; a new version by its differences, if they are few."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.errors import NodeUnfit
from orchestrator.node import deploy
from orchestrator.node.site import Site
from orchestrator.node.transport import Completed
from remote_runner import digest
from remote_runner.bundle import Bundle, build
from remote_runner.folder import remove
from tests.support.fake_transport import FakeTransport


class Cutting(FakeTransport):
    """Runs commands here; of their input only the beginning arrives, as when a connection breaks."""

    def __init__(self, arrives_bytes: int) -> None:
        super().__init__()
        self._arrives_bytes = arrives_bytes

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Completed:
        done = subprocess.run(argv, input=stdin[: self._arrives_bytes], capture_output=True, timeout=timeout_s)
        return Completed(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (tmp_path / "abc.pyz").write_bytes(b"x" * 10_000)
    return Bundle(tmp_path / "abc.pyz", "abc")


def test_half_a_runner_is_never_put_in_place(bundle: Bundle, tmp_path: Path) -> None:
    site = Site(str(tmp_path / "root"), "python3", str(tmp_path / "root" / "runner" / "abc.pyz"))
    with pytest.raises(NodeUnfit, match="could not be written"):
        deploy.send_runner(Cutting(5_000), site, bundle)
    assert list((tmp_path / "root" / "runner").iterdir()) == []
    deploy.send_runner(Cutting(10_000), site, bundle)
    assert [path.name for path in (tmp_path / "root" / "runner").iterdir()] == ["abc.pyz"]
    assert Path(site.runner).read_bytes() == b"x" * 10_000


@pytest.fixture
def two_versions(tmp_path: Path) -> tuple[list[str], list[str]]:
    """Names and digests of two versions in one folder here; they share a file."""
    names, digests = [], []
    for number in range(2):
        folder = tmp_path / "cache" / f"{number}"
        folder.mkdir(parents=True)
        (folder / "main.py").write_text(f"VERSION = {number}\n")
        (folder / "data").write_bytes(b"x" * 5_000)
        digests.append(digest.of_folder(str(folder)))
        names.append(deploy.version_name(number, digests[-1]))
        folder.rename(folder.with_name(names[-1]))
    return names, digests


class Here(FakeTransport):
    """Runs commands here and copies folders; counts both."""

    def __init__(self) -> None:
        super().__init__()
        self.verbs: list[str] = []
        self.input_bytes = 0

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Completed:
        self.verbs += [word for word in argv if word in ("receive", "seal")]
        self.input_bytes += len(stdin)
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout_s)
        return Completed(done.returncode, done.stdout, done.stderr)

    def push(self, source: Path, dest: str, *, link_dest: str | None, timeout_s: float) -> int:
        self.verbs.append("push")
        shutil.copytree(source, dest)
        return 0


def test_small_differences_are_one_command_and_a_folder_travels_whole_where_that_fails(
    two_versions: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    names, digests = two_versions
    site = Site(str(tmp_path / "root"), sys.executable, build(tmp_path / "runner").path)
    there = tmp_path / "root/versions/crawl"
    node = Here()

    def send(number: int) -> list[str]:
        node.verbs.clear()
        cached = tmp_path / "cache" / names[number]
        deploy.send_version(node, site, "crawl", names[number], digests[number], cached, names[:number])
        assert digest.of_folder(str(there / names[number])) == digests[number]
        return list(node.verbs)

    assert send(0) == ["receive"]
    assert 5_000 < node.input_bytes < 5_200
    assert send(1) == ["receive"]
    assert node.input_bytes < 5_400
    remove(str(there / names[1]))
    (there / names[0] / "data").chmod(0o600)
    (there / names[0] / "data").write_bytes(b"y" * 5_000)
    assert send(1) == ["receive", "push", "seal"]
    assert sorted(path.name for path in there.iterdir()) == names
