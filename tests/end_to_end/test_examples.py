"""The manual's two examples, as they lie in examples/jobs, on three real SSH machines."""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.demo.quotes import Quotes, bars
from tests.support import wait
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).parents[2] / "examples" / "jobs"


@pytest.fixture
def quotes() -> Iterator[Quotes]:
    service = Quotes()
    service.start()
    yield service
    service.stop()


def inventory_with_own_tags(hosts: Hosts) -> str:
    """Each machine carries its own id as a tag."""
    text = hosts.inventory(limit_process=2, python=sys.executable)
    for host in hosts.hosts:
        text = text.replace(f"  {host.name}: {{", f"  {host.name}: {{tag: {host.name}, ")
    return text


def test_the_manuals_examples(hosts: Hosts, start_server: object, quotes: Quotes) -> None:
    for _ in range(3):
        hosts.start()
    server: RunningServer = start_server(inventory_with_own_tags(hosts))  # type: ignore[operator]
    client = server.client()
    shutil.copytree(EXAMPLES, server.jobs, dirs_exist_ok=True)
    with (server.jobs / "save_stock_data" / "job.yml").open("a") as settings:
        settings.write(f"env: {{QUOTES_URL: {quotes.url}}}\n")
    for name in ("new_job", "save_stock_data"):
        assert client.register(name).version == 0
    wait.until(lambda: [row["state"] for row in client.machines()] == ["ready"] * 3, what="three machines")

    for host in hosts.hosts:  # once everywhere first: a thousand additions are done before a folder has travelled
        list(client.results(client.submit_many("new_job", [(1, 2)], tag=host.name), timeout_s=100))

    symbols = [f"sz{number:06}" for number in range(20)]
    stocks = client.submit_many("save_stock_data", ((symbol, 30, 3) for symbol in symbols))
    sums = client.submit_many("new_job", ({"x": number, "y": 2, "label": "a"} for number in range(1000)))
    results = {result.id: result for result in client.results([*stocks, *sums], timeout_s=200)}

    assert Counter(result.status for result in results.values()) == {3: 1020}
    assert {result.machine_id for result in results.values()} == {"node-1", "node-2", "node-3"}
    for number, job in enumerate(sums):
        assert results[job].result.startswith(f"sum result: {number + 2}, label: a, unix_time: ")
    for symbol, job in zip(symbols, stocks, strict=True):
        saved = json.loads((server.home / "returns" / "save_stock_data" / "stocks" / f"{symbol}.json").read_text())
        assert saved == results[job].result[symbol]
        assert [bar["close"] for bar in saved] == [float(bar["close"]) for bar in reversed(bars(symbol, 3))]
        assert results[job].count == 3
    one = client.job(next(iter(stocks)))
    assert (one["version"], one["attempt"], one["status"]) == (0, 1, 3)
    assert one["created_at"] <= one["claimed_at"] <= one["updated_at"]
