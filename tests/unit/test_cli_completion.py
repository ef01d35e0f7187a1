"""Completing in a shell: commands, options, names of the server; silent and soon over when none answers."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_api import FakeApi, small_zip
from tests.support.mj import Mj


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi().start()
    fake.types.update({"crawl": [small_zip()], "convert": [small_zip()], "人": [small_zip()]})
    fake.canned["GET", "/api/v1/batches"] = {"batches": [{"batch": "monday"}, {"batch": "a b"}], "next": None}
    yield fake
    fake.stop()


def completed(mj: Mj, words: str, *, env: dict[str, str] | None = None) -> list[str]:
    asked = {"_MJ_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = mj(env={**asked, **(env or {})})
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_names_of_the_server(api: FakeApi, tmp_path: Path) -> None:
    mj = Mj.of(api, tmp_path)
    assert completed(mj, "mj submit c") == ["crawl", "convert"]
    assert completed(mj, "mj type show ") == ["crawl", "convert", "人"]
    assert completed(mj, "mj ls -b ") == ["monday", "a b"]
    assert completed(mj, "mj machine pause ") == ["m1"]
    assert completed(mj, "mj ls -s failed,d") == ["failed,done"]
    assert "operations" in completed(mj, "mj o")
    assert completed(mj, "mj machine r") == ["resume"]


def test_silence_without_a_server(api: FakeApi, tmp_path: Path) -> None:
    mj = Mj.of(api, tmp_path)
    assert completed(mj, "mj submit ", env={"MJ_URL": "http://127.0.0.1:1"}) == []
    assert completed(mj, "mj submit ", env={"MJ_TOKEN": "wrong"}) == []
    assert completed(mj, "mj submit ", env={"MJ_URL": "nonsense://"}) == []
    api.canned["GET", "/api/v1/job_types"] = ["not what was asked for"]
    assert completed(mj, "mj submit ") == []


def test_a_server_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mj = Mj(f"http://127.0.0.1:{mute.getsockname()[1]}", "t", tmp_path)
        began_s = time.monotonic()
        assert completed(mj, "mj submit ") == []
        assert time.monotonic() - began_s < 5  # it is 0.12 s; the rest is for a machine under load


def test_hostile_names_are_not_offered(api: FakeApi, tmp_path: Path) -> None:
    api.canned["GET", "/api/v1/batches"] = {"batches": [{"batch": "a\x1b[2J"}, {"batch": "fine"}], "next": None}
    assert completed(Mj.of(api, tmp_path), "mj ls -b ") == ["fine"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_take_the_script(api: FakeApi, tmp_path: Path, shell: str) -> None:
    done = Mj.of(api, tmp_path)("completion", shell)
    assert (done.exit_code, "_MJ_COMPLETE" in done.stdout) == (0, True)
    if shutil.which(shell) is None:
        pytest.skip(f"this machine has no {shell}")
    script = tmp_path / "script"
    script.write_text(done.stdout)
    subprocess.run([shell, "-n", str(script)], check=True)
