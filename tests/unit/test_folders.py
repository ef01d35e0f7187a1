"""Job folders and their versions: what belongs, what stays at home, numbers, and the cache that can be thrown away."""

import json
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from jobs import folders, settings
from jobs.errors import InvalidInput, NotFound, StoreUnavailable, UnknownJobType
from jobs.ignore import Ignore
from jobs.model import JobSettings, Published
from remote_runner import digest
from tests.support.store_kit import Room, a_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as room:
        yield room


def files(folder: Path) -> list[str]:
    return [relative for relative, _ in digest.entries(str(folder))]


def test_the_first_version_is_0_and_a_change_makes_the_next(room: Room) -> None:
    folder = room.folder("crawl", {"lib/deep/页面.txt": "数据"})
    assert room.service.register("crawl") == Published(0, True)
    assert room.service.register("crawl") == Published(0, False)
    (folder / "lib/deep/页面.txt").write_text("更多")
    assert room.service.register("crawl") == Published(1, True)
    (folder / "lib/deep/页面.txt").chmod(0o755)
    assert room.service.register("crawl") == Published(2, True)
    assert [one.version for one in room.service.versions("crawl")] == [2, 1, 0]


def test_info_carries_the_version_here_and_on_nodes(room: Room) -> None:
    folder = room.folder("crawl")
    room.service.register("crawl")
    for place in (folder, room.service.node_folder("crawl", 0), room.service.server_folder("crawl", 0)):
        assert json.loads((place / ".info").read_text()) == {"version": 0, "time": int(room.clock.now)}


def test_server_only_files_never_reach_the_part_for_nodes(room: Room) -> None:
    room.folder("crawl", {"return_main.py": "", "return_main/secret.txt": "", "lib/return_main.py": "", "data.bin": ""})
    room.service.register("crawl")
    assert files(room.service.node_folder("crawl", 0)) == [".info", "data.bin", "lib/return_main.py", "main.py"]
    assert "return_main/secret.txt" in files(room.service.server_folder("crawl", 0))
    version = room.service.version("crawl", 0)
    assert version.has_return_main
    assert digest.of_folder(str(room.service.node_folder("crawl", 0))) == version.node_digest
    assert version.folder == f"versions/crawl/0-{version.node_digest[:16]}"


def test_a_version_stays_what_it_was_and_the_cache_can_be_thrown_away(room: Room) -> None:
    folder = room.folder("crawl", {"run.sh": "#!/bin/sh\n", "big.bin": "x" * 3_000_000})
    (folder / "run.sh").chmod(0o700)
    room.service.register("crawl")
    (folder / "main.py").write_text("changed = True")
    room.service.register("crawl")
    shutil.rmtree(room.home / "cache")
    old = room.service.server_folder("crawl", 0)
    assert "def work" in (old / "main.py").read_text()
    assert os.access(old / "run.sh", os.X_OK)
    assert not os.access(old / "big.bin", os.X_OK)
    assert not list((room.home / "cache").glob("staging-*"))


def test_what_tools_leave_and_what_mjignore_names_stays_out(room: Room) -> None:
    room.folder(
        "crawl",
        {
            "__pycache__/main.pyc": "",
            ".git/config": "",
            "notes.md": "",
            "data/raw/1.csv": "",
            "data/keep.csv": "",
            ".mjignore": "# ours\n*.md\n/data/*\n!/data/keep.csv\n",
        },
    )
    room.service.register("crawl")
    assert files(room.service.server_folder("crawl", 0)) == [".info", "data/keep.csv", "main.py"]


@pytest.mark.parametrize(
    ("line", "out", "stays"),
    [
        ("*.txt", ["a.txt", "x/y/b.txt"], ["a.txt.py"]),
        ("/a.txt", ["a.txt"], ["x/a.txt"]),
        ("x/a.txt", ["x/a.txt"], ["y/x/a.txt"]),
        ("**/a.txt", ["a.txt", "x/y/a.txt"], ["b.txt"]),
        ("x/**", ["x/a", "x/y/b"], ["y"]),
        ("a?.py", ["ab.py"], ["a.py", "a/b.py"]),
        ("[x].py", ["[x].py"], ["x.py"]),
    ],
)
def test_patterns(line: str, out: list[str], stays: list[str]) -> None:
    ignore = Ignore([line])
    assert [path for path in out if not ignore.leaves_out(path, is_folder=False)] == []
    assert [path for path in stays if ignore.leaves_out(path, is_folder=False)] == []


def test_links_and_special_files_are_refused_whole(room: Room) -> None:
    folder = room.folder("crawl")
    for make in (lambda path: path.symlink_to("/etc/passwd"), os.mkfifo, lambda path: path.symlink_to(folder)):
        make(folder / "odd")
        with pytest.raises(InvalidInput, match="odd is a link or a special file"):
            room.service.register("crawl")
        (folder / "odd").unlink()
    assert room.service.current_versions() == {}


def test_a_folder_that_is_no_job_folder_is_refused(room: Room) -> None:
    (room.home / "jobs" / "empty").mkdir(parents=True)
    with pytest.raises(InvalidInput, match=r"no main\.py"):
        room.service.register("empty")
    with pytest.raises(NotFound, match="put the job folder there first"):
        room.service.register("nowhere")
    for name in ("../crawl", "a/b", "-x", ".x", "", "x" * 65, "任务"):
        with pytest.raises(InvalidInput) as caught:
            room.service.register(name)
        assert caught.value.field == "job_type"


def test_too_much_is_refused(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.folder("crawl", {"a": "12345", "b": "12345"})
    monkeypatch.setattr(folders, "SIZE_LIMIT_BYTES", 9)
    with pytest.raises(InvalidInput, match="over 9 bytes"):
        room.service.register("crawl")
    monkeypatch.undo()
    monkeypatch.setattr(folders, "FILES_LIMIT", 2)
    with pytest.raises(InvalidInput, match="more than 2 files"):
        room.service.register("crawl")


def test_equal_folders_make_equal_zips(room: Room, tmp_path: Path) -> None:
    one, two = room.folder("one", {"b": "2", "a/c": "3"}), room.folder("two", {"a/c": "3", "b": "2"})
    os.utime(one / "b", (1, 1))
    assert folders.pack(one) == folders.pack(two)
    room.service.register("one")
    with zipfile.ZipFile(BytesIO(room.service.zip_of("one", 0))) as archive:
        assert archive.namelist() == ["a/c", "b", "main.py"]


def test_a_zip_and_its_folder_are_the_same_version(room: Room, tmp_path: Path) -> None:
    room.folder("crawl", {"lib/页面.py": "x = 1\n"})
    room.service.register("crawl")
    path = tmp_path / "crawl.zip"
    path.write_bytes(room.service.zip_of("crawl", 0))
    assert room.service.publish_zip("crawl", path) == Published(0, False)
    assert room.service.publish_zip("copy", path) == Published(0, True)
    assert files(room.service.server_folder("copy", 0)) == [".info", "lib/页面.py", "main.py"]


def test_content_that_was_damaged_is_never_handed_out(room: Room) -> None:
    room.folder("crawl")
    room.service.register("crawl")
    other = BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("main.py", "import os\n")
    room.sql("UPDATE chunks SET data = ?", (other.getvalue(),))
    with pytest.raises(StoreUnavailable, match="damaged"):
        room.service.node_folder("crawl", 0)


def test_publishes_that_meet_each_make_their_own_version(room: Room, tmp_path: Path) -> None:
    threads, got = [], []
    for n in range(6):
        folder = room.folder(f"source{n}", {"n.txt": str(n)})
        publish = threading.Thread(
            target=lambda folder=folder: got.append(room.service.publish_folder("crawl", folder))
        )
        threads.append(publish)
        publish.start()
    for thread in threads:
        thread.join()
    assert sorted(one.version for one in got) == list(range(6))


def test_a_forgotten_type_comes_back_with_its_next_publish(room: Room) -> None:
    room.job_type()
    running, waiting = room.submit(2)
    room.claim(running)
    assert room.service.delete_type("crawl").changed == 1
    assert room.service.job(waiting).job.reason == "type_deleted"
    with pytest.raises(UnknownJobType):
        room.submit(1)
    with pytest.raises(UnknownJobType):
        room.service.delete_type("crawl")
    assert room.service.version("crawl", 0).version == 0
    assert room.service.unregistered() == ["crawl"]
    assert room.service.register("crawl") == Published(0, True)
    assert room.service.current_versions()["crawl"].version == 0
    room.folder("crawl", {"new.txt": ""})
    assert room.service.register("crawl") == Published(1, True)


def test_publishing_rings_once_a_version(room: Room) -> None:
    told: list[tuple[str, int]] = []
    room.service.on_published = lambda job_type, version: told.append((job_type, version))
    room.folder("crawl")
    room.service.register("crawl")
    room.service.register("crawl")
    assert told == [("crawl", 0)]


# ------------------------------------------------------------------------------------------------------------ job.yml


def test_all_settings_are_read_and_kept(room: Room) -> None:
    text = """
timeout: 90
return_timeout: 5.5
tag: gpu
limit_count: 0
env: {PAGES: 3, NAME: "x"}
fresh_process: true
max_jobs_per_worker: 100
exclusive: true
python: ">=3.8, <3.12"
"""
    room.folder("crawl", {"job.yml": text})
    room.service.register("crawl")
    assert room.service.version("crawl", 0).settings == JobSettings(
        timeout_s=90.0,
        return_timeout_s=5.5,
        tag="gpu",
        limit_count=0,
        env={"PAGES": "3", "NAME": "x"},
        fresh_process=True,
        max_jobs_per_worker=100,
        exclusive=True,
        python=">=3.8, <3.12",
    )
    (job,) = room.submit()
    assert (room.service.job(job).job.tag, room.service.job(job).job.limit_count) == ("gpu", 0)
    (job,) = room.submit(tag="", limit_count=4)
    assert (room.service.job(job).job.tag, room.service.job(job).job.limit_count) == ("", 4)


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("timeout: soon", "job.yml:1 timeout", "seconds above 0"),
        ("tag: a\ntimeout: 0", "job.yml:2 timeout", "seconds above 0"),
        ("timout: 3", "job.yml:1", "did you mean timeout"),
        ("tag: a\ntag: b", "job.yml:2", "given twice"),
        ("- a", "job.yml:1", "mapping"),
        ("a: [", "job.yml:1", "not YAML"),
        ("limit_count: true", "job.yml:1 limit_count", "whole number"),
        ("env: {MJ_JOB_ID: 1}", "job.yml:1 env", "cannot be a variable"),
        ("env: {A: [1]}", "job.yml:1 env", "in quotes"),
        ("env: [A]", "job.yml:1 env", "mapping"),
        ("python: 3.9", "job.yml:1 python", "in quotes"),
        ('python: ">=three"', "job.yml:1 python", "in quotes"),
        ("fresh_process: 1", "job.yml:1 fresh_process", "true or false"),
        ("tag: 'a,b'", "job.yml:1 tag", "commas"),
        ("env: !!python/object:os.system {}", "job.yml:1", "not YAML"),
        ("[" * 5000, "job.yml", "not YAML"),
    ],
)
def test_every_mistake_names_its_line(text: str, where: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        settings.parse(text)
    assert caught.value.field.startswith(where)


def test_an_empty_job_yml_means_the_defaults() -> None:
    assert settings.parse("# nothing\n") == JobSettings()


def test_a_large_content_is_stored_piece_by_piece_and_mends_what_broke_off(room: Room) -> None:
    """What an earlier publish left half done has other bytes, as another zlib would have made them."""
    source = room.folder("large", {"data.bin": "".join(f"{n * n:x}" for n in range(800_000))})
    room.service.publish_folder("large", source)
    kept = room.service.zip_of("large", 0)
    assert len(kept) > 2 << 20
    pieces = len(room.sql("SELECT n FROM chunks"))
    assert pieces > 2
    for left in (f"n = {pieces - 1}", "n = 0"):
        room.sql("DELETE FROM versions")
        room.sql(f"DELETE FROM chunks WHERE {left}")  # noqa: S608 - ours
        room.sql("UPDATE chunks SET data = ?", (b"of another zlib",))
        assert room.service.publish_folder("large", source) == Published(0, True)
        assert room.service.zip_of("large", 0) == kept
    room.sql("INSERT INTO chunks VALUES ((SELECT max(digest) FROM chunks), 99, ?)", (b"too many",))
    room.sql("DELETE FROM versions")
    room.service.publish_folder("large", source)
    assert room.service.zip_of("large", 0) == kept
