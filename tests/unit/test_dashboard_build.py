"""The packaging hook that builds the dashboard, and what it is built from. Nothing is built here."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(hatch_build.__file__).parent
UI = ROOT / hatch_build.SOURCES


@pytest.fixture
def root(tmp_path):
    """A project with sources of a page, nothing built, and no wish to skip it."""
    for name in ("package.json", "src/main.ts", "public/icon.svg", "vite.config.ts", "test/x.test.ts"):
        path = tmp_path / hatch_build.SOURCES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / hatch_build.BUILT).mkdir(parents=True)
    return tmp_path


@pytest.fixture(autouse=True)
def wanted(monkeypatch):
    monkeypatch.delenv("MJ_SKIP_WEB", raising=False)


def _stamp(root):
    (root / hatch_build.BUILT / hatch_build.STAMP).write_text(hatch_build.fingerprint(root / hatch_build.SOURCES))


def test_what_was_built_from_these_sources_is_not_built_again(root):
    assert not hatch_build.is_built(root)
    _stamp(root)
    assert hatch_build.is_built(root)
    (root / hatch_build.SOURCES / "test/x.test.ts").write_text("tests are no part of the page")
    assert hatch_build.is_built(root)
    (root / hatch_build.SOURCES / "src/new.ts").write_text("")
    assert not hatch_build.is_built(root)


def test_nothing_is_built_when_nobody_wants_it_or_nothing_is_there_to_build(root, monkeypatch, tmp_path_factory):
    assert hatch_build.is_built(tmp_path_factory.mktemp("empty"))
    monkeypatch.setenv("MJ_SKIP_WEB", "1")
    assert hatch_build.is_built(root)


def test_npm_is_called_in_the_sources_and_the_stamp_comes_last(root, monkeypatch):
    calls = []

    def run(words, *, cwd, env, check, stdout):
        assert not (root / hatch_build.BUILT / hatch_build.STAMP).exists()
        calls.append((words[-2:], cwd, check))

    monkeypatch.setattr(hatch_build, "npm_command", lambda: (["npm"], "/bin"))
    monkeypatch.setattr(subprocess, "run", run)
    hatch_build.build(root)
    assert calls == [(["npm", "ci"], root / "web/ui", True), (["run", "build"], root / "web/ui", True)]
    assert hatch_build.is_built(root)


@pytest.mark.parametrize(("said", "good"), [("v20.20.2", False), ("v22.11.0", False), ("v22.12.0", True), ("", False)])
def test_only_a_node_that_is_new_enough_is_used(said, good, monkeypatch):
    monkeypatch.delenv("MJ_WEB_NODE", raising=False)
    monkeypatch.setattr(hatch_build.shutil, "which", lambda name: f"/opt/{name}")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, said))
    assert hatch_build.system_npm() == (["/opt/npm"] if good else None)
    monkeypatch.setenv("MJ_WEB_NODE", "wheel")
    assert hatch_build.system_npm() is None


def test_one_version_of_node_in_all_files():
    name, _, version = hatch_build.NODE_WHEEL.partition("==")
    assert f"{name}=={version}" in (ROOT / "requirements/build.lock").read_text()
    least = ".".join(map(str, hatch_build.LEAST_NODE))
    assert json.loads((UI / "package.json").read_text())["engines"]["node"] == f">={least}"


def test_the_lock_holds_digests_and_no_address():
    text = (UI / "package-lock.json").read_text()
    assert '"resolved"' not in text
    packages = json.loads(text)["packages"]
    assert [name for name, one in packages.items() if name and "integrity" not in one] == []


def test_every_package_is_named_exactly():
    wanted = json.loads((UI / "package.json").read_text())
    for group in ("dependencies", "devDependencies"):
        assert [one for one in wanted[group].values() if not re.fullmatch(r"\d+\.\d+\.\d+", one)] == []


def test_the_wheel_carries_the_page_and_not_its_sources():
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert hatch["artifacts"] == [hatch_build.BUILT]
    assert hatch_build.SOURCES in hatch["targets"]["wheel"]["exclude"]
    assert "hatch_build.py" in hatch["targets"]["sdist"]["include"]
