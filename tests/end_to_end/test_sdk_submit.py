"""A hundred thousand jobs from a generator through a connection that keeps breaking: bounded memory, nothing twice."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from multijob import Client
from tests.support import jobs
from tests.support.cutting_proxy import CuttingProxy
from tests.support.server import running

MANY = 100_000
CHUNK = 1000
PEAK_LIMIT_BYTES = 8 * 1024 * 1024

pytestmark = pytest.mark.timeout(300)


def test_a_hundred_thousand_from_a_generator(tmp_path: Path) -> None:
    peaks: list[int] = []

    def items() -> Iterator[tuple[int, str]]:
        for number in range(MANY):
            if number % CHUNK == 0:
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()
            yield number, f"text {number} " * 4

    def lose_every_tenth(method: str, path: str, count: int) -> bool:
        return path == "/api/v1/jobs" and method == "POST" and count % 10 == 0

    with running(tmp_path / "home", "machines: {}\n") as server:
        server.job("add", main=jobs.ADD)
        token = (server.home / "token").read_text().strip()
        with CuttingProxy(urlsplit(server.url).port or 0, lose_every_tenth) as proxy:
            client = Client(proxy.url, token)
            client.register("add")
            tracemalloc.start()
            try:
                submitted = client.submit_many("add", items(), batch="many", chunk=CHUNK)
            finally:
                tracemalloc.stop()
            assert len(submitted) == MANY
            assert proxy.lost > MANY / CHUNK / 10
            [row] = client.summary("add", "many")
            assert row["jobs"]["0"] == MANY, "each once, however often its chunk was sent"
            first, last = next(iter(submitted)), submitted.ranges[-1][1]
            assert client.job(first).input["args"][0] == 0
            assert client.job(last).input["args"][0] == MANY - 1
    assert len(peaks) == MANY // CHUNK
    assert max(peaks) < PEAK_LIMIT_BYTES
    assert max(peaks[-10:]) < 2 * max(peaks[5:15]), "the end takes no more than the beginning"
