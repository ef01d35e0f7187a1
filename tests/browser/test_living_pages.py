"""Pages that live: new rows wait while somebody reads, logs grow, nothing grows that should not, gone servers show."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser.seeing import Eyes, go
from tests.browser.soak import Gauge, Held, growth
from tests.support import hosts as support_hosts
from tests.support import server, sights, wait
from tests.support.server import RunningServer
from tests.support.sights import Api

ROUNDS = 36


def test_new_rows_wait_behind_a_pill_while_somebody_reads(signed_in: Page, api: Api) -> None:
    first = sights.send(api, "crawl", "reading", [{"url": f"a-{n}"} for n in range(3)])
    go(signed_in, "/all_job?batch=reading", "Jobs")
    rows = signed_in.locator("tr[data-job]")
    expect(rows).to_have_count(3)
    signed_in.keyboard.press("j")
    sights.send(api, "crawl", "reading", [{"url": f"b-{n}"} for n in range(4)])
    pill = signed_in.locator("[data-test=new-rows]")
    expect(pill).to_have_text("4 new")
    expect(rows.first).to_have_attribute("data-job", str(first + 2))
    expect(rows).to_have_count(3)
    pill.click()
    expect(rows).to_have_count(7)
    expect(rows.first).to_have_attribute("data-job", str(first + 6))
    expect(pill).not_to_be_visible()


def test_a_jobs_end_reaches_the_screen_by_itself(
    signed_in: Page, api: Api, live: RunningServer, tmp_path: Path
) -> None:
    """By the stream of events: no page is loaded again, and none asks in turns."""
    job = sights.hold(live, api, tmp_path / "go", "lab-1")
    go(signed_in, "/all_job?batch=held", "Jobs")
    row = signed_in.locator(f'tr[data-job="{job}"]')
    expect(row).to_contain_text("running")
    expect(signed_in.locator(".fresh.live").get_by_text("live", exact=True)).to_be_visible()
    signed_in.evaluate("window.stays = true")
    (tmp_path / "go").touch()
    expect(row).to_contain_text("done", timeout=60_000)
    assert signed_in.evaluate("window.stays") is True
    expect(signed_in.locator(".fresh.live").get_by_text("live", exact=True)).to_be_visible()


class _Log:
    """A log that grows with each look, as a server tells of a running attempt's."""

    def __init__(self) -> None:
        self.text = "".join(f"line {n}\n" for n in range(1, 30_001))
        self.asked: list[int] = []
        self.over = False

    def answer(self, route: Route) -> None:
        query = dict(one.split("=") for one in route.request.url.partition("?")[2].split("&"))
        if "offset" not in query:
            kept: dict[str, Any] = {"head": "line 1\n", "tail": "line 30000\nthe end\n", "total": len(self.text)}
            return route.fulfill(json={"attempt": 1, "stream": query["stream"], **kept})
        offset, limit = int(query["offset"]), int(query["limit"])
        self.asked.append(offset)
        begin = max(0, len(self.text) + offset) if offset < 0 else min(offset, len(self.text))
        part = self.text[begin : begin + limit]
        facts = {"offset": begin, "end": begin + len(part), "total": len(self.text), "text": part, "missing": None}
        route.fulfill(
            json={"attempt": 1, "stream": "stdout", "running": True, "next_offset": begin + len(part), **facts}
        )
        return None


def test_a_running_jobs_log_grows_on_the_page_and_stays_bounded(signed_in: Page, api: Api) -> None:
    job = api("GET", "jobs?batch=holiday-pictures&status=done")["jobs"][0]["id"]
    log, state = _Log(), {"status": 1}

    def as_running(route: Route) -> None:
        answer = route.fetch()
        told = answer.json()
        if state["status"] == 1:
            told |= {"status": 1, "progress": {"n": 30, "total": 120, "eta_s": 90, "at": told["updated_at"]}}
        route.fulfill(response=answer, body=json.dumps(told))

    def attempts(route: Route) -> None:
        route.fulfill(json={"attempts": []}) if state["status"] == 1 else route.continue_()

    signed_in.route(f"**/api/v1/jobs/{job}", as_running)
    signed_in.route(f"**/api/v1/jobs/{job}/attempts", attempts)
    signed_in.route(f"**/api/v1/jobs/{job}/log?*", log.answer)
    go(signed_in, f"/all_job/{job}?tab=log", f"Job {job}")
    expect(signed_in.get_by_role("img", name="30 / 120, 1 min 30 s left")).to_be_visible()
    lines = signed_in.locator(".lines")
    expect(lines).to_contain_text("line 30000")
    expect(signed_in.get_by_text("live", exact=True).last).to_be_visible()
    assert signed_in.locator(".line").count() <= 2000
    log.text += "fresh \x1b[31mred\x1b[0m <img src=x onerror=alert(1)>\n"
    expect(lines).to_contain_text("fresh red <img src=x onerror=alert(1)>")
    assert signed_in.locator("img[src=x]").count() == 0
    assert len(log.asked) > 1
    assert log.asked[0] < 0 < log.asked[1], log.asked
    lines.evaluate("one => one.scrollTo(0, 0)")
    earlier = signed_in.get_by_role("button", name="earlier")
    for _ in range(40):
        earlier.first.click()
        expect(earlier.or_(lines.get_by_text("line 1", exact=True)).first).to_be_attached()
        if lines.get_by_text("line 1", exact=True).count():
            break
    expect(signed_in.get_by_role("button", name="Line 1", exact=True)).to_be_attached()
    assert signed_in.locator(".line").count() <= 2000
    log.text += "more\n"
    expect(signed_in.get_by_role("button", name="To the end")).to_be_visible()
    signed_in.get_by_role("button", name="To the end").click()
    expect(lines).to_contain_text("more")


def test_a_page_left_open_holds_no_more_after_many_changes(signed_in: Page, api: Api) -> None:
    go(signed_in, "/all_job?size=20", "Jobs")
    gauge, readings = Gauge(signed_in), list[Held]()
    for number in range(1, ROUNDS + 1):
        newest = sights.send(api, "crawl", "flowing", [{"url": "a"}])
        expect(signed_in.locator("tr[data-job]").first).to_have_attribute("data-job", str(newest))
        if number % 3 == 0:
            signed_in.goto(f"/#/{('', 'machine_info', 'timeline')[number % 9 // 3]}")
            expect(signed_in.locator("h1")).not_to_have_text("Jobs")
            signed_in.goto("/#/all_job?size=20")
            expect(signed_in.locator("h1")).to_have_text("Jobs")
            expect(signed_in.locator("tr[data-job]").first).to_have_attribute("data-job", str(newest))
            readings.append(gauge.read())
    assert growth(readings) == [], readings


@pytest.fixture
def other(live: RunningServer, tmp_path: Any) -> Any:
    """A server of its own that may be ended."""
    with support_hosts.running() as hosts:
        hosts.start("solo")
        (tmp_path / "home").mkdir()
        shutil.copy(hosts.home / "known_hosts", tmp_path / "home" / "known_hosts")
        with server.running(tmp_path / "home", hosts.inventory(limit_process=2), port=0) as running:
            yield running


def test_a_page_outlives_its_server_and_shows_the_truth_again(browser: Browser, other: RunningServer) -> None:
    port = other.url.rpartition(":")[2].strip("/")
    context = browser.new_context(base_url=other.url, locale="en-GB")
    eyes = Eyes(context, other.url)
    eyes.expects_failures = True
    sights.sign_in(context, other)
    page = context.new_page()
    go(page, "/all_job", "Jobs")
    expect(page.locator(".fresh.live")).to_be_visible()
    other.stop()
    expect(page.locator(".fresh.stale")).to_be_visible(timeout=60_000)
    expect(page.locator(".fresh")).to_contain_text("stale")
    other._settings["port"] = port
    other.start()
    api = Api(other)
    sights.publish(other, api)
    job = sights.send(api, "crawl", "afterwards", [{"url": "a"}])
    expect(page.locator(".fresh.live")).to_be_visible(timeout=60_000)
    expect(page.locator("tr[data-job]").first).to_have_attribute("data-job", str(job), timeout=60_000)
    wait.until(lambda: not sights.unfinished(api), what="the end of the job", timeout_s=90, pause_s=0.3)
    expect(page.locator("tr[data-job]").first).to_contain_text("done", timeout=60_000)
    assert eyes.complaints == []
    context.close()


def test_without_authentication_a_banner_says_so(browser: Browser, tmp_path: Any) -> None:
    with server.running(tmp_path / "home", "machines: {}\n", auth="off") as running:
        context: BrowserContext = browser.new_context(base_url=running.url, locale="en-GB")
        eyes = Eyes(context, running.url)
        page = context.new_page()
        go(page, "/", "Home")
        expect(page.get_by_text("Authentication is off")).to_be_visible()
        go(page, "/machine_info", "Machines")
        expect(page.get_by_text("Authentication is off")).to_be_visible()
        assert eyes.complaints == []
        context.close()
