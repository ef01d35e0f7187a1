"""Every page, in both languages, light and dark, wide and narrow: it opens, says nothing bad, and axe finds nothing."""

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.seeing import Eyes, accuse, go
from tests.support.server import RunningServer
from tests.support.sights import Api, sign_in

#: Route → the heading in English and in Chinese; None: the heading is the thing's own name.
PAGES = {
    "/": ("Home", "主页"),
    "/all_job": ("Jobs", "全部任务"),
    "/all_job/{failed}": ("Job {failed}", "任务 {failed}"),
    "/all_job/{chart}": ("Job {chart}", "任务 {chart}"),
    "/failures": ("Failures", "失败归类"),
    "/failures/{fingerprint}": ("Failures", "失败归类"),
    "/job_batch": ("Batches", "任务批次"),
    "/job_batch/news": ("news", "news"),
    "/machine_info": ("Machines", "机器列表"),
    "/machine_info/gpu-box": ("gpu-box", "gpu-box"),
    "/timeline": ("Timeline", "时间线"),
    "/job_type": ("Job types", "任务类型"),
    "/job_type/crawl": ("crawl@0", "crawl@0"),
    "/activity": ("Activity", "操作记录"),
    "/help": ("Help", "文档信息"),
    "/settings": ("Settings", "设置"),
    "/nowhere/at/all": ("There is no such page", "没有这个页面"),
}


@pytest.fixture(scope="session")
def names(api: Api) -> dict[str, str]:
    """What the routes name: things that the jobs of the session left behind."""
    failed = api("GET", "jobs?status=failed&batch=hostile")["jobs"][0]["id"]
    chart = api("GET", "jobs?batch=charts")["jobs"][0]["id"]
    groups = api("GET", "failures")["groups"]
    return {"failed": str(failed), "chart": str(chart), "fingerprint": groups[0]["fingerprint"]}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("route", PAGES)
def test_every_page_in_both_languages(
    context: BrowserContext, live: RunningServer, eyes: Eyes, names: dict[str, str], route: str, language: str
) -> None:
    sign_in(context, live)
    prefs = f'{{"language": "{language}", "theme": "{"light" if language == "en" else "dark"}"}}'
    context.add_init_script(f"if (location.protocol !== 'about:') localStorage.setItem('mj.prefs', '{prefs}')")
    page = context.new_page()
    title = PAGES[route][0 if language == "en" else 1].format(**names)
    go(page, route.format(**names), title)
    expect(page.locator(".fresh.live")).to_be_visible(timeout=30_000)
    page.wait_for_load_state("load")
    assert accuse(page) == []


@pytest.mark.parametrize("route", [one for one in PAGES if one != "/nowhere/at/all"])
def test_every_page_fits_a_narrow_screen(signed_in: Page, names: dict[str, str], route: str) -> None:
    signed_in.set_viewport_size({"width": 360, "height": 740})
    go(signed_in, route.format(**names))
    expect(signed_in.locator(".fresh.live")).to_be_visible(timeout=30_000)
    assert signed_in.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_menu_is_a_drawer_on_a_narrow_screen(signed_in: Page) -> None:
    signed_in.set_viewport_size({"width": 360, "height": 740})
    go(signed_in, "/")
    machines = signed_in.get_by_role("navigation", name="Menu").get_by_role("link", name="Machines")
    expect(machines).not_to_be_visible()
    signed_in.get_by_role("button", name="Menu").click()
    machines.click()
    expect(signed_in.locator("h1")).to_have_text("Machines")
    expect(machines).not_to_be_visible()


def test_language_and_theme_are_remembered(signed_in: Page) -> None:
    go(signed_in, "/", "Home")
    signed_in.get_by_role("button", name="切换到中文").click()
    expect(signed_in.locator("h1")).to_have_text("主页")
    signed_in.get_by_role("button", name="主题").click()
    signed_in.get_by_role("button", name="主题").click()
    expect(signed_in.locator("html.dark")).to_be_attached()
    signed_in.reload()
    expect(signed_in.locator("h1")).to_have_text("主页")
    expect(signed_in.locator("html.dark")).to_be_attached()


def test_keys_go_where_they_say(signed_in: Page) -> None:
    go(signed_in, "/", "Home")
    for key, title in {"j": "Jobs", "m": "Machines", "t": "Timeline", "b": "Batches", "f": "Failures"}.items():
        signed_in.keyboard.press("g")
        signed_in.keyboard.press(key)
        expect(signed_in.locator("h1")).to_have_text(title)
    signed_in.keyboard.press("?")
    expect(signed_in.locator("h1")).to_have_text("Help")
    signed_in.keyboard.press("Control+k")
    signed_in.keyboard.type("lab-2")
    expect(signed_in.get_by_role("option", name="lab-2").first).to_contain_text("Machines")
    signed_in.keyboard.press("Enter")
    expect(signed_in.locator("h1")).to_have_text("lab-2")
