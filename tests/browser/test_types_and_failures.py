"""Job types, failures, batches and people on the page: publish, compare, go back, delete; rerun, mute; tokens."""

import io
import zipfile

from playwright.sync_api import Page, expect

from tests.browser.seeing import go
from tests.support.server import RunningServer
from tests.support.sights import Api


def _zip(main: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("main.py", main)
    return file.getvalue()


def test_a_type_is_added_from_the_servers_folder(signed_in: Page, live: RunningServer) -> None:
    live.job("from_folder", main="def work(): return 1\n")
    go(signed_in, "/job_type", "Job types")
    signed_in.locator("[data-test=add-type]").click()
    dialog = signed_in.get_by_role("dialog")
    dialog.get_by_role("combobox", name="Type").click()
    signed_in.get_by_role("option", name="from_folder").click()
    dialog.locator("[data-test=publish-run]").click()
    expect(signed_in.locator("h1")).to_have_text("from_folder@0")


def test_versions_are_uploaded_compared_taken_back_and_deleted(signed_in: Page, api: Api) -> None:
    for number, main in enumerate(("def work(): return 1\n", "def work(): return 2\n")):
        go(signed_in, "/job_type", "Job types")
        signed_in.locator("[data-test=add-type]").click()
        dialog = signed_in.get_by_role("dialog")
        dialog.get_by_text("zip", exact=True).click()
        upload = {"name": "uploaded.zip", "mimeType": "application/zip", "buffer": _zip(main)}
        dialog.locator("input[type=file]").set_input_files(upload)
        dialog.locator("[data-test=publish-run]").click()
        expect(signed_in.locator("h1")).to_have_text(f"uploaded@{number}")
    signed_in.get_by_role("button", name="Compare").first.click()
    expect(signed_in.locator(".minus")).to_contain_text("return 1")
    expect(signed_in.locator(".plus")).to_contain_text("return 2")
    signed_in.get_by_role("button", name="Go back to this").click()
    signed_in.get_by_role("dialog").get_by_role("button", name="Go back to this").click()
    expect(signed_in.locator("h1")).to_have_text("uploaded@2")
    with signed_in.expect_download() as download:
        signed_in.get_by_role("link", name="Download").first.click()
    assert zipfile.ZipFile(download.value.path()).read("main.py") == b"def work(): return 1\n"
    signed_in.get_by_role("button", name="Delete").click()
    signed_in.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(signed_in.locator("h1")).to_have_text("Job types")
    assert "uploaded" not in [one["job_type"] for one in api("GET", "job_types")["job_types"]]


def test_a_group_of_failures_is_muted_and_rerun_elsewhere(signed_in: Page) -> None:
    go(signed_in, "/failures", "Failures")
    group = signed_in.locator("article.group").filter(has_text="no route to host for <url>")
    group.get_by_role("button").first.click()
    expect(group).to_contain_text("your code")
    group.get_by_role("button", name="Mute until the next version").click()
    expect(group).to_contain_text("muted")
    group.get_by_role("button", name="Unmute").click()
    expect(group).not_to_contain_text("muted")
    group.get_by_role("button", name="Rerun elsewhere").click()
    dialog = signed_in.get_by_role("dialog", name="Rerun jobs elsewhere")
    expect(dialog).to_contain_text("8 jobs will be rerun")
    dialog.get_by_role("button", name="Cancel").click()


def test_a_batch_shows_who_did_it_and_is_exported(signed_in: Page) -> None:
    go(signed_in, "/job_batch/holiday-pictures", "holiday-pictures")
    expect(signed_in.get_by_text("By machine")).to_be_visible()
    with signed_in.expect_download() as download:
        signed_in.get_by_role("button", name="CSV").click()
    assert len(download.value.path().read_text().splitlines()) >= 61


def test_a_batchs_report_is_one_file_that_runs_nothing(signed_in: Page, api: Api) -> None:
    go(signed_in, "/job_batch/hostile", "hostile")
    with signed_in.expect_download() as download:
        signed_in.get_by_role("button", name="Report").click()
    assert download.value.suggested_filename == "hostile.html"
    html = download.value.path().read_text()
    assert "<script" not in html
    assert "<img" not in html
    assert "ConnectionError: no route to host for broken &lt;img src=x onerror=alert(1)&gt;" in html


def test_a_dry_run_goes_to_the_machine_that_was_chosen(signed_in: Page, api: Api) -> None:
    go(signed_in, "/job_type/crawl", "crawl@0")
    signed_in.get_by_role("button", name="Dry run").click()
    dialog = signed_in.get_by_role("dialog", name="Dry run")
    dialog.get_by_label("url").fill("tried")
    dialog.get_by_role("combobox", name="Machine").click()
    signed_in.get_by_role("option", name="lab-2").click()
    dialog.locator("[data-test=submit-run]").click()
    expect(signed_in.locator("h1")).to_contain_text("Job ")
    expect(signed_in.locator(".page-head")).to_contain_text("done", timeout=60_000)
    job = api("GET", "jobs?batch=dry-run")["jobs"][0]
    assert (job["machine_id"], job["limit_count"]) == ("lab-2", 0)
    assert "lab-1" in api("GET", f"jobs/{job['id']}")["avoid"]


def test_the_timeline_is_drawn(signed_in: Page) -> None:
    go(signed_in, "/timeline?last=3600", "Timeline")
    canvas = signed_in.locator("canvas")
    expect(canvas).to_be_visible()
    coloured = """(one) => { const data = one.getContext('2d').getImageData(0, 0, one.width, one.height).data;
        let n = 0; for (let at = 0; at < data.length; at += 4) if (data[at] === 25 && data[at + 1] === 190) n += 1;
        return n }"""
    assert canvas.evaluate(coloured) > 20
    signed_in.get_by_text("Heat-map", exact=True).click()
    signed_in.get_by_role("button", name="Zoom in").click()
    expect(canvas).to_be_visible()


def test_tokens_are_made_once_shown_and_revoked(signed_in: Page) -> None:
    go(signed_in, "/settings", "Settings")
    signed_in.get_by_label("Name", exact=True).first.fill("crawler")
    signed_in.get_by_role("button", name="Make a token").click()
    expect(signed_in.get_by_text("This is shown once")).to_be_visible()
    row = signed_in.get_by_role("row").filter(has_text="crawler")
    row.get_by_role("button", name="Revoke").click()
    signed_in.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")


def test_what_is_kept_is_said(signed_in: Page) -> None:
    go(signed_in, "/settings", "Settings")
    expect(signed_in.locator("[data-test=retention]")).to_contain_text("Finished jobs are kept for ever.")


def test_what_was_done_stands_in_the_activity(signed_in: Page, api: Api) -> None:
    api("PATCH", "machines/attic", name="Attic")
    go(signed_in, "/activity", "Activity")
    expect(signed_in.get_by_role("row").filter(has_text="change a machine").first).to_contain_text("attic")
