"""API v1: JSON over HTTP, by noun. Views parse, call one method of the service, and answer; nothing else."""

from flask import Flask

from web.api import (
    activity,
    batches,
    commands,
    downloads,
    events,
    failures,
    functions,
    home,
    job_types,
    jobs,
    machines,
    operations,
    reference,
    results,
    server,
    sessions,
    signatures,
    timeline,
    tokens,
    users,
)
from web.api.asking import IdConverter

__all__ = ["IdConverter", "install"]


def install(app: Flask) -> None:
    """Hang all nouns below /api/v1."""
    for noun in (
        jobs,
        operations,
        results,
        job_types,
        functions,
        machines,
        server,
        sessions,
        tokens,
        users,
        commands,
        home,
        failures,
        batches,
        timeline,
        activity,
        events,
        downloads,
        signatures,
        reference,
    ):
        app.register_blueprint(noun.blueprint, url_prefix="/api/v1")
    app.add_url_rule("/healthz", "healthz", server.healthz, methods=["GET"])
