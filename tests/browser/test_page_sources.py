"""The page's own tests and types, and what its first load weighs."""

import gzip
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import hatch_build

ROOT = Path(hatch_build.__file__).parent
UI = ROOT / hatch_build.SOURCES
BUDGET_BYTES = 250 * 1024


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The page as its sources are now, with the packages its tests need."""
    hatch_build.build(ROOT)
    if not (UI / "node_modules").is_dir():
        _npm("ci")


def _npm(*words: str) -> None:
    npm, path = hatch_build.npm_command()
    done = subprocess.run(
        [*npm, *words], cwd=UI, env={**os.environ, "CI": "1", "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", ["test", "check"])
def test_the_pages_own_tests_and_types(script: str) -> None:
    _npm("run", script)


@pytest.mark.parametrize("page", ["HomePage", "JobsPage", "JobPage", "TimelinePage"])
def test_the_first_load_is_small(page: str) -> None:
    manifest: dict[str, Any] = json.loads((ROOT / hatch_build.BUILT / "manifest.json").read_text())
    entry = next(name for name, one in manifest.items() if one.get("isEntry"))
    files: set[str] = set()
    _gather(manifest, entry, files)
    _gather(manifest, f"src/pages/{page}.vue", files)
    _gather(manifest, "src/i18n/zh.json", files)
    if page == "HomePage":
        _gather(manifest, "src/components/HourChart.vue", files)
    size = sum(len(gzip.compress((ROOT / hatch_build.BUILT / name).read_bytes())) for name in files)
    print(f"{page}: {size / 1024:.0f} KB gzip in {len(files)} files")
    assert size <= BUDGET_BYTES


def _gather(manifest: dict[str, Any], name: str, files: set[str]) -> None:
    one = manifest[name]
    if one["file"] in files:
        return
    files |= {one["file"], *one.get("css", [])}
    for needed in one.get("imports", []):
        _gather(manifest, needed, files)
