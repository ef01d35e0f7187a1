"""Looks at a page as its browser does: what it complains about, what it asks elsewhere, what axe finds."""

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect

AXE = Path(__file__).parent.parent.parent / "web" / "ui" / "node_modules" / "axe-core" / "axe.min.js"
#: How the system's Chromium is started: without a sandbox of its own, without asking anybody anything.
LAUNCH = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Said by the browser about requests that a test makes fail on purpose.
EXPECTED = re.compile(
    r"Failed to load resource: (the server responded with a status of (401|404|409|422|503)|net::ERR_)"
)
#: A policy that is broken is said on the console; this makes sure that it is.
_TELL = "document.addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective))"


#: Asked for as soon as a job runs; until something was printed there may be none.
NO_LOG_YET = re.compile(r"/api/v1/jobs/\d+/log\?.*offset=")
#: Said when this machine's network interfaces change; the page asks again by itself.
UNRELATED = "net::ERR_NETWORK_CHANGED"


class Eyes:
    """Hears everything that the pages of a browser say. ``complaints`` must stay empty."""

    def __init__(self, context: BrowserContext, base_url: str) -> None:
        self.complaints: list[str] = []
        #: Set by tests in which requests are meant to fail.
        self.expects_failures = False
        self._base_url = base_url
        context.add_init_script(_TELL)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.complaints.append(f"error: {error.error}"))
        context.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning") or UNRELATED in message.text:
            return
        if "status of 404" in message.text and NO_LOG_YET.search(str(message.location.get("url", ""))):
            return
        if not (self.expects_failures and EXPECTED.search(message.text)):
            self.complaints.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._base_url, "data:", "blob:")):
            self.complaints.append(f"asked elsewhere: {request.url}")


def go(page: Page, route: str, title: str | None = None) -> None:
    """Open a page of the dashboard and wait until it is there."""
    page.goto(f"/#{route}")
    heading = page.locator("h1").first
    expect(heading).to_be_visible(timeout=30_000)
    if title is not None:
        expect(heading).to_have_text(title)


def accuse(page: Page) -> list[str]:
    """What axe finds serious or critical."""
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]
