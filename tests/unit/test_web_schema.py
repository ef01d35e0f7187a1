"""Schemathesis on the OpenAPI document: whatever fits it or does not, nothing breaks and nothing wrong is taken.

Two minutes at most for all operations together; MJ_FUZZ_S=600 looks longer (``make fuzz``).
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest
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

from tests.support.fuzzing import ENDLESS, SAME_EACH_TIME, House, a_house, bearer, told, unsaid
from web import gate

EXAMPLES = 15
#: Looks at an operation in one way or another, about.
SHARES = 200


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with a_house(tmp_path_factory.mktemp("home")) as house:
        yield house


def operations(house: House) -> list[Any]:
    found = [result.ok() for result in house.schema().get_all_operations()]
    return [operation for operation in found if operation.path not in ENDLESS]


def explore(house: House, operation: Any, mode: GenerationMode, examples: int, check: Any) -> None:
    """Many cases of one operation, for its share of the time that is left."""
    share_s = max(0.2, (house.ends_at - time.monotonic()) / SHARES)
    ends_at = time.monotonic() + share_s

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=SAME_EACH_TIME,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def look(case: Case) -> None:
        if time.monotonic() < ends_at and not unsaid(case):
            check(case)

    look()
    while not SAME_EACH_TIME and time.monotonic() < ends_at:  # new ones again and again: stopping is for in between
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
    headers = house.credentials()[who]
    for operation in operations(house):
        scope = operation.definition.raw.get("x-scope", "")
        if (operation.method.upper(), operation.path) in gate.PUBLIC:
            continue
        if who == "reader" and scope in ("", "read"):
            continue

        def refused(case: Case) -> None:
            assert 400 <= case.call(headers=headers).status_code < 500, case

        explore(house, operation, GenerationMode.POSITIVE, 3, refused)
