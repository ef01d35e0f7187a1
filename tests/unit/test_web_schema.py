"""Schemathesis on the OpenAPI document: whatever fits it or does not, nothing breaks and nothing wrong is taken.

Two minutes at most for all operations together; MJ_FUZZ_S=600 looks longer (``make fuzz``).
"""

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from jobs.service import JobService
from jobs.store import Store
from tests.support.store_kit import PLAIN_MAIN
from web import gate
from web.accounts import Accounts
from web.app import WebOptions, create_app

BUDGET_S = float(os.environ.get("MJ_FUZZ_S", "60"))
DOCUMENT = "/api/v1/openapi.json"
EXAMPLES = 15 if BUDGET_S <= 120 else 1000

#: Streams that do not end by themselves.
ENDLESS = {"/api/v1/events"}


class House:
    def __init__(self, service: JobService) -> None:
        self.app: Flask = create_app(service, Accounts(service, b"secret", monotonic=Jumping()), WebOptions())
        self.token = service.create_token("fuzz", ["admin"])
        self.reader = service.create_token("reader", ["read"])
        self.ends_at = time.monotonic() + BUDGET_S

    def schema(self) -> Any:
        return schemathesis.openapi.from_wsgi(DOCUMENT, self.app, headers=bearer(self.token))


class Jumping:
    """A clock on which wrong credentials are never many at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 61.0
        return self.now


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@schemathesis.serializer("application/zip")
def as_zip(_ctx: object, value: Any) -> bytes:
    """Whatever was thought of, as the bytes of an upload."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("home")
    (folder / "source").mkdir()
    (folder / "source" / "main.py").write_text(PLAIN_MAIN)
    store = Store.open(f"sqlite:///{folder}/multijob.db")
    service = JobService(store, folder / "jobs", folder / "cache")
    service.publish_folder("new_job", folder / "source")
    yield House(service)
    store.close()


def operations(house: House) -> list[Any]:
    found = [result.ok() for result in house.schema().get_all_operations()]
    return [operation for operation in found if operation.path not in ENDLESS]


def unsaid(case: Case) -> bool:
    """Whether a wrong value would not be sent at all: an empty object or list in a query is nothing."""
    return any(value in ({}, []) for value in (case.query or {}).values())


def explore(house: House, operation: Any, mode: GenerationMode, examples: int, check: Any) -> None:
    """Many cases of one operation, for its share of the time that is left."""
    share_s = max(0.2, (house.ends_at - time.monotonic()) / 100)
    ends_at = time.monotonic() + share_s

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize="MJ_FUZZ_S" not in os.environ,  # the same cases each time; who fuzzes wants new ones
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def look(case: Case) -> None:
        if time.monotonic() < ends_at and not unsaid(case):
            check(case)

    look()


def test_the_document_names_every_route_of_the_api(house: House) -> None:
    assert len(operations(house)) > 30


def test_what_fits_and_what_does_not_breaks_nothing(house: House) -> None:
    wrong: list[str] = []
    for operation in operations(house):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                explore(house, operation, mode, EXAMPLES, lambda case: conforms(case, bearer(house.token)))
            except Unsatisfiable:  # nothing about this one can be wrong
                continue
            except (FailureGroup, Failure) as error:  # all are collected, so that one run shows all
                wrong.append(f"{operation.label} ({mode}): {told(error)}")
    assert not wrong, "\n\n".join(wrong)


def told(error: BaseException) -> str:
    """What went wrong, without the frames."""
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else [error]
    return "\n".join(f"{part}: {getattr(part, 'message', '')}"[:500] for part in parts)


def conforms(case: Case, headers: dict[str, str]) -> None:
    response = case.call(headers=headers)
    case.validate_response(
        response,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
            negative_data_rejection,
        ],
    )


@pytest.mark.parametrize("who", ["nobody", "garbage", "reader"])
def test_without_the_right_credential_nothing_is_done(house: House, who: str) -> None:
    """Not one 2xx where the credential does not reach, whatever is sent."""
    headers = {"nobody": {}, "garbage": bearer("mj_" + "x" * 43), "reader": bearer(house.reader)}[who]
    for operation in operations(house):
        scope = operation.definition.raw.get("x-scope", "")
        if (operation.method.upper(), operation.path) in gate.PUBLIC:
            continue
        if who == "reader" and scope in ("", "read"):
            continue

        def refused(case: Case) -> None:
            assert 400 <= case.call(headers=headers).status_code < 500, case

        explore(house, operation, GenerationMode.POSITIVE, 3, refused)
