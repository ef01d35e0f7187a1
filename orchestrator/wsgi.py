"""A further web process beside ``mj up``, on the same database: the page and the API, for gunicorn and its kin.

    MJ_HOME=/srv/multijob gunicorn --threads 32 'orchestrator.wsgi:application()'

It takes no lead and reaches no machine; what it stores, the active server hears of within a second or two. Its home
holds the same secret and settings as the server's. Where it listens is said to gunicorn, not here.
"""

import logging
from importlib.metadata import version

from flask import Flask

from jobs.service import JobService
from orchestrator import timing
from orchestrator.config import load
from orchestrator.errors import UserError
from orchestrator.leader import compare_secret, open_store
from web.accounts import Accounts
from web.app import WebOptions, create_app
from web.rooms import LOOPBACK_NAMES

log = logging.getLogger(__name__)


def application() -> Flask:
    """The app, on its own connections. Called once in each process. Raises UserError."""
    settings = load()
    if not settings.auth:
        raise UserError("auth: a further web process may listen anywhere, so it cannot be off; remove auth: false")
    store = open_store(settings)
    service = JobService(store, settings.home / "jobs", settings.home / "cache", timezone=settings.zone)
    service.backoff = timing.of_jobs(settings)
    compare_secret(service, settings.secret, ours=False)
    options = WebOptions(
        allowed_hosts=LOOPBACK_NAMES | {settings.host, *settings.allowed_hosts},
        auth=settings.auth,
        secure_cookies=settings.behind_tls_proxy,
        version=version("multijob-server"),
        retention=timing.of_retention(settings),
        waiting_requests=settings.threads // 2,
    )
    return create_app(service, Accounts(service, settings.secret), options)
