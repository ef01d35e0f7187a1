"""The first steps of README and quickstart, as a newcomer takes them: nothing there, ``mj init``, ``mj up``, a job."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks, name
from tests.support import wait

FIRST = "tests/docs/test_first_steps.py::test_the_first_steps_of_every_page"


@pytest.mark.timeout(300)
def test_the_first_steps_of_every_page(tmp_path: Path) -> None:
    """What every page says the same way is done once."""
    pages = [ROOT / "README.md", *(ROOT / "docs" / lang / "quickstart.md" for lang in ("en", "zh"))]
    said = {name(page): [_commands(block.text) for block in blocks(page) if block.value == FIRST] for page in pages}
    assert set(map(str, said.values())) == {str([["mj init", "mj up"]])}, said

    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MJ_", "XDG_"))}
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    env = {**kept, "HOME": str(tmp_path), "PATH": path, "MJ_PORT": "0"}
    made = _run("mj init", tmp_path, env)
    assert (tmp_path / ".local" / "share" / "multijob" / "inventory.yml").exists()
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen(["mj", "up"], cwd=tmp_path, env=env, stdout=output, stderr=output)
    try:
        wait.until(lambda: re.search(r"http://\S+/#code=\S+", log.read_text()), what="a link", timeout_s=60)
        next_steps = re.search(r"mj type register .+", made)
        assert next_steps is not None, "init says what comes next"
        assert "done" in _run(next_steps[0], tmp_path, env)
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0, log.read_text()


def _commands(text: str) -> list[str]:
    return [line.partition("#")[0].strip() for line in text.splitlines() if line.strip()]


def _run(command: str, folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-euc", command], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
