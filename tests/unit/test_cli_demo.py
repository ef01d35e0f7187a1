"""The demo's pieces that need no server."""

import json
from pathlib import Path
from urllib.request import urlopen

import pytest

from multijob import Client, LoadedJob, Result
from orchestrator.demo import hosts, show
from orchestrator.demo import quotes as demo_quotes
from orchestrator.demo.report import Tally
from tests.support.fake_api import TOKEN, FakeApi, small_zip

EXAMPLES = Path(__file__).parents[2] / "examples" / "jobs"


def row(job_id: int, *, error: str | None = None) -> Result:
    return Result(job_id, -1 if error else 3, "error" if error else "", 1, f"m{job_id % 2}", 0, 1, 0.1, "r", error)


def test_failures_are_grouped_by_how_they_end() -> None:
    tally = Tally()
    for n in range(6):
        tally.add("t", row(n, error="Traceback\nTypeError: no" if n % 3 == 0 else None))
    assert tally.failures == {("t", "TypeError: no"): 2}
    assert (tally.done["t"], tally.failed["t"]) == (4, 2)
    assert tally.machines == {"m0": 3, "m1": 3}


def test_a_tenth_of_the_additions_is_meant_to_fail() -> None:
    api = FakeApi().start()
    try:
        api.types.update({name: [small_zip()] for name in ("new_job", "save_stock_data", "word_count")})
        sets = show._insert(Client(api.url, TOKEN), 200)
        assert sum(map(len, sets.values())) == 200
        wrong = [job for job in api.jobs.values() if job["input"]["kwargs"].get("y") == "ten"]
        assert len(wrong) == 10
    finally:
        api.stop()


def test_sandboxes_without_ssh_have_roots_of_their_own(tmp_path: Path) -> None:
    from inventory.file import load

    sandbox = hosts.start(tmp_path, local=True)
    (tmp_path / "inventory.yml").write_text(sandbox.inventory)
    machines = load(tmp_path / "inventory.yml").machines
    assert {machine.connection for machine in machines.values()} == {"local"}
    assert len({machine.root for machine in machines.values()}) == 3
    assert sandbox.how == "no SSH, as asked"


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "TOOLS", ("no-such-tool",))
    assert hosts.start(tmp_path, local=False).how == "no SSH: no-such-tool not found on this computer"


def test_the_examples_do_what_they_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert LoadedJob(EXAMPLES / "new_job").main(1, 2)["result"].startswith("sum result: 3,")
    assert LoadedJob(EXAMPLES / "word_count").main("A b, a!")["result"] == {
        "words": 3,
        "different": 2,
        "top": [("a", 2), ("b", 1)],
    }
    quotes = demo_quotes.Quotes()
    quotes.start()
    try:
        monkeypatch.setenv("QUOTES_URL", quotes.url)
        answer = LoadedJob(EXAMPLES / "save_stock_data").main("sz000829", 30, 3)
        assert answer["count"] == 3
        with urlopen(f"{quotes.url}?symbol=sz000829&datalen=3") as again:  # noqa: S310 - our own, on the loopback
            assert float(json.load(again)[-1]["open"]) == answer["result"]["sz000829"][0]["open"]
    finally:
        quotes.stop()


def test_the_example_inventory_is_valid() -> None:
    from inventory.file import load

    assert set(load(EXAMPLES.parent / "inventory.yml").machines) == {"lab-1", "cloud-7", "old-pc", "this-pc"}
