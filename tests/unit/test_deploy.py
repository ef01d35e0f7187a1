"""deploy: the runner's bundle arrives whole or not at all."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator import deploy
from orchestrator.errors import NodeUnfit
from orchestrator.site import Site
from orchestrator.transport import Completed
from remote_runner.bundle import Bundle
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
