"""Versions of a job type: what changed between two, an old one published again, and forgetting over HTTP."""

import io
import zipfile

import pytest

from jobs import diffing
from jobs.diffing import File
from jobs.errors import NotFound, UnknownJobType
from jobs.store import types
from tests.support.store_kit import a_room
from web.accounts import Accounts
from web.app import WebOptions, create_app


@pytest.fixture
def room(tmp_path, database):
    with a_room(tmp_path, database) as room:
        room.job_type("crawl", files={"sub/数据.txt": "one\ntwo\n", "run.sh": "#!/bin/sh\n"})
        folder = room.folder("crawl", {"sub/数据.txt": "one\n2\n", "more.txt": "new"})
        (folder / "run.sh").chmod(0o755)
        (folder / "data.bin").write_bytes(b"\0" * 10)
        room.service.publish_folder("crawl", folder)
        yield room


def test_the_diff_tells_texts_by_line_and_binaries_by_size(room):
    changes = {change.path: change for change in room.service.changes("crawl", 1, 0)}
    assert set(changes) == {"sub/数据.txt", "more.txt", "data.bin", "run.sh"}
    text = changes["sub/数据.txt"]
    assert (text.change, text.old_bytes, text.new_bytes, text.binary) == ("changed", 8, 6, False)
    assert text.diff == "--- a/sub/数据.txt\n+++ b/sub/数据.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    assert (changes["data.bin"].change, changes["data.bin"].diff, changes["data.bin"].new_bytes) == ("added", None, 10)
    assert changes["more.txt"].diff == (
        "--- /dev/null\n+++ b/more.txt\n@@ -0,0 +1 @@\n+new\n\\ No newline at end of file\n"
    )
    mode = changes["run.sh"]
    assert (mode.old_executable, mode.new_executable, mode.diff) == (False, True, "")
    assert [change.change for change in room.service.changes("crawl", 0, 1) if change.path == "data.bin"] == ["removed"]
    assert room.service.changes("crawl", 1, 1) == []
    with pytest.raises(NotFound):
        room.service.changes("crawl", 2, 1)


def test_what_is_too_long_is_told_by_size(monkeypatch):
    monkeypatch.setattr(diffing, "FILE_LIMIT_LINES", 3)
    old = {"a": File(b"1\n2\n3\n4\n", False), "b": File(b"1\n", False), "c": File(b"1\n", False)}
    new = {"a": File(b"", False), "b": File(b"2\n", False), "c": File(b"3\n", False)}
    a, b, c = diffing.compare(old, new)
    assert (a.too_long, a.diff, a.old_bytes, b.too_long, c.too_long) == (True, None, 8, False, False)
    monkeypatch.setattr(diffing, "TEXT_LIMIT_BYTES", len(b.diff or ""))
    assert [change.too_long for change in diffing.compare(old, new)] == [True, False, True]


def test_a_rollback_is_a_new_version_with_the_old_content(room):
    told = []
    room.service.on_published = lambda *what: told.append(what)
    assert room.service.rollback("crawl", 0) == (2, True)
    assert told == [("crawl", 2)]
    assert [version.version for version in room.service.versions("crawl")] == [2, 1, 0]
    assert room.service.changes("crawl", 2, 0) == []
    assert room.service.version("crawl", 2).digest == room.service.version("crawl", 0).digest
    # The content is what the current one holds: nothing new.
    assert room.service.rollback("crawl", 0) == (2, False)
    folder = room.service.node_folder("crawl", 2)
    assert (folder / "sub" / "数据.txt").read_text() == "one\ntwo\n"
    assert '"version": 2' in (folder / ".info").read_text()


def test_a_rollback_that_fails_leaves_the_current_version(room, monkeypatch):
    def refuse(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(types, "add", refuse)
    with pytest.raises(OSError, match="disk is full"):
        room.service.rollback("crawl", 0)
    assert room.service.current_versions()["crawl"].version == 1


def test_what_cannot_be_rolled_back(room):
    with pytest.raises(NotFound):
        room.service.rollback("crawl", 9)
    with pytest.raises(UnknownJobType):
        room.service.rollback("mail", 0)
    room.service.delete_type("crawl")
    with pytest.raises(UnknownJobType):
        room.service.rollback("crawl", 0)


def test_over_http(room):
    client = create_app(room.service, Accounts(room.service, b"secret"), WebOptions(auth=False)).test_client()
    base = "/api/v1/job_types/crawl"
    assert [one["version"] for one in client.get(f"{base}/versions").json["versions"]] == [1, 0]
    assert {one["path"] for one in client.get(f"{base}/versions/1/diff").json["files"]} >= {"more.txt", "data.bin"}
    assert client.get(f"{base}/versions/0/diff").json["error"]["field"] == "against"
    assert client.get(f"{base}/versions/0/diff?against=1").json["files"][0]["change"] == "removed"
    assert client.get(f"{base}/versions/0/diff?against=x").status_code == 422
    assert client.post(f"{base}/rollback", json={"version": 0}).json == {"version": 2, "changed": True}
    with zipfile.ZipFile(io.BytesIO(client.get(f"{base}/versions/1/zip").data)) as archive:
        assert "data.bin" in archive.namelist()
    waiting = room.submit(3)
    assert client.delete(base).json == {"matched": 3, "changed": 3, "skipped": {}}
    assert room.service.job(waiting[0]).job.reason == "type_deleted"
    assert client.delete(base).status_code == 404
