"""Put the page and the API together behind one guarded door. Wires blueprints and guards; does nothing itself."""

import threading

from flask import Flask

from jobs.service import JobService
from web import api, gate, multi_job, page, problems
from web.accounts import Accounts
from web.rooms import Rooms, WebOptions, furnish

__all__ = ["WebOptions", "create_app"]

#: Of every body but uploaded code, which has its own limit (B9).
_BODY_LIMIT_BYTES = 16 * 1024 * 1024


def create_app(service: JobService, accounts: Accounts, options: WebOptions | None = None) -> Flask:
    """The app that people, the SDK and the CLI talk to."""
    options = options or WebOptions()
    app = Flask("web", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _BODY_LIMIT_BYTES
    app.url_map.merge_slashes = False
    app.url_map.converters["id"] = api.IdConverter
    waiting = threading.BoundedSemaphore(options.waiting_requests)
    furnish(app, Rooms(service=service, accounts=accounts, options=options, waiting=waiting))
    problems.install(app)
    gate.install(app)
    page.install(app)
    api.install(app)
    multi_job.install(app)
    gate.check_marks(app)
    return app
