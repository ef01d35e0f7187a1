"""What people see: progress, notebooks, files. Data of machines is hostile in all of them."""

import asyncio
import csv
import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from multijob import Client, JobSet, Progress, Result
from multijob import progress as showing
from multijob.export import FORMULA_STARTS, to_csv, to_jsonl
from multijob.machines import Machine
from tests.support.fake_api import TOKEN, FakeApi, small_zip

EVIL = "<script>alert('x')</script>"


def row(result: Any = None, *, error: str | None = None, job_id: int = 1) -> Result:
    return Result(job_id, -1 if error else 3, "error" if error else "", 1, "m1", 0, 1, -0.5, result, error)


# -------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_no_cell_is_a_formula(start: str) -> None:
    out = io.StringIO(newline="")
    assert to_csv([row(f"{start}HYPERLINK(1)"), row(error=f"  {start}cmd|' /C calc'!A0")], out) == 2
    first, second = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert first["result"] == f"'{start}HYPERLINK(1)"
    assert second["error"].startswith("'  ")


def test_a_csv_keeps_numbers_texts_and_structures(tmp_path: Path) -> None:
    results = [row('多行\ntext, "quoted"'), row(-7), row({"a": [1, None]}), row(None), row(True)]
    assert to_csv(results, tmp_path / "out.csv") == 5
    assert (tmp_path / "out.csv").read_bytes().startswith(b"\xef\xbb\xbf"), "spreadsheets see that it is UTF-8"
    with (tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        read = list(csv.DictReader(file))
    assert [one["result"] for one in read] == ['多行\ntext, "quoted"', "-7", '{"a": [1, null]}', "", "true"]
    assert read[0]["spend_s"] == "-0.5"
    assert list(tmp_path.iterdir()) == [tmp_path / "out.csv"]


def test_lines_of_json_are_whole_or_not_there(tmp_path: Path) -> None:
    assert to_jsonl([row({"行": 1}), row(error="no\nway")], tmp_path / "out.jsonl") == 2
    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["result"] for line in lines] == [{"行": 1}, None]

    def breaking() -> Any:
        yield row(1)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        to_jsonl(breaking(), tmp_path / "half.jsonl")
    assert not (tmp_path / "half.jsonl").exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_set_writes_its_results(tmp_path: Path) -> None:
    api = FakeApi().start()
    try:
        api.types["crawl"] = [small_zip()]
        api.work = lambda job: job["input"]["args"][0]
        jobs = Client(api.url, TOKEN).submit_many("crawl", [1, 2])
        assert jobs.to_jsonl(tmp_path / "a.jsonl") == jobs.to_csv(str(tmp_path / "a.csv")) == 2
    finally:
        api.stop()


# ---------------------------------------------------------------------------------------------------------- notebooks


def test_nothing_that_a_machine_says_is_html() -> None:
    machine = Machine(
        Client("http://127.0.0.1:1", TOKEN), "m1", {"machine_id": "m1", "name": EVIL, EVIL: 1, "tags": [EVIL]}
    )
    for shown in (machine, JobSet.of([1, 2, 5]), Progress(1, 1, 2, 4)):
        html = shown._repr_html_()
        assert "<script" not in html
        assert html.count("<") == html.count(">")
    assert "&lt;script&gt;" in machine._repr_html_()
    assert "3 jobs" in JobSet.of([1, 2, 5])._repr_html_()
    assert "2 of 4" in Progress(1, 1, 2, 4)._repr_html_()


def test_a_notebook_shows_a_bar_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    shell = type("ZMQInteractiveShell", (), {})()
    handle = SimpleNamespace(update=shown.append)
    ipython = SimpleNamespace(
        get_ipython=lambda: shell,
        display=SimpleNamespace(display=lambda value, display_id: shown.append(value) or handle),
    )
    monkeypatch.setitem(sys.modules, "IPython", ipython)  # type: ignore[arg-type]
    with showing.reporting(True) as tell:
        tell(Progress(1, 0, 1, 2))
    assert shown == [Progress(0, 0, None, None), Progress(1, 0, 1, 2)]


# ----------------------------------------------------------------------------------------------------------- terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("rich", [True, False])
def test_a_terminal_shows_a_line(monkeypatch: pytest.MonkeyPatch, rich: bool) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    if not rich:
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    with showing.reporting(True) as tell:
        tell(Progress(3, 1, 0, 4))
    assert "1 failed" in screen.getvalue()
    assert ("4/4" if rich else "4 of 4") in screen.getvalue()


def test_nothing_is_shown_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    for wanted in (True, False, None):
        with showing.reporting(wanted) as tell:
            tell(Progress(1, 0, 1, 2))
    assert not screen.getvalue()


# ------------------------------------------------------------------------------------------------------------ asyncio


def test_a_client_serves_many_coroutines() -> None:
    api = FakeApi().start()
    try:
        api.types["crawl"] = [small_zip()]
        api.work = lambda job: job["input"]["args"][0] * 2
        client = Client(api.url, TOKEN)

        async def one(number: int) -> Any:
            job_id = await asyncio.to_thread(client.insert, "crawl", number)
            return await asyncio.to_thread(client.job(job_id).result)

        async def everything() -> list[Any]:
            return await asyncio.gather(*(one(number) for number in range(20)))

        # On a thread of its own: browser tests leave a loop running in the main one.
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(lambda: asyncio.run(everything())).result() == [number * 2 for number in range(20)]
    finally:
        api.stop()
