"""Leave pages open for long while things change: ``python -m tests.browser.soak --minutes 60``. Prints JSON lines.

After each pause the browser collects its garbage; what is left of memory, document and listeners is a line. At the end
the pages must show what the server knows, and after warming up nothing may have grown.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from playwright.sync_api import CDPSession, Page, expect, sync_playwright

import hatch_build
from tests.browser.seeing import LAUNCH, go
from tests.support import hosts as support_hosts
from tests.support import server, sights, wait
from tests.support.sights import Api

ROOT = Path(__file__).parent.parent.parent
ROUTES: Final = ("/", "/all_job", "/machine_info", "/timeline?last=600", "/job_batch")
#: What a page may hold more at the end than at the beginning: a chart's points, code that was compiled meanwhile.
SLACK: Final = 1.10
SLACK_MB, SLACK_NODES, SLACK_LISTENERS = 1.5, 250, 40


class Held(NamedTuple):
    """What one page holds after its garbage was collected."""

    heap_mb: float
    nodes: int
    listeners: int
    documents: int


class Gauge:
    """Reads one page's holdings."""

    def __init__(self, page: Page) -> None:
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("Performance.enable")

    def read(self) -> Held:
        """Twice: what the first round lets go of may free more."""
        for _ in range(2):
            self._session.send("HeapProfiler.collectGarbage")
        found = {one["name"]: one["value"] for one in self._session.send("Performance.getMetrics")["metrics"]}
        return Held(
            round(found["JSHeapUsedSize"] / 1e6, 2),
            int(found["Nodes"]),
            int(found["JSEventListeners"]),
            int(found["Documents"]),
        )


def growth(readings: Sequence[Held]) -> list[str]:
    """What grew between the first and the last third after warming up (the first fifth); empty: it is flat."""
    warm = readings[len(readings) // 5 :]
    third = max(1, len(warm) // 3)
    grown = []
    for name, slack in (("heap_mb", SLACK_MB), ("nodes", SLACK_NODES), ("listeners", SLACK_LISTENERS)):
        before = median(getattr(one, name) for one in warm[:third])
        after = median(getattr(one, name) for one in warm[-third:])
        if after > before * SLACK + slack:
            grown.append(f"{name} grew from {before} to {after}")
    return grown


def main(minutes: float, every_s: float, pause_s: float) -> int:
    """0 when every page stayed flat and showed the truth."""
    hatch_build.build(ROOT)
    with tempfile.TemporaryDirectory(prefix="mj-soak-page-") as name, support_hosts.running() as hosts:
        home = Path(name) / "home"
        inventory = sights.furnish(hosts, home)
        with server.running(home, inventory) as running, sync_playwright() as playwright:
            api = Api(running)
            sights.publish(running, api)
            sights.settle(api)
            sights.submit(api)
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=LAUNCH)
            context = browser.new_context(base_url=running.url, locale="en-GB")
            sights.sign_in(context, running)
            pages = {route: context.new_page() for route in ROUTES}
            for route, page in pages.items():
                go(page, route)
            failed = _watch(api, pages, minutes, every_s, pause_s)
            browser.close()
    return 1 if failed else 0


def _watch(api: Api, pages: dict[str, Page], minutes: float, every_s: float, pause_s: float) -> bool:
    gauges = {route: Gauge(page) for route, page in pages.items()}
    readings: dict[str, list[Held]] = {route: [] for route in pages}
    began, count = time.monotonic(), 0
    while (passed_s := time.monotonic() - began) < minutes * 60:
        until = time.monotonic() + every_s
        while time.monotonic() < until:
            count += 1
            sights.send(api, "crawl", f"soak-{count // 200}", [{"url": f"{'broken' if count % 10 == 0 else 'a'}"}])
            pages["/"].wait_for_timeout(pause_s * 1000)
        for route, gauge in gauges.items():
            readings[route].append(gauge.read())
            _say(route, minute=round(passed_s / 60, 1), jobs=count, **readings[route][-1]._asdict())
    wait.until(lambda: not sights.unfinished(api), what="the end of all jobs", timeout_s=180, pause_s=0.5)
    done = api("GET", "home")["jobs"]["done"]
    expect(pages["/"].locator("[data-test=tile-done] strong")).to_have_text(f"{done:,}", timeout=30_000)
    newest = api("GET", "jobs?size=1")["jobs"][0]["id"]
    expect(pages["/all_job"].locator("tr[data-job]").first).to_have_attribute("data-job", str(newest), timeout=30_000)
    grown = {route: growth(held) for route, held in readings.items()}
    for route, found in grown.items():
        _say(route, flat=not found, grown=found, first=readings[route][0]._asdict(), last=readings[route][-1]._asdict())
    return any(grown.values())


def _say(route: str, **facts: object) -> None:
    print(json.dumps({"soak": "page", "route": route, **facts}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every-s", type=float, default=30, help="how often to measure")
    parser.add_argument("--pause-s", type=float, default=1, help="between two changes")
    options = parser.parse_args()
    sys.exit(main(options.minutes, options.every_s, options.pause_s))
