"""Commands that change jobs: never all of them by accident, counted first, and asked about."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_api import FakeApi, small_zip
from tests.support.mj import Mj

ACTIONS = ("kill", "rerun", "copy", "delete", "clear")


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi().start()
    fake.types["crawl"] = [small_zip()]
    yield fake
    fake.stop()


@pytest.fixture
def mj(api: FakeApi, tmp_path: Path) -> Mj:
    return Mj.of(api, tmp_path / "home")


def bulks(api: FakeApi) -> list[dict[str, Any]]:
    return [
        json.loads(body) for method, path, _, body in api.requests if (method, path) == ("POST", "/api/v1/jobs/bulk")
    ]


def really(api: FakeApi) -> list[dict[str, Any]]:
    return [question for question in bulks(api) if not question.get("dry_run")]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_call_without_a_filter_is_refused(api: FakeApi, mj: Mj, action: str) -> None:
    for words in ([], ["--yes"], ["1", "-b", "x", "--yes"], ["-b", "", "--yes"], ["--filter", "status=", "--yes"]):
        done = mj(action, *words)
        assert done.exit_code == 2, words
        assert done.stdout == ""
    assert not bulks(api)


@pytest.mark.parametrize("action", ACTIONS)
def test_dry_run_changes_nothing(api: FakeApi, mj: Mj, action: str) -> None:
    mj("submit", "crawl", "--jsonl", "-", "-b", "b1", stdin="1\n2\n3\n")
    assert mj(action, "-b", "b1", "--dry-run").stdout == f"would {action} 3 jobs\n"
    assert json.loads(mj(action, "-b", "b1", "--dry-run", "--json").stdout)["matched"] == 3
    assert not really(api)


def test_counts_are_split_by_status(api: FakeApi, mj: Mj) -> None:
    foreseen = {"action": "rerun", "matched": 7, "changed": 5, "skipped": {"running": 2}}
    ended = {"action": "kill", "matched": 7, "changed": 2, "skipped": {"failed": 4, "done": 1, "returning": 0}}
    api.canned["POST", "/api/v1/jobs/bulk"] = [foreseen, ended, foreseen]
    done = mj("rerun", "-b", "b1", "--dry-run")
    assert done.stdout == "would rerun 7 jobs (2 running, 4 failed, 1 done); left alone: 2 running\n"


def test_nobody_to_ask_needs_yes(api: FakeApi, mj: Mj) -> None:
    mj("submit", "crawl", "--jsonl", "-", "-b", "b1", stdin="1\n2\n3\n")
    refused = mj("rerun", "-b", "b1")
    assert (refused.exit_code, "--yes" in refused.stderr) == (2, True)
    assert mj("delete", "1").exit_code == 2
    assert not really(api)
    assert mj("rerun", "1").exit_code == 0
    assert mj("delete", "-b", "b1", "--yes").stdout == "deleted 3 jobs\n"
    assert not api.jobs


def test_what_is_done_is_what_was_counted(api: FakeApi, mj: Mj) -> None:
    mj("submit", "crawl", "--jsonl", "-", "-b", "b1", stdin="1\n2\n3\n")
    assert json.loads(mj("kill", "1", "2-3", "--json").stdout)["changed"] == 3
    assert mj("rerun", "-b", "b1", "--elsewhere", "--yes").exit_code == 0
    by_id, by_filter = really(api)
    assert by_id == {"action": "kill", "ids": [1, 2, 3]}
    assert by_filter == {"action": "rerun", "filter": {"batch": "b1"}, "expect": 3, "elsewhere": True}


def test_an_operation_is_followed_to_its_end(api: FakeApi, mj: Mj) -> None:
    running = {"operation_id": 7, "action": "copy", "state": "running", "matched": 1, "changed": 1, "skipped": {}}
    done = {**running, "state": "done", "matched": 3, "changed": 2, "skipped": {"running": 1}, "ids": [8, 9]}
    api.canned["POST", "/api/v1/jobs/bulk"] = [{"action": "copy", "matched": 3, "changed": 3, "skipped": {}}, running]
    api.canned["GET", "/api/v1/operations/7"] = [running, done]
    assert mj("copy", "-b", "b1", "--yes").stdout == "copied 2 of 3 jobs; left alone: 1 running: 8-9\n"
    api.canned["POST", "/api/v1/jobs/bulk"] = running
    assert "mj operations 7" in mj("copy", "-b", "b1", "--yes", "--no-wait").stdout
    api.canned["GET", "/api/v1/operations"] = {"operations": [done], "next": None}
    assert mj("operations").stdout.splitlines()[1].split("\t")[:4] == ["7", "copy", "done", "3"]
    assert "copies      8-9" in mj("operations", "7").stdout
    assert mj("operations", "--stop").exit_code == 2


def test_jobs_that_are_not_there(mj: Mj) -> None:
    missing = mj("kill", "5")
    assert (missing.exit_code, "mj ls" in missing.stderr) == (2, True)
    assert mj("kill", "-b", "none", "--yes").stdout == "nothing to kill: no job matches\n"
