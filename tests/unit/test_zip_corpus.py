"""A corpus of hostile and odd zips (B11): each is refused whole with its reason, or taken as it is meant."""

import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs import unzip, unzip_apart
from jobs.errors import InvalidInput
from tests.support.store_kit import Room, a_room

Fill = Callable[[zipfile.ZipFile], None]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as room:
        room.job_type("crawl")
        yield room


def entry(name: str, mode: int = stat.S_IFREG | 0o644, text: str = "") -> Fill:
    def fill(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, text)

    return fill


def both(*fills: Fill) -> Fill:
    def fill(archive: zipfile.ZipFile) -> None:
        for one in fills:
            one(archive)

    return fill


def many(archive: zipfile.ZipFile) -> None:
    for n in range(10_001):
        archive.writestr(f"f{n}", "")


def bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("zeros", b"\0" * 5_000_000, zipfile.ZIP_DEFLATED)


def bzip2(archive: zipfile.ZipFile) -> None:
    archive.writestr("b", "b", zipfile.ZIP_BZIP2)


HOSTILE: dict[str, tuple[Fill, str]] = {
    "parent": (entry("../evil.py"), "leads out"),
    "deep parent": (entry("a/../../evil.py"), "leads out"),
    "inner parent": (entry("a/../b.py"), "leads out"),
    "absolute": (entry("/etc/cron.d/x"), "leads out"),
    "double slash": (entry("a//b.py"), "leads out"),
    "dot": (entry("./a.py"), "leads out"),
    "drive": (entry("C:evil.py"), "absolute"),
    "backslash": (entry("..\\evil.py"), "backslash"),
    "control": (entry("a\nb.py"), "control character"),
    "escape": (entry("a\x1b[2J.py"), "control character"),
    "long name": (entry("x" * 256), "too long"),
    "long path": (entry("/".join(["x" * 100] * 12)), "too long"),
    "link": (entry("link", stat.S_IFLNK | 0o777, "/etc/passwd"), "link or a special"),
    "link then through it": (both(entry("d", stat.S_IFLNK | 0o777, "/tmp"), entry("d/x")), "link or a special"),
    "device": (entry("dev", stat.S_IFCHR | 0o666), "link or a special"),
    "fifo": (entry("fifo", stat.S_IFIFO | 0o666), "link or a special"),
    "socket": (entry("sock", stat.S_IFSOCK | 0o666), "link or a special"),
    "case twins": (both(entry("a.py"), entry("A.py")), "one name on some machines"),
    "twin of main.py": (entry("MAIN.py"), "one name on some machines"),
    "twin folders": (both(entry("lib/a"), entry("Lib/b")), "one name on some machines"),
    "accent twins": (both(entry("caf\u00e9"), entry("cafe\u0301")), "one name on some machines"),
    "file and folder": (both(entry("a"), entry("a/b")), "both a file and a folder"),
    "too many": (many, "more than 10000 entries"),
    "bomb": (bomb, "100 times its own size"),
    "other method": (bzip2, "other than deflate"),
}


def make(path: Path, fill: Fill, *, main: bool = True) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        if main:
            archive.writestr("main.py", "def work():\n    return 2\n")
        fill(archive)
    return path


def refused(room: Room, path: Path, why: str) -> None:
    """Refused with this reason; nothing written, the current version untouched."""
    before = sorted(str(one) for one in room.home.rglob("*") if not one.name.startswith("multijob.db"))
    with pytest.raises(InvalidInput, match=why) as caught:
        room.service.publish_zip("crawl", path)
    assert caught.value.field in ("zip", "folder")
    after = sorted(str(one) for one in room.home.rglob("*") if not one.name.startswith("multijob.db"))
    assert after == before
    assert room.service.current_versions()["crawl"].version == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_zips_are_refused_whole(room: Room, name: str) -> None:
    fill, why = HOSTILE[name]
    refused(room, make(room.home / "hostile.zip", fill), why)


def test_a_name_that_is_in_it_twice_is_refused(room: Room) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = make(room.home / "twice.zip", entry("main.py"))
    refused(room, path, "in it twice")


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFSOCK])
def test_a_main_py_that_is_no_file_is_refused(room: Room, kind: int) -> None:
    path = make(room.home / "fifo.zip", entry("main.py", kind | 0o644, "/etc/passwd"), main=False)
    refused(room, path, "link or a special")


def test_a_main_py_that_is_a_folder_is_refused(room: Room) -> None:
    refused(room, make(room.home / "f.zip", entry("main.py/", stat.S_IFDIR | 0o755), main=False), "no main.py")


@pytest.mark.parametrize(("before", "after"), [(b"", b"tail"), (b"", b"\0" * 70_000), (b"#!/bin/sh\n", b"")])
def test_what_stands_around_the_archive_is_refused(room: Room, before: bytes, after: bytes) -> None:
    path = make(room.home / "around.zip", entry("a"))
    path.write_bytes(before + path.read_bytes() + after)
    refused(room, path, "before its beginning" if before else "after its end|damaged")


def test_two_archives_in_one_are_refused(room: Room) -> None:
    first, second = make(room.home / "1.zip", entry("a")), make(room.home / "2.zip", entry("b"))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(InvalidInput):
        room.service.publish_zip("crawl", first)


def test_a_comment_does_no_harm(room: Room) -> None:
    path = make(room.home / "comment.zip", lambda archive: setattr(archive, "comment", b"made by hand"))
    assert room.service.publish_zip("crawl", path).version == 1


def test_it_is_unpacked_by_a_process_with_little_room(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(room.home / "good.zip", entry("a"))
    monkeypatch.setattr(unzip_apart, "TIME_S", 0.001)
    refused(room, path, "was not unpacked within")
    monkeypatch.undo()
    code = (
        "import resource; from jobs import unzip_apart; unzip_apart._limit();"
        "print(resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CORE)[0]);"
        "bytearray(1 << 30)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(unzip_apart.MEMORY_BYTES), "0"]
    assert "MemoryError" in done.stderr


def test_a_process_that_comes_to_grief_is_a_refusal(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(room.home / "good.zip", entry("a"))
    monkeypatch.setattr(unzip_apart.sys, "executable", "/bin/false")
    refused(room, path, "more memory or time")


def test_without_main_py_at_its_top_it_is_refused(room: Room) -> None:
    refused(room, make(room.home / "no.zip", entry("crawl/main.py"), main=False), "zip the folder's content")


def test_an_encrypted_one_is_refused(room: Room) -> None:
    path = make(room.home / "locked.zip", entry("secret"))
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 1)
    path.write_bytes(data)
    refused(room, path, "encrypted")


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped"])
def test_a_damaged_one_is_refused(room: Room, damage: str) -> None:
    path = make(room.home / "damaged.zip", entry("data", text="some content that is long enough to be hit" * 9))
    whole = path.read_bytes()
    at = whole.find(b"some content")
    ways = {
        "empty": b"",
        "text": b"this is no zip at all",
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:at] + b"SOME" + whole[at + 4 :],
    }
    path.write_bytes(ways[damage])
    refused(room, path, "damaged")


def test_sizes_are_counted_and_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unzip, "SIZE_LIMIT_BYTES", 1000)
    path = make(tmp_path / "liar.zip", entry("data", text="".join(chr(65 + n % 50) for n in range(2000))))
    data = path.read_bytes().replace((2000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=r"1000 bytes|damaged"):
        unzip.unpack(path, tmp_path / "dest")
    assert not (tmp_path / "dest").exists()


def test_honest_zips_are_taken(room: Room) -> None:
    fills = both(
        entry("lib/", stat.S_IFDIR | 0o755),
        entry("lib/工具.py", text="x = 1\n"),
        entry("run.sh", stat.S_IFREG | 0o755),
        entry("no mode.txt", 0),
        entry("__pycache__/main.cpython-311.pyc", text="junk"),
    )
    assert room.service.publish_zip("crawl", make(room.home / "good.zip", fills)).version == 1
    folder = room.service.node_folder("crawl", 1)
    found = {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*.*")}
    assert found == {".info": 0o644, "lib/工具.py": 0o644, "main.py": 0o644, "no mode.txt": 0o644, "run.sh": 0o755}


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_names_of_older_tools_are_understood(room: Room, encoding: str) -> None:
    path = make(room.home / "old.zip", entry("数据.txt"))
    data = path.read_bytes()
    raw, new = "数据.txt".encode(), "数据.txt".encode(encoding)
    if encoding != "utf-8":
        new = new.ljust(len(raw), b"x")
    path.write_bytes(_without_utf8_flag(data.replace(raw, new)))
    room.service.publish_zip("crawl", path)
    names = [one.name for one in room.service.node_folder("crawl", 1).iterdir()]
    assert new.decode(encoding) in names


def _without_utf8_flag(data: bytes) -> bytes:
    out = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        at = out.find(mark)
        while at >= 0:
            out[at + offset] &= ~0x08 & 0xFF
            at = out.find(mark, at + 1)
    return bytes(out)
