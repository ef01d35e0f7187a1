"""A browser on the dashboard of a live server with real machines. Whatever a page logs, breaks or asks elsewhere fails.

The distribution's Chromium is used; nothing is downloaded.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

import hatch_build
from tests.browser.seeing import LAUNCH, Eyes
from tests.conftest import require
from tests.support import hosts as support_hosts
from tests.support import server, sights
from tests.support.server import RunningServer
from tests.support.sights import Api

#: Machines that run tests are busy.
expect.set_options(timeout=30_000)
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """The system's Chromium; skip, loudly, without it; on CI fail."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    require([] if path else ["chromium"])
    return {"executable_path": path, "args": LAUNCH}


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the dashboard as its sources are now, four machines, and jobs that have ended."""
    require(support_hosts.missing_tools())
    hatch_build.build(ROOT)
    home = tmp_path_factory.mktemp("dashboard") / "home"
    with support_hosts.running() as hosts:
        inventory = sights.furnish(hosts, home)
        with server.running(home, inventory) as running:
            api = Api(running)
            sights.publish(running, api)
            sights.settle(api)
            sights.submit(api)
            yield running


@pytest.fixture(scope="session")
def api(live: RunningServer) -> Api:
    """The same server, spoken to without a browser."""
    return Api(live)


@pytest.fixture(scope="session")
def base_url(live: RunningServer) -> str:
    return live.url


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return browser_context_args | {"locale": "en-GB", "viewport": {"width": 1280, "height": 860}}


@pytest.fixture
def eyes(context: BrowserContext, base_url: str) -> Iterator[Eyes]:
    """Watches every page of the test; afterwards there must have been nothing to complain about."""
    watching = Eyes(context, base_url)
    yield watching
    assert watching.complaints == []


@pytest.fixture
def signed_in(context: BrowserContext, live: RunningServer, eyes: Eyes) -> Iterator[Page]:
    """A page of somebody who may do everything."""
    sights.sign_in(context, live)
    page = context.new_page()
    yield page
    page.unroute_all(behavior="ignoreErrors")  # what a test answers in the server's place may be half-way
