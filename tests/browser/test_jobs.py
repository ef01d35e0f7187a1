"""Jobs on the page: filters in the address, pages, choices, actions with their exact count, and one job's insides."""

import csv
import io
import json
import re
import subprocess

from playwright.sync_api import Page, Route, expect

from tests.browser.seeing import go
from tests.support import sights, wait
from tests.support.sights import HOSTILE, Api


def test_filters_stand_in_the_address_and_come_back_from_it(signed_in: Page) -> None:
    go(signed_in, "/all_job", "Jobs")
    box = signed_in.get_by_label("Filter jobs")
    box.fill("batch=news")
    box.press("Enter")
    expect(signed_in).to_have_url(re.compile(r"batch=news"))
    box.fill("status=failed")
    box.press("Enter")
    expect(signed_in.locator("tr[data-job]")).to_have_count(8)
    signed_in.reload()
    expect(signed_in.locator("tr[data-job]")).to_have_count(8)
    signed_in.get_by_role("button", name="Remove the filter Status").click()
    expect(signed_in.locator("[data-test=total]")).to_have_text("40 in all")
    box.fill("machine_id!=lab-1,lab-2")
    box.press("Enter")
    expect(signed_in.get_by_text("Nothing matches", exact=True)).to_be_visible()
    signed_in.get_by_role("button", name="Clear filters").first.click()
    expect(signed_in).to_have_url(re.compile(r"#/all_job$"))


def test_pages_by_cursor(signed_in: Page) -> None:
    go(signed_in, "/all_job?size=20", "Jobs")
    expect(signed_in.locator("tr[data-job]")).to_have_count(20)
    first = signed_in.locator("tr[data-job]").first.get_attribute("data-job")
    signed_in.locator("[data-test=next]").click()
    expect(signed_in).to_have_url(re.compile(r"after="))
    expect(signed_in.locator("tr[data-job]").first).not_to_have_attribute("data-job", first or "")
    signed_in.get_by_role("button", name="Previous").click()
    expect(signed_in.locator("tr[data-job]").first).to_have_attribute("data-job", first or "")


def test_rerun_of_everything_that_matches_shows_the_exact_count_first(signed_in: Page, api: Api) -> None:
    first = sights.send(api, "crawl", "again", [{"url": f"broken-{n}"} for n in range(7)])
    wait.until(lambda: not sights.unfinished(api), what="the end of the jobs", timeout_s=90, pause_s=0.3)
    go(signed_in, "/all_job?batch=again&status=failed", "Jobs")
    expect(signed_in.locator("tr[data-job]")).to_have_count(7)
    signed_in.get_by_role("checkbox", name="Choose this page").check()
    signed_in.get_by_role("button", name="Choose all 7 that match").click()
    signed_in.get_by_role("button", name="Rerun", exact=True).click()
    dialog = signed_in.get_by_role("dialog", name="Rerun jobs")
    expect(dialog).to_contain_text("7 jobs will be rerun")
    dialog.locator("[data-test=bulk-run]").click()
    expect(dialog).to_contain_text("7 jobs wait again")
    wait.until(
        lambda: api("GET", f"jobs/{first}")["attempt"] == 2 and not sights.unfinished(api),
        what="second attempts",
        timeout_s=90,
        pause_s=0.3,
    )


def test_copy_stop_and_delete_of_chosen_jobs(signed_in: Page, api: Api) -> None:
    sights.send(api, "crawl", "one-by-one", [{"url": "a"}, {"url": "b"}])
    wait.until(lambda: not sights.unfinished(api), what="the end of the jobs", timeout_s=90, pause_s=0.3)
    go(signed_in, "/all_job?batch=one-by-one", "Jobs")
    expect(signed_in.locator("tr[data-job]")).to_have_count(2)
    signed_in.locator("tr[data-job] input[type=checkbox]").first.check()
    signed_in.get_by_role("toolbar").get_by_role("button", name="Copy").click()
    dialog = signed_in.get_by_role("dialog")
    expect(dialog).to_contain_text("1 job will be copied")
    dialog.locator("[data-test=bulk-run]").click()
    expect(dialog).to_contain_text("1 job copied")
    dialog.get_by_role("button", name="Close", exact=True).click()
    expect(signed_in.locator("tr[data-job]")).to_have_count(3)
    wait.until(lambda: not sights.unfinished(api), what="the end of the copy", timeout_s=90, pause_s=0.3)
    signed_in.keyboard.press("j")
    signed_in.keyboard.press("x")
    expect(signed_in.get_by_role("toolbar")).to_contain_text("1 chosen")
    signed_in.keyboard.press("s")
    expect(dialog).to_contain_text("0 jobs will be stopped")
    expect(dialog).to_contain_text("1 are left alone: done already")
    dialog.get_by_role("button", name="Cancel").click()
    signed_in.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    expect(dialog).to_contain_text("Deleting is final")
    dialog.locator("[data-test=bulk-run]").click()
    expect(dialog).to_contain_text("1 job deleted")
    dialog.get_by_role("button", name="Close", exact=True).click()
    expect(signed_in.locator("tr[data-job]")).to_have_count(2)


def test_a_failed_job_says_what_where_and_what_now(signed_in: Page, api: Api) -> None:
    job = api("GET", "jobs?status=failed&batch=news")["jobs"][0]
    go(signed_in, f"/all_job/{job['id']}", f"Job {job['id']}")
    expect(signed_in.get_by_text("ConnectionError: no route to host for").first).to_be_visible()
    expect(signed_in.get_by_text("your code").first).to_be_visible()
    expect(signed_in.get_by_text(f"On {job['machine_id']}, with crawl@0, attempt 1.")).to_be_visible()
    signed_in.get_by_role("tab", name="Log").click()
    expect(signed_in.locator(".lines")).to_contain_text("fetching https://news.example/")
    signed_in.get_by_text("stderr", exact=True).click()
    expect(signed_in.locator(".lines")).to_contain_text("no answer from")
    signed_in.get_by_role("button", name="Line 1", exact=True).click()
    expect(signed_in).to_have_url(re.compile(r"line=L1"))
    signed_in.get_by_role("tab", name="Attempts").click()
    expect(signed_in.get_by_role("row").nth(1)).to_contain_text("work() raised an error")


def test_a_jobs_time_is_held_against_the_median_of_its_type(signed_in: Page, api: Api) -> None:
    job = api("GET", "jobs?batch=holiday-pictures&status=done")["jobs"][0]
    median = re.compile(r"[\d.]+× the median of \d+ ms")
    go(signed_in, f"/all_job/{job['id']}", f"Job {job['id']}")
    expect(signed_in.get_by_label("Overview")).to_contain_text(median)
    go(signed_in, f"/machine_info/{job['machine_id']}", job["machine_id"])
    expect(signed_in.get_by_text(re.compile(r"take [\d.]+× the median of their type"))).to_be_visible()


def test_hostile_words_are_text_everywhere(signed_in: Page, api: Api) -> None:
    signed_in.on("dialog", lambda dialog: (_ for _ in ()).throw(AssertionError(dialog.message)))
    job = api("GET", "jobs?batch=hostile")["jobs"][0]
    for tab in ("error", "log", "input"):
        go(signed_in, f"/all_job/{job['id']}?tab={tab}", f"Job {job['id']}")
        expect(signed_in.locator(".main")).to_contain_text("<script>alert(2)")
        assert signed_in.locator("img[src=x]").count() == 0
    go(signed_in, "/failures", "Failures")
    expect(signed_in.locator("main")).to_contain_text("onerror=alert")


def test_a_result_that_is_a_picture_looks_like_one(signed_in: Page, api: Api) -> None:
    job = api("GET", "jobs?batch=charts")["jobs"][0]
    go(signed_in, f"/all_job/{job['id']}", f"Job {job['id']}")
    picture = signed_in.locator("img.picture")
    expect(picture).to_be_visible()
    assert picture.evaluate("async (one) => { await one.decode(); return one.naturalWidth }") == 120
    signed_in.get_by_text("HTML", exact=True).click()
    frame = signed_in.frame_locator("iframe")
    expect(frame.locator("td").nth(1)).to_have_text("0")
    assert "allow-scripts" not in (signed_in.locator("iframe").get_attribute("sandbox") or "")
    assert frame.locator("script").count() == 0
    assert frame.locator("img, a[href], form, iframe, style, meta[http-equiv]").count() == 0
    signed_in.get_by_text("PNG", exact=True).click()
    assert picture.evaluate("async (one) => { await one.decode(); return one.naturalWidth }") == 1
    signed_in.get_by_text("MARKDOWN", exact=True).click()
    expect(frame.locator("h1")).to_contain_text("Squares of <b>")
    expect(frame.locator("td").nth(1)).to_have_text("9")
    signed_in.get_by_text("CSV", exact=True).click()
    expect(signed_in.get_by_role("cell", name="4", exact=True)).to_be_visible()
    expect(signed_in.get_by_role("cell", name="<img src=x onerror=alert(1)>")).to_be_visible()
    assert signed_in.locator("img[src=x]").count() == 0
    signed_in.get_by_text("JSON", exact=True).click()
    expect(signed_in.get_by_role("tabpanel", name="Result").locator(".tree")).to_contain_text(HOSTILE[:20])
    assert "taken" not in signed_in.title()


def test_submit_a_copy_with_other_arguments_and_many_from_a_file(signed_in: Page, api: Api) -> None:
    job = api("GET", "jobs?batch=holiday-pictures")["jobs"][0]
    go(signed_in, f"/all_job/{job['id']}", f"Job {job['id']}")
    signed_in.get_by_role("button", name="Copy and edit").click()
    signed_in.get_by_text("JSON", exact=True).click()
    signed_in.get_by_label("kwargs").fill('{"picture": "other.jpg", "width": 99}')
    signed_in.locator("[data-test=submit-run]").click()
    expect(signed_in.locator("h1")).not_to_have_text(f"Job {job['id']}")
    signed_in.get_by_role("tab", name="Input").click()
    expect(signed_in.locator(".tree").first).to_contain_text("other.jpg")

    go(signed_in, "/all_job?job_type=resize", "Jobs")
    signed_in.get_by_role("button", name="Submit jobs").click()
    signed_in.get_by_text("CSV or JSON Lines", exact=True).click()
    rows = "picture,width\n" + "".join(f"p{n}.jpg,{n}\n" for n in range(12))
    signed_in.locator("input[type=file]").set_input_files(
        {"name": "pictures.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    )
    expect(signed_in.get_by_text("12 jobs", exact=True)).to_be_visible()
    signed_in.get_by_role("dialog").get_by_label("Batch").fill("from-a-file")
    signed_in.locator("[data-test=submit-run]").click()
    expect(signed_in).to_have_url(re.compile(r"batch=from-a-file"))
    expect(signed_in.locator("tr[data-job]")).to_have_count(12)


def test_new_jobs_appear_without_a_reload(signed_in: Page, api: Api) -> None:
    go(signed_in, "/all_job?batch=appearing", "Jobs")
    expect(signed_in.get_by_text("Nothing matches", exact=True)).to_be_visible()
    sights.send(api, "crawl", "appearing", [{"url": "a"}])
    expect(signed_in.locator("tr[data-job]")).to_have_count(1, timeout=15_000)
    expect(signed_in.locator("tr[data-job]")).to_contain_text("done", timeout=60_000)


def _choose(page: Page, menu: str, item: str) -> None:
    """From a menu that opens below its button."""
    page.get_by_role("button", name=menu, exact=True).click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def test_a_view_is_kept_chosen_and_forgotten(signed_in: Page) -> None:
    go(signed_in, "/all_job?batch=news&status=failed&size=20", "Jobs")
    _choose(signed_in, "Views", "Keep this view")
    signed_in.get_by_role("dialog").get_by_label("Name of the view").fill("Broken news")
    signed_in.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(signed_in.get_by_role("button", name="Broken news", exact=True)).to_be_visible()
    go(signed_in, "/all_job", "Jobs")
    signed_in.reload()
    signed_in.get_by_role("button", name="Views", exact=True).click()
    signed_in.get_by_role("menuitem", name="Broken news").get_by_text("Broken news").click()
    expect(signed_in).to_have_url(re.compile(r"batch=news.*status=failed|status=failed.*batch=news"))
    expect(signed_in.locator("tr[data-job]")).to_have_count(8)
    signed_in.get_by_role("button", name="Broken news", exact=True).click()
    signed_in.get_by_role("button", name="Forget the view Broken news").click()
    expect(signed_in.get_by_role("button", name="Views", exact=True)).to_be_visible()


def test_waiting_jobs_get_another_priority(signed_in: Page, api: Api) -> None:
    wanted = [{"args": [], "kwargs": {"url": "a"}}] * 3
    first = api("POST", "jobs", job_type="crawl", batch="later", tag="nobody-has-this", inputs=wanted)["first_id"]
    go(signed_in, "/all_job?batch=later", "Jobs")
    expect(signed_in.locator("tr[data-job]")).to_have_count(3)
    signed_in.get_by_role("checkbox", name="Choose this page").check()
    signed_in.get_by_role("button", name="Choose all 3 that match").click()
    signed_in.get_by_role("toolbar").get_by_role("button", name="Priority").click()
    dialog = signed_in.get_by_role("dialog", name="Change the priority")
    expect(dialog).to_contain_text("3 waiting jobs get this priority")
    dialog.get_by_label("Priority").fill("12")
    dialog.locator("[data-test=bulk-run]").click()
    expect(dialog).to_contain_text("3 jobs have the new priority")
    assert [api("GET", f"jobs/{first + n}")["priority"] for n in range(3)] == [12, 12, 12]
    api("POST", "jobs/bulk", action="kill", filter={"batch": "later"})


def test_what_is_chosen_or_matches_is_exported(signed_in: Page) -> None:
    go(signed_in, "/all_job?batch=news", "Jobs")
    with signed_in.expect_download() as download:
        _choose(signed_in, "Export", "CSV")
    table = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert len(table) == 40
    assert sum("no route to host" in row["error"] for row in table) == 8
    signed_in.locator("tr[data-job] input[type=checkbox]").nth(0).check()
    signed_in.locator("tr[data-job] input[type=checkbox]").nth(1).check()
    with signed_in.expect_download() as download:
        signed_in.get_by_role("toolbar").get_by_role("button", name="JSONL").click()
    rows = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert len(rows) == 2
    assert {row["status"] for row in rows} <= {"done", "failed"}
    assert all(row["result"] or row["error"] for row in rows)


def test_why_a_job_waits_and_what_it_said_stand_in_its_row(signed_in: Page, api: Api) -> None:
    def told(route: Route) -> None:
        answer = route.fetch()
        page = answer.json()
        for job in page["jobs"]:
            job["excerpt"] = HOSTILE
            job |= {"status": 0, "reason": "", "waiting_because": {"code": "no_tag", "text": "no machine carries it"}}
        page["jobs"][0] |= {"status": 1, "progress": {"n": 3, "total": 4, "eta_s": 5, "at": 1}}
        route.fulfill(response=answer, json=page)

    signed_in.route("**/api/v1/jobs?*", told)
    go(signed_in, "/all_job?batch=charts,hostile", "Jobs")
    expect(signed_in.get_by_role("cell", name="No machine carries its tag").first).to_contain_text("<script>alert(2)")
    expect(signed_in.get_by_role("img", name="3 / 4, 5 s left")).to_be_visible()
    assert signed_in.locator("img[src=x]").count() == 0


def test_the_command_on_the_machine_does_what_the_attempt_did(signed_in: Page, api: Api) -> None:
    first = sights.send(api, "crawl", "by hand", [{"url": "it's by hand"}])
    wait.until(lambda: api("GET", f"jobs/{first}")["status"] == 3, what="the job's result", timeout_s=60)
    job = api("GET", f"jobs/{first}")
    go(signed_in, f"/all_job/{job['id']}?tab=input", f"Job {job['id']}")
    block = signed_in.get_by_role("tabpanel", name="Input").locator("pre", has_text="python3 -B")
    expect(block).to_contain_text("/versions/crawl/0-")
    machine = next(one for one in api("GET", "machines")["machines"] if one["machine_id"] == job["machine_id"])
    login, *commands = block.inner_text().splitlines()
    assert login == f"ssh -p {machine['port']} {machine['user']}@{machine['address']}"
    done = subprocess.run(["sh", "-ec", "\n".join(commands)], check=True, capture_output=True, text=True, timeout=60)
    assert "fetching it's by hand" in done.stdout
