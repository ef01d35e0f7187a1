"""The small scripts of tools/: what they find is found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.mark.skipif(shutil.which("git") is None, reason="this machine lacks git")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("TOKEN = 'mj_" + "a" * 43 + "'", "a token of ours"),
        ("-----BEGIN OPENSSH " + "PRIVATE KEY-----", "a private key"),
        ("AKIA" + "ABCDEFGHIJKLMNOP", "a key of a cloud"),
        ("db: postgresql://jobs:" + "hunter2hunter2@host/jobs", "a password in an address"),
        ("http://mj:TOKEN@host is how it looks", None),
        ("nothing of note", None),
    ],
)
def test_secrets_are_found(tmp_path: Path, line: str, found: str | None) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(TOOLS / "secrets", tmp_path / "tools")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "file.txt").write_text(f"first\n{line}\n")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "tools" / "secrets")], capture_output=True, text=True, check=False
    )
    assert done.returncode == (1 if found else 0), done
    assert (f"file.txt:2: looks like {found}" in done.stdout) == bool(found)


def test_the_licences_of_what_is_locked_are_known() -> None:
    done = subprocess.run([sys.executable, str(TOOLS / "licences")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
