"""The manual's way through the page, in both languages: submit by form, watch, rerun, delete; pause and continue."""

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.seeing import Eyes, go
from tests.support import sights
from tests.support.server import RunningServer
from tests.support.sights import Api

WORDS = {
    "en": {
        "submit": "Submit jobs",
        "done": "done",
        "rerun": "Rerun",
        "reruns": "Rerun jobs",
        "waits": "1 job waits again",
        "close": "Close",
        "log": "Log",
        "attempts": "Attempts 2",
        "delete": "Delete",
        "deletes": "Delete jobs",
        "jobs": "Jobs",
        "pause": "Pause",
        "paused": "paused",
        "continue": "Continue",
        "ready": "ready",
    },
    "zh": {
        "submit": "提交任务",
        "done": "成功",
        "rerun": "重跑",
        "reruns": "重跑任务",
        "waits": "1 条任务已重新排队",
        "close": "关闭",
        "log": "日志",
        "attempts": "尝试记录 2",
        "delete": "删除",
        "deletes": "删除任务",
        "jobs": "全部任务",
        "pause": "暂停",
        "paused": "已暂停",
        "continue": "继续",
        "ready": "就绪",
    },
}


@pytest.mark.parametrize("language", WORDS)
def test_submit_watch_rerun_and_delete(
    context: BrowserContext, live: RunningServer, eyes: Eyes, api: Api, language: str
) -> None:
    words = WORDS[language]
    page = _speaking(context, live, language)
    go(page, "/job_type/crawl", "crawl@0")
    page.get_by_role("button", name=words["submit"]).click()
    dialog = page.get_by_role("dialog", name=words["submit"])
    dialog.get_by_label("url").fill(f"in {language}")
    dialog.locator("[data-test=submit-run]").click()
    head = page.locator(".page-head")
    expect(head).to_contain_text(words["done"], timeout=60_000)
    page.get_by_role("button", name=words["rerun"], exact=True).click()
    dialog = page.get_by_role("dialog", name=words["reruns"])
    dialog.locator("[data-test=bulk-run]").click()
    expect(dialog).to_contain_text(words["waits"])
    dialog.get_by_role("button", name=words["close"], exact=True).last.click()
    expect(page.get_by_role("tab", name=words["attempts"])).to_be_visible(timeout=60_000)
    expect(head).to_contain_text(words["done"], timeout=60_000)
    page.get_by_role("tab", name=words["log"]).click()
    expect(page.locator(".lines")).to_contain_text(f"fetching in {language}")
    page.get_by_role("button", name=words["delete"]).click()
    dialog = page.get_by_role("dialog", name=words["deletes"])
    dialog.locator("[data-test=bulk-run]").click()
    dialog.get_by_role("button", name=words["close"], exact=True).last.click()
    expect(page.locator("h1")).to_have_text(words["jobs"])
    assert eyes.complaints == []


@pytest.mark.parametrize("language", WORDS)
def test_a_machine_is_paused_and_goes_on(
    context: BrowserContext, live: RunningServer, eyes: Eyes, language: str
) -> None:
    words = WORDS[language]
    page = _speaking(context, live, language)
    go(page, "/machine_info/lab-2", "lab-2")
    page.get_by_role("button", name=words["pause"], exact=True).click()
    expect(page.locator("article.machine")).to_contain_text(words["paused"], timeout=60_000)
    page.get_by_role("button", name=words["continue"], exact=True).click()
    expect(page.locator("article.machine")).to_contain_text(words["ready"], timeout=60_000)
    assert eyes.complaints == []


def test_a_bar_of_the_timeline_leads_to_its_job(signed_in: Page, api: Api) -> None:
    now = api("GET", "server")["now"]

    def one_bar(route: Route) -> None:
        job = api("GET", "jobs?batch=news&status=done")["jobs"][0]
        answer = route.fetch()
        bar = {"machine_id": "lab-1", "job_id": job["id"], "attempt": 1, "job_type": "crawl", "status": 3}
        told = answer.json() | {"bars": [bar | {"begin_at": now - 3000, "end_at": now - 60}], "bucketed": False}
        route.fulfill(response=answer, json=told)

    signed_in.route("**/api/v1/timeline?*", one_bar)
    go(signed_in, "/timeline?last=3600", "Timeline")
    canvas = signed_in.locator("canvas")
    expect(canvas).to_be_visible()
    coloured = """(one) => { const copy = document.createElement('canvas');
        [copy.width, copy.height] = [one.width, one.height];
        const drawn = copy.getContext('2d', {willReadFrequently: true}); drawn.drawImage(one, 0, 0);
        const data = drawn.getImageData(0, 0, one.width, one.height).data, scale = one.width / one.clientWidth;
        for (let at = 0; at < data.length; at += 4) if (data[at] === 25 && data[at + 1] === 190)
            return [(at / 4) % one.width / scale + 20, Math.floor(at / 4 / one.width) / scale + 3];
        return null }"""
    signed_in.wait_for_function(f"(one) => ({coloured})(one) !== null", arg=canvas.element_handle())
    x, y = canvas.evaluate(coloured)
    canvas.click(position={"x": x, "y": y})
    expect(signed_in.locator("h1")).to_contain_text("Job ")


def test_a_running_action_on_many_is_stopped(signed_in: Page, api: Api) -> None:
    sights.send(api, "crawl", "stopping", [{"url": "a"}, {"url": "b"}])
    begun = api("POST", "jobs/bulk", action="copy", filter={"batch": "stopping"}, wait_s=20)

    def as_running(route: Route) -> None:
        answer = route.fetch()
        told = answer.json()
        for one in told["operations"]:
            one["state"] = "running"
        route.fulfill(response=answer, json=told)

    signed_in.route("**/api/v1/operations", as_running)
    go(signed_in, "/activity", "Activity")
    row = signed_in.get_by_role("row").filter(has_text="stopping").first
    with signed_in.expect_response(f"**/api/v1/operations/{begun['operation_id']}/stop") as answer:
        row.get_by_role("button", name="Stop").click()
    assert answer.value.ok


def _speaking(context: BrowserContext, live: RunningServer, language: str) -> Page:
    sights.sign_in(context, live)
    prefs = f'{{"language": "{language}"}}'
    context.add_init_script(f"if (location.protocol !== 'about:') localStorage.setItem('mj.prefs', '{prefs}')")
    return context.new_page()
