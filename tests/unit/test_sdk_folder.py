"""A job folder on its way to the server and back."""

import io
import itertools
import os
import stat
import zipfile
from pathlib import Path

import pytest

from jobs import ignore as server
from multijob import Client, Invalid
from multijob.folder import files_of, pack, unpack
from multijob.ignore import Ignore
from multijob.local import LoadedJob
from tests.support.fake_api import TOKEN, FakeApi


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    (folder / "sub" / "深").mkdir(parents=True)
    (folder / "main.py").write_text(
        "from helper import twice\ndef work(x):\n    return {'result': 1, 'return_data': twice(x)}\n"
    )
    (folder / "helper.py").write_text("def twice(x):\n    return 2 * x\n")
    (folder / "return_main.py").write_text("def work(data):\n    return ['returned', data]\n")
    (folder / "sub" / "深" / "数据.bin").write_bytes(bytes(range(256)))
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o755)
    (folder / "notes.txt").write_text("not needed there")
    (folder / ".mjignore").write_text("# mine\n*.txt\n!keep.txt\nbuild/\n")
    (folder / "keep.txt").write_text("kept")
    (folder / "build").mkdir()
    (folder / "build" / "x.py").write_text("")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "main.pyc").write_text("")
    return folder


def packed(folder: Path) -> io.BytesIO:
    out = io.BytesIO()
    pack(folder, out)
    out.seek(0)
    return out


def test_everything_that_belongs_to_the_job_is_packed(job: Path) -> None:
    names = zipfile.ZipFile(packed(job)).namelist()
    assert names == ["helper.py", "keep.txt", "main.py", "return_main.py", "sub/深/数据.bin", "tool.sh"]


def test_the_same_folder_makes_the_same_bytes(job: Path) -> None:
    before = packed(job).getvalue()
    os.utime(job / "main.py", (1, 1))
    assert packed(job).getvalue() == before


def test_what_comes_back_is_what_went(job: Path, tmp_path: Path) -> None:
    unpack(packed(job), tmp_path / "back")
    assert (tmp_path / "back" / "sub" / "深" / "数据.bin").read_bytes() == bytes(range(256))
    assert (tmp_path / "back" / "tool.sh").stat().st_mode & stat.S_IXUSR
    assert not (tmp_path / "back" / "main.py").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\..\\x"])
def test_a_zip_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), "x")
    with pytest.raises(Invalid, match="out of the folder"):
        unpack(out, tmp_path / "back")


def test_links_and_missing_parts_are_refused(job: Path, tmp_path: Path) -> None:
    (job / "link").symlink_to("/etc/passwd")
    with pytest.raises(Invalid, match="is a link"):
        list(files_of(job))
    with pytest.raises(Invalid, match="not a folder"):
        list(files_of(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(Invalid, match=r"main\.py"):
        packed(tmp_path / "empty")


PATTERNS = (
    "*.log", "!b.log", "a/*.log", "c/*.log", "build/", "/data", "**/deep", "a/**/z", "x?y", "# no", "", "[x]", ".info",
    "!a.pyc",
)  # fmt: skip
NAMES = (
    "a/b.log", "b.log", "build", "sub/build", "data", "sub/data", "deep", "p/q/deep", "a/z", "a/b/c/z", "xay", "x/y",
    "[x]", "main.py", ".info", "sub/.info", ".mjignore", "a.pyc", "__pycache__", ".git", "sub/.git",
)  # fmt: skip


@pytest.mark.parametrize("lines", [(), *itertools.permutations(PATTERNS, 2)])
def test_ignoring_agrees_with_the_server(lines: tuple[str, ...]) -> None:
    ours, servers = Ignore(lines), server.Ignore(lines)
    for name, is_folder in itertools.product(NAMES, (False, True)):
        assert ours.leaves_out(name, is_folder=is_folder) == servers.leaves_out(name, is_folder=is_folder), name


def test_a_folder_can_be_tried_here(job: Path) -> None:
    before = Path.cwd()
    loaded = LoadedJob(job)
    answer = loaded.main(4)
    assert answer == {"result": 1, "return_data": 8}
    assert loaded.return_main is not None
    assert loaded.return_main(answer) == ["returned", 8]
    assert Path.cwd() == before


def test_an_edited_folder_is_read_anew(job: Path) -> None:
    LoadedJob(job)
    (job / "helper.py").write_text("def twice(x):\n    return 'edited, and longer'\n")
    assert LoadedJob(job).main(4)["return_data"] == "edited, and longer"


def test_upload_download_and_load(job: Path) -> None:
    api = FakeApi().start()
    try:
        client = Client(api.url, TOKEN)
        assert client.register("crawl", job) == (0, True)
        assert client.register("crawl", job) == (0, False)
        (job / "new.py").write_text("")
        assert client.register("crawl", job) == (1, True)
        assert client.register("other") == (0, True)
        assert client.load("crawl").main(3)["return_data"] == 6
        assert [row["job_type"] for row in client.job_types()] == ["crawl", "other"]
    finally:
        api.stop()
