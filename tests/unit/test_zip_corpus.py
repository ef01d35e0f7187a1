"""A corpus of hostile and odd zips (B11): each is refused whole with its reason, or taken as it is meant."""

import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs import unzip
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


def test_sizes_are_counted_and_not_believed(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unzip, "SIZE_LIMIT_BYTES", 1000)
    path = make(room.home / "liar.zip", entry("data", text="".join(chr(65 + n % 50) for n in range(2000))))
    data = path.read_bytes().replace((2000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(data)
    refused(room, path, "1000 bytes|damaged")


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
