"""API v1: JSON over HTTP, by noun. Views parse, call one method of the service, and answer; nothing else."""

from flask import Flask

from web.api import job_types, jobs, machines, results, server, sessions, tokens
from web.api.asking import IdConverter

__all__ = ["IdConverter", "install"]


def install(app: Flask) -> None:
    """Hang all nouns below /api/v1."""
    for noun in (jobs, results, job_types, machines, server, sessions, tokens):
        app.register_blueprint(noun.blueprint, url_prefix="/api/v1")
    app.add_url_rule("/healthz", "healthz", server.healthz, methods=["GET"])
