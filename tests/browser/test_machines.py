"""Machines on the page: seen as they are, edited, paused, continued, looked over, trusted, added."""

from playwright.sync_api import Locator, Page, expect

from tests.browser.seeing import go
from tests.support.sights import Api


def _card(page: Page, name: str) -> Locator:
    return page.locator("article.machine").filter(has=page.get_by_role("link", name=name, exact=True))


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
    dialog.get_by_label("Tag").fill("crawl，slow")
    dialog.get_by_label("Jobs at once").fill("7")
    dialog.locator("[data-test=machine-save]").click()
    expect(_card(signed_in, "Under the roof")).to_contain_text("slow", timeout=60_000)
    found = next(one for one in api("GET", "machines")["machines"] if one["machine_id"] == "attic")
    assert (found["name"], found["tags"], found["limit_process"]) == ("Under the roof", ["crawl", "slow"], 7)


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
