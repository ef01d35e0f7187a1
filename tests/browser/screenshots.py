"""Make pictures of the dashboard: ``python -m tests.browser.screenshots FOLDER [CHOSEN]``.

Those that the documentation shows go into the second folder. A live server with real machines, the jobs of the browser
tests, each page in both languages, light and dark.
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

TRAIN = """
import sys, time

def work(rate):
    print("\\x1b[1mloading\\x1b[0m 60,000 pictures of 28 × 28")
    for epoch in range(1, 13):
        loss = 2.3 / epoch ** (0.9 if rate < 1 else -1.2)
        colour = 32 if loss < 2.4 else 33 if loss < 20 else 31
        print(f"epoch {epoch:2d}/12  loss \\x1b[{colour}m{loss:9.4f}\\x1b[0m  rate {rate}")
        time.sleep(0.02)
        if loss > 40:
            print("Error: the loss grows without bound", file=sys.stderr)
            print("saving what there is before giving up: \\x1b[31merror\\x1b[0m at epoch", epoch)
            raise ArithmeticError(f"the loss grew to {loss:.1f} with rate {rate}")
    return {"result": {"rate": rate, "loss": round(loss, 4)}, "count": 12}
"""
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 360, "height": 780}


#: What README and docs show, in each language.
CHOSEN = [
    *(f"{title}-en-light.png" for title in ("home", "jobs", "machines", "timeline")),
    *(f"{title}-zh-light.png" for title in ("home", "jobs", "machines", "timeline")),
    "failed-job-log-en-dark.png",
    "failed-job-log-zh-dark.png",
]


def main(folder: Path, chosen: Path | None = None) -> None:
    """Take all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mj-shots-") as name, support_hosts.running() as hosts:
        home = Path(name) / "home"
        inventory = sights.furnish(hosts, home)
        with server.running(home, inventory) as running, sync_playwright() as playwright:
            api = Api(running)
            sights.publish(running, api)
            sights.settle(api)
            running.job("train", main=TRAIN)
            api("POST", "job_types/train/register")
            sights.send(
                api, "train", "rates", [{"rate": rate} for rate in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.5, 3)]
            )
            sights.submit(api, pictures=400, pages=60)
            sights.send(api, "resize", "wedding-pictures", [{"picture": f"DSC_{n:05}.jpg"} for n in range(2500)])
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=LAUNCH)
            failed = api("GET", "jobs?status=failed&batch=rates")["jobs"][0]["id"]
            pages = {
                "home": "/",
                "jobs": "/all_job?batch=!wedding-pictures,holiday-pictures",
                "failed-job": f"/all_job/{failed}?tab=error",
                "failed-job-log": f"/all_job/{failed}?tab=log",
                "machines": "/machine_info",
                "timeline": "/timeline?last=600",
            }
            for title, route in pages.items():
                for language, theme in (("en", "light"), ("en", "dark"), ("zh", "light"), ("zh", "dark")):
                    _take(browser, running, folder / f"{title}-{language}-{theme}.png", route, language, theme, WIDE)
            _take(browser, running, folder / "home-en-narrow.png", "/", "en", "light", NARROW)
            _take(browser, running, folder / "jobs-zh-narrow.png", pages["jobs"], "zh", "dark", NARROW)
            _take(browser, running, folder / "failed-job-en-narrow.png", pages["failed-job"], "en", "dark", NARROW)
            _take(browser, running, folder / "log-zh-narrow.png", pages["failed-job-log"], "zh", "light", NARROW)
            _take(browser, running, folder / "machines-zh-narrow.png", "/machine_info", "zh", "light", NARROW)
            _take(browser, running, folder / "timeline-en-narrow.png", "/timeline?last=600", "en", "light", NARROW)
            _take(browser, running, folder / "batch-en-narrow.png", "/job_batch/news", "en", "light", NARROW)
            browser.close()
    if chosen is not None:
        chosen.mkdir(exist_ok=True)
        for name in CHOSEN:
            shutil.copy(folder / name, chosen / name)


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
    main(*map(Path, sys.argv[1:]))
