"""Coming in: by link, by token, back to where one was; and a page that cannot ask says so."""

import os
import re
import signal

from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.seeing import Eyes, go
from tests.support import sights
from tests.support.server import RunningServer


def test_the_printed_link_signs_in_once(context: BrowserContext, live: RunningServer, eyes: Eyes) -> None:
    eyes.expects_failures = True
    page = context.new_page()
    page.goto(sights.link(live))
    expect(page.locator("h1")).to_have_text("Home")
    assert "code" not in page.url
    context.clear_cookies()
    page.goto("about:blank")
    page.goto(sights.link(live))
    expect(page.get_by_role("alert")).to_contain_text("A link works once")


def test_a_wrong_token_is_refused_and_the_right_one_leads_back(
    context: BrowserContext, live: RunningServer, eyes: Eyes
) -> None:
    eyes.expects_failures = True
    page = context.new_page()
    page.goto("/#/all_job?status=failed")
    page.get_by_label("Token or password").fill("guess")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("That was not accepted")
    page.get_by_label("Token or password").fill((live.home / "token").read_text().strip())
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("h1")).to_have_text("Jobs")
    assert page.url.endswith("/#/all_job?status=failed")


def test_a_session_that_ended_leads_to_sign_in_and_back(signed_in: Page, eyes: Eyes, live: RunningServer) -> None:
    eyes.expects_failures = True
    go(signed_in, "/job_batch", "Batches")
    signed_in.context.clear_cookies()
    signed_in.get_by_role("link", name="Failures").first.click()
    expect(signed_in.get_by_label("Token or password")).to_be_visible(timeout=30_000)
    signed_in.get_by_label("Token or password").fill((live.home / "token").read_text().strip())
    signed_in.get_by_role("button", name="Sign in").click()
    expect(signed_in.locator("h1")).to_have_text("Failures")


def test_signing_out_ends_it(signed_in: Page, eyes: Eyes) -> None:
    eyes.expects_failures = True
    go(signed_in, "/", "Home")
    signed_in.get_by_role("button", name="Sign out").click()
    expect(signed_in.get_by_label("Token or password")).to_be_visible()
    signed_in.reload()
    expect(signed_in.get_by_label("Token or password")).to_be_visible()


def test_without_the_stream_the_page_asks_and_says_so(signed_in: Page, eyes: Eyes) -> None:
    eyes.expects_failures = True

    def busy(route: Route) -> None:
        route.fulfill(status=503, headers={"Retry-After": "5"}, body="{}")

    signed_in.route(re.compile(r"/api/v1/events"), busy)
    go(signed_in, "/", "Home")
    expect(signed_in.locator(".fresh")).to_contain_text("every 5 s")


def test_a_page_whose_server_is_gone_is_stale_and_recovers(signed_in: Page, eyes: Eyes, live: RunningServer) -> None:
    eyes.expects_failures = True
    go(signed_in, "/", "Home")
    expect(signed_in.locator(".fresh.live")).to_be_visible(timeout=30_000)
    os.kill(live.pid, signal.SIGSTOP)
    try:
        expect(signed_in.locator(".fresh.stale")).to_be_visible(timeout=60_000)
    finally:
        os.kill(live.pid, signal.SIGCONT)
    expect(signed_in.locator(".fresh.live")).to_be_visible(timeout=60_000)
