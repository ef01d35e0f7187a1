"""What the tests that think of requests by the OpenAPI document share: the house, its credentials, how to tell."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import schemathesis
from flask import Flask

from jobs.service import JobService
from jobs.store import Store
from tests.support.store_kit import PLAIN_MAIN
from web.accounts import Accounts
from web.app import WebOptions, create_app

#: MJ_FUZZ_S=600 looks longer, and for new cases each time (``make fuzz``).
BUDGET_S = float(os.environ.get("MJ_FUZZ_S", "60"))
SAME_EACH_TIME = "MJ_FUZZ_S" not in os.environ
DOCUMENT = "/api/v1/openapi.json"
JOB_TYPE = "new_job"

#: Streams that do not end by themselves.
ENDLESS = {"/api/v1/events"}


class Jumping:
    """A clock on which wrong credentials are never many at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 61.0
        return self.now


class House:
    def __init__(self, service: JobService) -> None:
        self.app: Flask = create_app(service, Accounts(service, b"secret", monotonic=Jumping()), WebOptions())
        self._service = service
        self.token = service.create_token("fuzz", ["admin"])
        self.reader = service.create_token("reader", ["read"])
        self.ends_at = time.monotonic() + BUDGET_S

    def schema(self) -> Any:
        return schema_of(self.app, self.token)

    def credentials(self) -> dict[str, dict[str, str]]:
        """Who may not do everything, and how they would ask; whoever was revoked is let in anew."""
        self.token, self.reader = self._alive("fuzz", "admin", self.token), self._alive("reader", "read", self.reader)
        return {"nobody": {}, "garbage": bearer("mj_" + "x" * 43), "reader": bearer(self.reader)}

    def _alive(self, name: str, scope: str, text: str) -> str:
        if self._service.check_token(text) is not None:
            return text
        return self._service.create_token(f"{name}-{os.urandom(4).hex()}", [scope])


def schema_of(app: Any, token: str) -> Any:
    """What Schemathesis makes of the document."""
    return schemathesis.openapi.from_wsgi(DOCUMENT, app, headers=bearer(token))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@schemathesis.serializer("application/zip")
def as_zip(_ctx: object, value: Any) -> bytes:
    """Whatever was thought of, as the bytes of an upload."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@contextmanager
def a_house(folder: Path) -> Iterator[House]:
    """The real service with one job type, behind the real app."""
    (folder / "source").mkdir()
    (folder / "source" / "main.py").write_text(PLAIN_MAIN)
    store = Store.open(f"sqlite:///{folder}/multijob.db")
    service = JobService(store, folder / "jobs", folder / "cache")
    service.publish_folder(JOB_TYPE, folder / "source")
    yield House(service)
    store.close()


def unsaid(case: schemathesis.Case) -> bool:
    """Whether a wrong value would not be sent at all: an empty object or list in a query is nothing, and the
    credential that was thought of gives way to a real one.
    """
    nothing = any(value in ({}, []) for value in (case.query or {}).values())
    return nothing or "Authorization" in (case.headers or {}) or bool(case.cookies)


def told(error: BaseException) -> str:
    """What went wrong, without the frames."""
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else [error]
    return "\n".join(f"{part}: {getattr(part, 'message', '')}"[:500] for part in parts)
