"""Machines on the page: seen as they are, edited, paused, continued, looked over, trusted, added."""

from pathlib import Path

from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.seeing import go
from tests.support import sights, wait
from tests.support.server import RunningServer
from tests.support.sights import Api


def _card(page: Page, machine_id: str) -> Locator:
    return page.locator(f'article.machine[data-machine="{machine_id}"]')


def test_the_troubled_come_first_and_say_why(signed_in: Page) -> None:
    go(signed_in, "/machine_info", "Machines")
    expect(signed_in.locator("article.machine").first).to_contain_text("unreachable")
    expect(_card(signed_in, "gpu-box")).to_contain_text("SHA256:")
    expect(_card(signed_in, "lab-1")).to_contain_text("ready")


def test_name_tag_and_limit_are_edited(signed_in: Page, api: Api) -> None:
    go(signed_in, "/machine_info", "Machines")
    _card(signed_in, "attic").get_by_role("button", name="Edit").click()
    dialog = signed_in.get_by_role("dialog")
    dialog.get_by_label("Display name").fill("Under the roof")
    _refreshed(signed_in)
    dialog.get_by_label("Tag").fill("crawl，slow")
    dialog.get_by_label("Jobs at once").fill("7")
    dialog.locator("[data-test=machine-save]").click()
    expect(_card(signed_in, "attic")).to_contain_text("Under the roof", timeout=60_000)
    expect(_card(signed_in, "attic")).to_contain_text("slow", timeout=60_000)
    found = next(one for one in api("GET", "machines")["machines"] if one["machine_id"] == "attic")
    assert (found["name"], found["tags"], found["limit_process"]) == ("Under the roof", ["crawl", "slow"], 7)


def _refreshed(page: Page) -> None:
    """The page asks for the machines anew while somebody fills something in."""
    with page.expect_response(lambda answer: answer.url.endswith("/api/v1/machines"), timeout=60_000):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_pause_and_continue_and_close(signed_in: Page) -> None:
    go(signed_in, "/machine_info", "Machines")
    card = _card(signed_in, "lab-2")
    card.get_by_role("button", name="Pause").click()
    expect(card).to_contain_text("paused", timeout=60_000)
    card.get_by_role("button", name="Continue").click()
    expect(card).to_contain_text("ready", timeout=60_000)
    card.get_by_role("button", name="Close").click()
    signed_in.get_by_role("dialog").locator("[data-test=lever-run]").click()
    expect(card).to_contain_text("closed", timeout=30_000)
    card.get_by_role("button", name="Continue").click()
    expect(card).to_contain_text("ready", timeout=60_000)


def test_a_drained_machine_finishes_what_it_runs(
    signed_in: Page, api: Api, live: RunningServer, tmp_path: Path
) -> None:
    job = sights.hold(live, api, tmp_path / "go", "lab-2")
    go(signed_in, "/machine_info", "Machines")
    card = _card(signed_in, "lab-2")
    card.get_by_role("button", name="Drain").click()
    dialog = signed_in.get_by_role("dialog", name="Drain lab-2?")
    expect(dialog).to_contain_text("running ones finish")
    dialog.locator("[data-test=lever-run]").click()
    expect(card).to_contain_text("draining", timeout=60_000)
    expect(card.get_by_role("button", name="Drain")).not_to_be_visible()
    assert api("GET", f"jobs/{job}")["status"] == 1
    (tmp_path / "go").touch()
    expect(card).to_contain_text("closed", timeout=60_000)
    wait.until(lambda: api("GET", f"jobs/{job}")["status"] == 3, what="the job's result", timeout_s=60)
    ended = api("GET", f"jobs/{job}")
    assert (ended["result"], ended["starts"]) == ("let go", 1)
    card.get_by_role("button", name="Continue").click()
    expect(card).to_contain_text("ready", timeout=120_000)


def test_a_purge_tells_what_it_removed_and_the_machine_can_come_back(signed_in: Page, api: Api) -> None:
    machine = next(one for one in api("GET", "machines")["machines"] if one["machine_id"] == "lab-2")
    ours = Path(machine["root"]) / api("GET", "server")["server_id"]
    assert ours.is_dir()
    go(signed_in, "/machine_info/lab-2", "lab-2")
    signed_in.get_by_role("button", name="Purge").click()
    dialog = signed_in.get_by_role("dialog", name="Remove everything of ours from lab-2?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).not_to_be_visible()
    assert ours.is_dir()
    signed_in.get_by_role("button", name="Purge").click()
    dialog.get_by_role("button", name="Purge").click()
    expect(signed_in.locator(".steps")).to_contain_text("were removed from", timeout=120_000)
    expect(signed_in.locator("article.machine")).to_contain_text("closed", timeout=60_000)
    assert not ours.exists()
    signed_in.get_by_role("button", name="Continue").click()
    expect(signed_in.locator("article.machine")).to_contain_text("ready", timeout=120_000)


def test_the_doctor_goes_step_by_step_and_a_key_is_accepted(signed_in: Page) -> None:
    go(signed_in, "/machine_info/gpu-box", "gpu-box")
    signed_in.get_by_role("button", name="Look it over").click()
    expect(signed_in.locator(".steps")).to_contain_text("Host key", timeout=60_000)
    signed_in.get_by_role("button", name="The fingerprint is right: accept").click()
    expect(signed_in.locator("article.machine")).to_contain_text("ready", timeout=60_000)


def test_a_machine_is_added(signed_in: Page, api: Api) -> None:
    go(signed_in, "/machine_info", "Machines")
    signed_in.get_by_role("button", name="Add a machine").click()
    dialog = signed_in.get_by_role("dialog")
    dialog.get_by_label("Address, as for ssh").fill("me@127.0.0.1:9")
    dialog.get_by_label("Name in inventory.yml").fill("new-one")
    dialog.get_by_role("button", name="Look it over and add").click()
    expect(dialog.locator(".steps")).to_contain_text("Network", timeout=60_000)
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).not_to_be_visible()


def test_the_environments_of_a_machine_are_listed(signed_in: Page) -> None:
    def told(route: Route) -> None:
        answer = route.fetch()
        page = answer.json()
        built = {"digest": "0123456789abcdef", "python": "3.11.2", "size_bytes": 12_000_000, "used_at": 1_700_000_000}
        for machine in page["machines"]:
            machine["environments"] = [
                built | {"state": "ready", "job_types": ["crawl"], "why": None},
                built | {"digest": "f" * 16, "state": "failed", "job_types": [], "why": "<b>no wheel</b> for numpy"},
            ]
        route.fulfill(response=answer, json=page)

    signed_in.route("**/api/v1/machines", told)
    go(signed_in, "/machine_info/lab-1", "lab-1")
    section = signed_in.locator("[data-test=environments]")
    expect(section.get_by_role("row")).to_have_count(3)
    expect(section).to_contain_text("Python 3.11.2 0123456789ab")
    expect(section).to_contain_text("failed · <b>no wheel</b> for numpy")
    expect(section.get_by_role("link", name="crawl")).to_be_visible()
