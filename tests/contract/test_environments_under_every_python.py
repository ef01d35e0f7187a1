"""Packages for jobs, under every Python that may have some: built by its own builder, imported by its own workers."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.node.workshop import find_pip_wheel
from remote_runner import bundle, environment
from tests.contract.test_runner_under_every_python import _version as version_of
from tests.contract.test_runner_under_every_python import interpreters
from tests.support import wheels
from tests.support.runner_peer import Peer

pytestmark = pytest.mark.timeout(300)

MAIN = """
import multiprocessing, os, subprocess, sys
import mjtiny
def name(_):
    import mjtiny
    return mjtiny.SAYS
def work():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        spawned = pool.map(name, [0])[0]
    child = subprocess.run([sys.executable, "-c", "import mjtiny; print(mjtiny.SAYS)"], stdout=subprocess.PIPE)
    seen = [path for path in sys.path if path.rstrip("/").endswith(("site-packages", "dist-packages"))]
    return [mjtiny.SAYS, spawned, child.stdout.decode().strip(), [os.path.basename(p.split("/lib/")[0]) for p in seen]]
"""


def able() -> list[str]:
    return [path for path in interpreters() if (version_of(path) or (0, 0)) >= environment.FLOOR]


@pytest.fixture(params=able(), ids=lambda path: "py{}.{}".format(*(version_of(path) or (0, 0))))
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    found = Peer(request.param, bundle.build(tmp_path / "bundle").path, tmp_path / "root")
    yield found
    found.close()


def test_a_job_imports_what_was_installed_and_nothing_else(peer: Peer, tmp_path: Path) -> None:
    wheels.make(tmp_path / "wheels", "mjtiny", mjtiny="SAYS = 'hello'\n")
    spec = {
        "digest": "abc",
        "packages": ["mjtiny"],
        "index_url": "none",
        "wheels": str(tmp_path / "wheels"),
        "pip": str(find_pip_wheel()),
        "timeout_s": 200,
    }
    command = [peer.python, "-I", peer.bundle, "environment", "--root", str(peer.root), "build"]
    said = subprocess.run(command, input=json.dumps(spec) + "\n", capture_output=True, text=True, timeout=240)
    made = json.loads(said.stdout)
    assert made["ready"], made
    peer.attach()
    ref = peer.publish("asks", 0, {"main.py": MAIN}, environment="abc")
    for answer in peer.results(peer.assign(ref, [], [])):
        assert answer == ["hello", "hello", "hello", [made["ready"]["name"]]]


def test_without_its_packages_a_job_goes_back_unbegun(peer: Peer) -> None:
    peer.attach()
    ref = peer.publish("asks", 0, {"main.py": MAIN}, environment="missing")
    [job] = peer.assign(ref, [])
    back = peer.wait(lambda: peer.of_kind("back").get(job), "the job back")
    assert back["failed"] is True
    peer.wait(lambda: "version_damaged" in peer.troubles(), "the word of it")
