"""Make the pictures of the dashboard that the documentation shows: ``python -m tests.browser.screenshots FOLDER``.

A live server with real machines, the jobs of the browser tests, each page in both languages, light and dark.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.seeing import LAUNCH, go
from tests.support import hosts as support_hosts
from tests.support import server, sights
from tests.support.server import RunningServer
from tests.support.sights import Api

WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 360, "height": 780}


def main(folder: Path) -> None:
    """Take all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mj-shots-") as name, support_hosts.running() as hosts:
        home = Path(name) / "home"
        inventory = sights.furnish(hosts, home)
        with server.running(home, inventory) as running, sync_playwright() as playwright:
            api = Api(running)
            sights.publish(running, api)
            sights.settle(api)
            sights.submit(api, pictures=120, pages=60)
            sights.send(api, "resize", "wedding-pictures", [{"picture": f"DSC_{n:05}.jpg"} for n in range(9000)])
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=LAUNCH)
            failed = api("GET", "jobs?status=failed&batch=news")["jobs"][0]["id"]
            pages = {
                "home": "/",
                "jobs": "/all_job",
                "failed-job": f"/all_job/{failed}?tab=error",
                "failed-job-log": f"/all_job/{failed}?tab=log",
                "machines": "/machine_info",
                "timeline": "/timeline?last=600",
            }
            for title, route in pages.items():
                for language, theme in (("en", "light"), ("en", "dark"), ("zh", "light"), ("zh", "dark")):
                    _take(browser, running, folder / f"{title}-{language}-{theme}.png", route, language, theme, WIDE)
            _take(browser, running, folder / "home-en-narrow.png", "/", "en", "light", NARROW)
            _take(browser, running, folder / "jobs-zh-narrow.png", "/all_job", "zh", "dark", NARROW)
            _take(browser, running, folder / "failed-job-en-narrow.png", pages["failed-job"], "en", "dark", NARROW)
            _take(browser, running, folder / "log-zh-narrow.png", pages["failed-job-log"], "zh", "light", NARROW)
            _take(browser, running, folder / "machines-zh-narrow.png", "/machine_info", "zh", "light", NARROW)
            _take(browser, running, folder / "timeline-en-narrow.png", "/timeline?last=600", "en", "light", NARROW)
            _take(browser, running, folder / "batch-en-narrow.png", "/job_batch/news", "en", "light", NARROW)
            browser.close()


def _take(
    browser: Browser, running: RunningServer, file: Path, route: str, language: str, theme: str, size: dict[str, int]
) -> None:
    locale = "zh-CN" if language == "zh" else "en-GB"
    context = browser.new_context(locale=locale, color_scheme=theme, viewport=size, base_url=running.url)
    sights.sign_in(context, running)
    page = context.new_page()
    go(page, route)
    expect(page.locator(".fresh.live")).to_be_visible(timeout=30_000)
    page.wait_for_timeout(1500)  # for what moves into place
    page.screenshot(path=file)
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
