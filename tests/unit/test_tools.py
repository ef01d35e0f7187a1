"""The small scripts of tools/: what they find is found."""

import json
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


@pytest.mark.parametrize(
    ("lock", "page", "found"),
    [
        ("strange==1.0", "MIT", "strange: says nothing, or is not installed"),
        ("waitress==3.0.2", "SSPL-1.0", "node_modules/x: SSPL-1.0"),
        ("waitress==3.0.2", "MIT", None),
    ],
)
def test_licences_that_nobody_judged_are_named(tmp_path: Path, lock: str, page: str, found: str | None) -> None:
    for folder in ("tools", "requirements", "web/ui"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(TOOLS / "licences", tmp_path / "tools")
    (tmp_path / "requirements" / "server.lock").write_text(lock + "\n")
    packages = {"": {}, "node_modules/x": {"license": page}, "node_modules/y": {"license": "SSPL-1.0", "dev": True}}
    (tmp_path / "web" / "ui" / "package-lock.json").write_text(json.dumps({"packages": packages}))
    command = [sys.executable, str(tmp_path / "tools" / "licences")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (1 if found else 0, found or "")


FIT = {"dependencies": [{"name": "a", "version": "1", "vulns": []}]}
HOLE = {"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}]}
SKIPPED = {"dependencies": [{"name": "a", "skip_reason": "not found"}]}
SOUND: dict[str, object] = {"vulnerabilities": {}}


@pytest.mark.parametrize(
    ("of_python", "of_page", "code", "says"),
    [
        (FIT, SOUND, 0, "no known hole"),
        (HOLE, SOUND, 1, "a 1: CVE-1, mended in 2"),
        (FIT, {"vulnerabilities": {"x": {"severity": "high", "range": "<2"}}}, 1, "x: high, <2"),
        (SKIPPED, SOUND, 2, "NOT CHECKED  requirements/server.lock: nothing was learned about 1 packages"),
        (None, SOUND, 2, "NOT CHECKED  requirements/server.lock: no network"),
        (FIT, {"message": "405"}, 2, "NOT CHECKED  web/ui/package-lock.json: 405"),
        (HOLE, None, 1, "NOT CHECKED  web/ui/package-lock.json: no network"),
    ],
)
def test_an_audit_that_could_not_look_is_no_clean_one(
    tmp_path: Path, of_python: object, of_page: object, code: int, says: str
) -> None:
    for name, answer in (("pip-audit", of_python), ("npm", of_page)):
        (tmp_path / f"{name}.json").write_text("" if answer is None else json.dumps(answer))
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\necho no network >&2\nexec /bin/cat {tmp_path / name}.json\n")
        script.chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(TOOLS / "audit")], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done
    assert says in done.stdout


def test_the_licences_of_what_is_locked_are_known() -> None:
    done = subprocess.run([sys.executable, str(TOOLS / "licences")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
