"""Commands that look at batches, failures, versions, machines and tokens: what is shown of what the server says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_api import FakeApi, small_zip
from tests.support.mj import Mj

V1 = "/api/v1"
HOSTILE = "\x1b[2J\u202e"
BATCH = {
    "batch": "monday",
    "jobs": {"waiting": 5, "running": 1, "returning": 0, "done": 3, "failed": 1, "return_failed": 0},
    "begin_at": 1.0,
    "updated_at": 2.0,
    "rate_per_s": 0.05,
    "eta_s": 120.0,
    "p50_s": 1.5,
    "p95_s": 9.0,
}
GROUP = {
    "fingerprint": "3f0a91bc",
    "job_type": "crawl",
    "exception": "ValueError",
    "message": f"no {HOSTILE}",
    "frame": "main.py:3 in work",
    "count": 7,
    "first_at": 1.0,
    "last_at": 2.0,
    "machines": {"m1": 6, "m2": 1},
    "versions": [0],
    "sample": {"job_id": 12, "attempt": 2},
    "muted": False,
}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi().start()
    fake.types["crawl"] = [small_zip()]
    yield fake
    fake.stop()


@pytest.fixture
def mj(api: FakeApi, tmp_path: Path) -> Mj:
    return Mj.of(api, tmp_path / "home")


def asked(api: FakeApi, method: str) -> list[tuple[str, Any]]:
    """Path and body of each request made with this method."""
    return [(path, json.loads(body) if body else None) for verb, path, _, body in api.requests if verb == method]


def test_batches(api: FakeApi, mj: Mj) -> None:
    api.canned["GET", f"{V1}/batches"] = {"batches": [BATCH, {**BATCH, "batch": HOSTILE}], "next": None}
    plain = mj("batch", "list", "--match", "mon").stdout
    assert plain.splitlines()[1].split("\t")[:9] == ["monday", "40%", "5", "1", "3", "1", "3/min", "2m00s", "1.5s"]
    assert "\x1b" not in plain
    assert "q=mon" in asked(api, "GET")[0][0]
    api.canned["GET", f"{V1}/batches/monday"] = {**BATCH, "machines": {"m1": {"jobs": 4, "spend_s": 9.0}}}
    shown = mj("batch", "show", "monday")
    assert "5 waiting, 1 running, 3 done, 1 failed" in shown.stdout
    assert "mj rerun -b monday" in shown.stderr
    assert json.loads(mj("batch", "show", "monday", "--json").stdout)["machines"]["m1"]["jobs"] == 4


def test_failures(api: FakeApi, mj: Mj) -> None:
    api.canned["GET", f"{V1}/failures"] = {"groups": [GROUP, {**GROUP, "fingerprint": "3faa"}], "next": None}
    listed = mj("failures", "--since", "2h", "-t", "crawl").stdout
    assert listed.splitlines()[1].split("\t")[:3] == ["3f0a91bc", "7", "crawl"]
    assert "\x1b" not in listed
    sample = {"job_id": 12, "attempt": 2, "machine_id": "m1", "error": f"Traceback\nValueError: {HOSTILE}"}
    api.canned["GET", f"{V1}/failures/3f0a91bc"] = {**GROUP, "sample": sample}
    shown = mj("failures", "3f0").stdout
    assert "main.py:3 in work" in shown
    assert "job 12, attempt 2, m1\nTraceback\nValueError: \\x1b[2J\\u202e" in shown
    ambiguous = mj("failures", "3f")
    assert (ambiguous.exit_code, "several" in ambiguous.stderr) == (2, True)
    api.canned["POST", f"{V1}/failures/3faa/mute"] = GROUP
    assert mj("failures", "3faa", "--mute").exit_code == 0
    assert asked(api, "POST") == [(f"{V1}/failures/3faa/mute", {"until_next_version": True})]
    assert mj("failures", "--mute").exit_code == 2


def test_versions(api: FakeApi, mj: Mj, tmp_path: Path) -> None:
    settings = {"timeout_s": 600.0, "env": ["KEY"], "fresh_process": False, "tag": ""}
    rows = [
        {"job_type": "crawl", "version": n, "digest": "d" * 64, "created_at": 1.0, "settings": settings} for n in (1, 0)
    ]
    api.canned["GET", f"{V1}/job_types/crawl"] = {"job_type": "crawl", "version": 1, "versions": rows}
    assert [line.split("\t")[0] for line in mj("type", "versions", "crawl").stdout.splitlines()] == [
        "VERSION",
        "1",
        "0",
    ]
    shown = mj("type", "show", "crawl").stdout
    assert "10m00s" in shown
    assert "KEY" in shown
    files = [
        {"path": "main.py", "diff": f"--- a\n+++ b\n-x{HOSTILE}\n+y\n"},
        {"path": "i.png", "old_bytes": 5, "new_bytes": None},
    ]
    api.canned["GET", f"{V1}/job_types/crawl/versions/1/diff"] = {"files": files}
    assert mj("type", "diff", "crawl").stdout == "--- a\n+++ b\n-x\\x1b[2J\\u202e\n+y\ni.png: changed, 5 B → none\n"
    api.canned["POST", f"{V1}/job_types/crawl/rollback"] = {"version": 2, "changed": True}
    assert mj("type", "rollback", "crawl", "0").exit_code == 2
    assert mj("type", "rollback", "crawl", "0", "--yes").stdout == "crawl published version 2\n"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    assert mj("type", "download", "crawl", str(tmp_path / "full")).exit_code == 2
    assert mj("type", "download", "crawl", str(tmp_path / "new"), "--version", "0").exit_code == 0
    assert (tmp_path / "new" / "main.py").is_file()


def test_machines(api: FakeApi, mj: Mj) -> None:
    row = {"machine_id": "m1", "state": "untrusted", "running": 1, "limit_process": 2, "fingerprint": "SHA256:x"}
    api.canned["GET", f"{V1}/machines"] = {"machines": [{**row, "text": HOSTILE, "contact_at": None}]}
    assert r"\x1b[2J" in mj("machine", "show", "m1").stdout
    assert "there are: m1" in mj("machine", "show", "m2").stderr
    done = {"command_id": None, "state": "done", "answer": {"changed": ["paused"]}}
    for verb in ("pause", "resume", "drain", "close"):
        api.canned["POST", f"{V1}/machines/m1/{verb}"] = done
        assert mj("machine", verb, "m1").exit_code == 0
    assert [path.rpartition("/")[2] for path, _ in asked(api, "POST")] == ["pause", "resume", "drain", "close"]
    assert mj("machine", "set", "m1").exit_code == 2


def test_trusting_needs_a_look(api: FakeApi, mj: Mj) -> None:
    row = {"machine_id": "m1", "state": "untrusted", "limit_process": 2, "fingerprint": "SHA256:x"}
    api.canned["GET", f"{V1}/machines"] = {"machines": [row]}
    api.canned["POST", f"{V1}/machines/m1/trust"] = {"command_id": 1, "state": "done", "answer": {}}
    assert mj("machine", "trust", "m1").exit_code == 2
    assert not asked(api, "POST")
    assert mj("machine", "trust", "m1", "--fingerprint", "SHA256:y").exit_code == 0
    assert asked(api, "POST")[0][1] == {"fingerprint": "SHA256:y"}


def test_purging_tells_what_was_removed(api: FakeApi, mj: Mj) -> None:
    step = {"step": "runner", "title": "runner", "state": "fine", "finding": "stopped"}
    waiting = {"command_id": 3, "state": "waiting", "answer": None}
    removed = {"removed": [{"path": "/r/versions", "files": 2, "bytes": 2048}], "left": []}
    api.canned["POST", f"{V1}/machines/m1/purge"] = waiting
    api.canned["GET", f"{V1}/commands/3"] = [
        {**waiting, "state": "running", "progress": [step]},
        {**waiting, "state": "done", "progress": [step], "answer": removed},
    ]
    assert mj("machine", "purge", "m1").exit_code == 2
    done = mj("machine", "purge", "m1", "--yes")
    assert done.stdout == "removed from m1:\n  /r/versions  2 files, 2.0 KiB\n"
    assert done.stderr.count("runner: stopped") == 1
    api.canned["GET", f"{V1}/commands/3"] = {**waiting, "state": "failed", "answer": {"error": "no", "remedy": "do"}}
    failed = mj("machine", "purge", "m1", "--yes")
    assert (failed.exit_code, failed.stderr) == (1, "mj: m1 was not purged: no\n    do\n")


def test_adding_a_machine_shows_its_host_key(api: FakeApi, mj: Mj) -> None:
    failed = {"error": "its host key is unknown", "fingerprint": "SHA256:x"}
    api.canned["POST", f"{V1}/machines"] = {"command_id": 1, "state": "failed", "answer": failed}
    asked_for = mj("machine", "add", "me@lab:2222", "--tag", "gpu")
    assert (asked_for.exit_code, "SHA256:x" in asked_for.stderr) == (2, True)
    assert asked(api, "POST")[0][1] == {"machine_id": "lab", "host": "lab", "port": 2222, "user": "me", "tag": ["gpu"]}
    assert mj("machine", "add", "lab", "--yes").exit_code == 1  # --yes accepts no key
    api.canned["POST", f"{V1}/machines"] = {"command_id": 1, "state": "done", "answer": {}}
    assert "added lab" in mj("machine", "add", "lab").stderr


def test_tokens(api: FakeApi, mj: Mj) -> None:
    row = {"name": "ci", "scopes": ["read"], "created_at": 1.0, "last_used_at": None, "revoked_at": None}
    api.canned["GET", f"{V1}/tokens"] = {"tokens": [row]}
    assert mj("token", "list").stdout.splitlines()[1].split("\t")[:4] == ["ci", "read", "valid", "never"]
    api.canned["POST", f"{V1}/tokens"] = {"name": "ci", "token": "mj_secret", "expires_at": None}
    made = mj("token", "new", "ci", "-s", "submit", "-s", "read", "--days", "2")
    assert (made.stdout, "mj_secret" in made.stderr) == ("mj_secret\n", False)
    assert asked(api, "POST")[0][1] == {"name": "ci", "scopes": ["read", "submit"], "lifetime_s": 172800}
    assert mj("token", "new", "ci", "-s", "root").exit_code == 2


def test_following_a_log(api: FakeApi, mj: Mj) -> None:
    base = {"id": 5, "job_type": "crawl", "machine_id": "m1", "attempt": 1, "waiting_because": None}
    first = {"attempt": 1, "machine_id": "m1", "reason": "error", "error": f"ValueError: {HOSTILE}"}
    second = {"attempt": 2, "machine_id": "m2", "reason": "", "error": None}
    api.canned["GET", f"{V1}/jobs/5"] = [
        {**base, "status": 1, "attempt": 1},
        {**base, "status": 0, "waiting_because": {"code": "backing_off", "text": "tries again soon"}},
        {**base, "status": 3, "attempt": 2, "machine_id": "m2"},
    ]
    api.canned["GET", f"{V1}/jobs"] = {"jobs": [{**base, "status": 3, "attempt": 2}], "next": None}
    api.canned["GET", f"{V1}/jobs/5/attempts"] = {"attempts": [first, second]}
    api.log = {"head": f"one{HOSTILE}\n", "tail": "", "total": 9}
    done = mj("logs", "5", "-f", "--stdout")
    assert (done.exit_code, done.stdout) == (0, "one\\x1b[2J\\u202e\n" * 2)
    said = [line for line in done.stderr.splitlines() if line.startswith("--")]
    assert said == [
        "-- attempt 1 on m1 --",
        "-- waiting: tries again soon --",
        "-- attempt 2 on m2 --",
    ]
    assert "\x1b" not in done.stderr
    assert "--" not in mj("logs", "5", "-f", "-q").stderr
    assert mj("logs", "5", "--stdout", "--raw").stdout == f"one{HOSTILE}\n"
