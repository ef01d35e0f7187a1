"""The command line over real HTTP, against a small API in memory: what it prints where, and its exit codes."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_api import TOKEN, FakeApi, small_zip
from tests.support.mj import Mj


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi().start()
    fake.types["crawl"] = [small_zip()]
    yield fake
    fake.stop()


@pytest.fixture
def mj(api: FakeApi, tmp_path: Path) -> Mj:
    return Mj.of(api, tmp_path / "home")


def test_submit_words_as_keyword_arguments(api: FakeApi, mj: Mj) -> None:
    done = mj("submit", "crawl", "url=http://a.b/?q=1", "depth=2", "deep=true", 'id="3"', "code=000829", "n=NaN")
    assert (done.exit_code, done.stdout) == (0, "1\n")
    kwargs = {"url": "http://a.b/?q=1", "depth": 2, "deep": True, "id": "3", "code": "000829", "n": "NaN"}
    assert api.jobs[1]["input"] == {"args": [], "kwargs": kwargs}
    mj("submit", "crawl", "--text", "depth=2", "-b", "monday", "--tag", "gpu", "-p", "7", "--limit-count", "0")
    job = api.jobs[2]
    assert job["input"]["kwargs"] == {"depth": "2"}
    assert (job["batch"], job["tag"], job["priority"], job["limit_count"]) == ("monday", "gpu", 7, 0)


def test_submit_positional_arguments(api: FakeApi, mj: Mj) -> None:
    assert mj("submit", "crawl", "--args", '[1, "a"]', "x=2").exit_code == 0
    assert api.jobs[1]["input"] == {"args": [1, "a"], "kwargs": {"x": 2}}
    assert mj("submit", "crawl", "--args", '{"x": 1, "y": 3}', "x=2").exit_code == 0
    assert api.jobs[2]["input"] == {"args": [], "kwargs": {"x": 2, "y": 3}}


def test_submit_as_json(mj: Mj) -> None:
    done = mj("submit", "crawl", "--jsonl", "-", "--json", stdin="1\n2\n")
    assert json.loads(done.stdout) == {"job_type": "crawl", "count": 2, "ids": [[1, 2]]}
    nothing = mj("submit", "crawl", "--jsonl", "-", stdin="")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "no line" in nothing.stderr


def test_a_bad_last_line_inserts_nothing(api: FakeApi, mj: Mj) -> None:
    lines = "\n".join(map(str, range(2500))) + "\nbroken\n"
    assert mj("submit", "crawl", "--jsonl", "-", stdin=lines).exit_code == 2
    assert not api.jobs


def test_submit_a_csv_with_a_constant(api: FakeApi, mj: Mj, tmp_path: Path) -> None:
    path = tmp_path / "stocks.csv"
    path.write_text('\ufeffstock_id,note\nsz000829,"a, b"\n600000,\n', "utf-8")
    done = mj("submit", "crawl", "--csv", str(path), "time_sep=30")
    assert (done.exit_code, done.stdout) == (0, "1-2\n")
    assert [job["input"]["kwargs"] for job in api.jobs.values()] == [
        {"time_sep": 30, "stock_id": "sz000829", "note": "a, b"},
        {"time_sep": 30, "stock_id": 600000, "note": ""},
    ]


def test_submit_json_lines_from_stdin(api: FakeApi, mj: Mj) -> None:
    done = mj("submit", "crawl", "--jsonl", "-", "z=0", stdin='{"a": 1}\n\n[1, 2]\n"text"\n')
    assert done.exit_code == 0
    assert [job["input"] for job in api.jobs.values()] == [
        {"args": [], "kwargs": {"z": 0, "a": 1}},
        {"args": [1, 2], "kwargs": {"z": 0}},
        {"args": ["text"], "kwargs": {"z": 0}},
    ]


@pytest.mark.parametrize(
    ("args", "stdin", "said"),
    [
        (["--args", "3"], "", "expected a JSON list"),
        (["--args", "[NaN]"], "", "not JSON"),
        (["depth"], "", "is not NAME=VALUE"),
        (["a=1", "a=2"], "", "given twice"),
        (["--csv", "-"], "a,b\n1\n", "line 2 has 1 fields"),
        (["--csv", "-"], "a,a\n", "the first line must name"),
        (["--jsonl", "-"], '{"a": 1}\n{"a"\n', "line 2 is not JSON"),
        (["--jsonl", "-", "--csv", "-"], "", "exclude each other"),
    ],
)
def test_wrong_input_is_a_usage_error(mj: Mj, args: list[str], stdin: str, said: str) -> None:
    done = mj("submit", "crawl", *args, stdin=stdin)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


def test_watch_prints_results_and_fails_if_one_did(api: FakeApi, mj: Mj) -> None:
    api.work = lambda job: _odd_fails(job["input"]["kwargs"]["n"])
    done = mj("submit", "crawl", "--jsonl", "-", "--watch", stdin='{"n": 0}\n{"n": 1}\n{"n": 2}\n')
    assert done.exit_code == 1
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines == [
        ["1", "done", "m1", "0.5s", '{"n":0}'],
        ["2", "failed", "m1", "0.5s", "error: ValueError: 1 is odd"],
        ["3", "done", "m1", "0.5s", '{"n":2}'],
    ]
    assert "1 of 3 jobs failed; why:  mj show 2" in done.stderr


def test_results_are_json_lines_for_pipes(api: FakeApi, mj: Mj) -> None:
    api.work = lambda job: job["input"]["args"][0]
    mj("submit", "crawl", "--jsonl", "-", "-b", "b", stdin="1\n2\n3\n")
    done = mj("results", "-b", "b")
    assert done.exit_code == 0
    assert [json.loads(line)["result"] for line in done.stdout.splitlines()] == [1, 2, 3]
    assert [row["id"] for row in json.loads(mj("results", "1", "3-3", "--json").stdout)] == [1, 3]
    assert mj("results").exit_code == 2


def test_results_that_do_not_come_in_time(api: FakeApi, mj: Mj) -> None:
    mj("submit", "crawl", "x=1")
    done = mj("results", "1", "--timeout", "0.05")
    assert done.exit_code == 3
    assert "1 job still unfinished" in done.stderr
    assert mj("results", "1", "--no-wait").exit_code == 0


def test_ls_filters_and_formats(api: FakeApi, mj: Mj) -> None:
    mj("submit", "crawl", "--jsonl", "-", "-b", "b1", stdin="1\n2\n3\n")
    mj("submit", "crawl", "x=1", "-b", "b2")
    plain = mj("ls", "-b", "b1", "-n", "2").stdout.splitlines()
    assert plain[0].split("\t")[:4] == ["ID", "TYPE", "STATUS", "UPDATED"]
    assert [line.split("\t")[:3] for line in plain[1:]] == [["3", "crawl", "waiting"], ["2", "crawl", "waiting"]]
    assert mj("ls", "--columns", "batch,id", "-n", "1").stdout == "BATCH\tID\nb2\t4\n"
    assert [line.split("\t")[0] for line in mj("ls", "--after", "3", "-n", "1").stdout.splitlines()] == ["ID", "2"]
    assert mj("ls", "--columns", "nonsense").exit_code == 2
    assert [row["id"] for row in json.loads(mj("ls", "--json", "--filter", "batch=b2").stdout)] == [4]
    assert len(mj("ls", "--jsonl", "--all").stdout.splitlines()) == 4
    assert mj("ls", "-f", "nonsense=1").exit_code == 2


def test_show_and_logs(api: FakeApi, mj: Mj) -> None:
    mj("submit", "crawl", "x=1")
    api.finish(1, error="Traceback …\nValueError: \x1b[31mred\u202e")
    shown = mj("show", "1")
    assert "failed" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert r"\x1b[31mred\u202e" in shown.stdout
    assert json.loads(mj("show", "1", "--json").stdout)["status"] == -1
    assert mj("logs", "1", "--stdout").stdout == "printed\n"
    missing = mj("show", "99")
    assert (missing.exit_code, "nothing at" in missing.stderr) == (2, True)


def test_summary_machines_and_types(api: FakeApi, mj: Mj, tmp_path: Path) -> None:
    mj("submit", "crawl", "x=1")
    assert mj("summary").stdout.splitlines()[1].split("\t")[:3] == ["crawl", "(all)", "1"]
    assert "m1\tready" in mj("machine", "list").stdout
    assert mj("type", "list").stdout.splitlines()[1].startswith("crawl\t0")
    assert mj("job", "new", str(tmp_path / "adding")).exit_code == 0
    assert mj("type", "add", str(tmp_path / "adding")).stdout == "adding published version 0\n"
    assert mj("type", "add", str(tmp_path / "adding")).stdout == "adding unchanged, version 0\n"
    assert json.loads(mj("type", "register", "other", "--json").stdout)["version"] == 0


def unknown_path() -> tuple[int, bytes, dict[str, str]]:
    """What a server of an older release says to a path it does not know."""
    error = {"code": "not_found", "message": "The requested URL was not found on the server. If you …"}
    return 404, json.dumps({"error": error}).encode(), {"Content-Type": "application/json"}


def test_a_home_a_machine_and_a_check(api: FakeApi, mj: Mj) -> None:
    assert mj("init").exit_code == 0
    assert mj("init").exit_code == 2
    api.instead = [unknown_path()]
    assert mj("machine", "add", "me@10.0.0.5:2222", "--tag", "gpu", "-p", "8").exit_code == 0
    twice = mj("machine", "add", "me@10.0.0.5", env={"MJ_URL": "http://127.0.0.1:1"})
    assert (twice.exit_code, "twice" in twice.stderr or "already" in twice.stderr) == (2, True)
    listed = json.loads(mj("inventory", "check", "--json").stdout)
    assert listed == {"problems": [], "machines": ["10.0.0.5", "this-pc"]}
    checked = mj("inventory", "check")
    assert (checked.exit_code, checked.stdout.endswith("fine, 2 machines\n")) == (0, True)
    (mj.home / "inventory.yml").write_text("machines: {a: {hots: x}}\n")
    wrong = mj("inventory", "check")
    assert wrong.exit_code == 2
    assert "hots" in wrong.stderr


def test_exit_codes_of_trouble(api: FakeApi, mj: Mj) -> None:
    assert mj("ls", env={"MJ_TOKEN": "wrong"}).exit_code == 4
    assert mj("ls", env={"MJ_URL": "http://127.0.0.1:1"}).exit_code == 3
    assert mj("ls", "--no-such-option").exit_code == 2
    refused = mj("submit", "unknown")
    assert refused.exit_code == 2
    assert refused.stderr == "mj: there is no job type unknown\n    what there is:  mj type list\n"
    api.instead = [unknown_path()]
    old = mj("batch", "list")
    assert (old.exit_code, old.stderr.splitlines()[0]) == (2, "mj: the server does not know this command yet")


def test_a_token_from_a_file(api: FakeApi, mj: Mj, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    wrong = {"MJ_TOKEN": "wrong"}
    assert mj("--token-file", str(tmp_path / "token"), "ls", env=wrong).exit_code == 0
    assert mj("--token-file", str(tmp_path / "none"), "ls").exit_code == 2


def test_interrupted_is_130(api: FakeApi, mj: Mj) -> None:
    mj("submit", "crawl", "x=1")
    asked = len(api.requests)
    command = [
        sys.executable,
        "-m",
        "orchestrator.cli",
        "--url",
        api.url.replace("//", f"//mj:{TOKEN}@"),
        "results",
        "1",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    while len(api.requests) == asked and process.poll() is None:
        threading.Event().wait(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said.decode().strip()) == (130, "interrupted")


def _odd_fails(n: int) -> dict[str, int]:
    if n % 2:
        raise ValueError(f"{n} is odd")
    return {"n": n}
