"""Schemathesis walking from answer to answer by the links of the OpenAPI document, as an admin; at each step everybody
who may not take it tries first, with the same ids and bodies, and gets nothing.

Less than a minute; MJ_FUZZ_S=600 looks longer (``make fuzz``).
"""

import io
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

from tests.support.fuzzing import (
    BUDGET_S,
    ENDLESS,
    JOB_TYPE,
    SAME_EACH_TIME,
    House,
    a_house,
    bearer,
    schema_of,
    told,
    unsaid,
)
from tests.support.store_kit import PLAIN_MAIN
from web import gate

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    use_after_free,
]
#: Walks in one go, and steps of each.
WALKS = 6
STEPS = 15
#: So many operations must have succeeded at least, those that take an id or a name among them: the document may change,
#: and then other walks are taken.
REACHED = 15
REACHED_BY_ID = 5


def a_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", PLAIN_MAIN)
    return buffer.getvalue()


#: Of a body that fits the document, what the server would take of it: the document cannot say what there is.
PLAUSIBLE: dict[str, dict[str, Any]] = {
    "POST /api/v1/jobs": {"job_type": JOB_TYPE, "batch": "b", "tag": "", "inputs": [{"args": [1]}, {}]},
    "POST /api/v1/jobs/bulk": {"action": "rerun", "filter": {"job_type": JOB_TYPE}, "ids": None, "expect": None},
    "POST /api/v1/tokens": {"scopes": ["read"]},
    "POST /api/v1/users": {"scopes": ["submit"], "password": "four plain words here"},
    "PATCH /api/v1/users/{name}": {"scopes": ["read"], "password": "five other plain words"},
    "POST /jobs/insert_job": {"job_type": JOB_TYPE, "input_data": [{"args": []}], "batch": "b", "tag": ""},
}


def made_plausible(case: Case, number: int) -> bool:
    """Turn two of three good cases into ones that can succeed; whether this is such a one."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE or number % 3 == 0:
        return False
    label = case.operation.label
    if label == "POST /api/v1/job_types/{job_type}/versions":
        case.body = a_zip()
    if isinstance(case.body, dict):
        wanted = PLAUSIBLE.get(label, {})
        case.body = {name: one for name, one in {**case.body, **wanted}.items() if one is not None}
        if "name" in case.body and label in PLAUSIBLE:
            case.body["name"] = f"somebody-{number}"
    return True


class Seen:
    """What a run has come across; failures are collected, so that one run shows all."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.wrong: dict[str, str] = {}

    def reached(self) -> set[str]:
        return {label for label, status in self.answers if status < 300}


class Street:
    """Always the same house, new for each walk: what a walk meets may depend on nothing but its own steps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._leave = ExitStack()
        self.house = self.move()

    def move(self) -> House:
        """Into a new one."""
        self._leave.close()
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        self.house = self._leave.enter_context(a_house(folder))
        jobs = {"job_type": JOB_TYPE, "batch": "b", "inputs": [{"args": [1]}, {}]}
        self.house.app.test_client().post("/api/v1/jobs", json=jobs, headers=bearer(self.house.token))
        return self.house

    def __call__(self, environ: Any, start: Any) -> Any:
        return self.house.app(environ, start)

    def close(self) -> None:
        self._leave.close()


def walker(street: Street, seen: Seen, modes: list[GenerationMode]) -> Any:
    """A state machine over these houses."""
    schema = schema_of(street, street.house.token).exclude(path=sorted(ENDLESS))
    schema.config.generation.update(modes=modes)

    class Walk(schema.as_state_machine()):  # type: ignore[misc] # made at run time
        def setup(self) -> None:
            self.house = street.move()
            self.steps = 0

        def before_call(self, case: Case) -> None:
            self.steps += 1
            self.plausible = made_plausible(case, self.steps)

        def call(self, case: Case, **kwargs: Any) -> Any:
            others = self.house.credentials()
            for who in kept_out(case):
                answer = case.call(headers=others[who])
                if answer.status_code not in (401, 403) and not unheard(answer):
                    story = f"{answer.status_code} {case.path_parameters} {case.body!r}"
                    seen.wrong[f"{case.operation.label} as {who}"] = story
            return case.call(headers=bearer(self.house.token))

        def after_call(self, response: Any, case: Case) -> None:
            seen.answers[case.operation.label, response.status_code] += 1

        def validate_response(self, response: Any, case: Case, **kwargs: Any) -> None:
            sent_as_meant = not (self.plausible or unsaid(case))
            checks = [check for check in CHECKS if sent_as_meant or check is not negative_data_rejection]
            try:
                case.validate_response(response, checks=checks, headers=bearer(self.house.token))
            except (Failure, FailureGroup) as error:
                seen.wrong[case.operation.label] = told(error)

    return Walk


def unheard(answer: Any) -> bool:
    """Whether no view was asked: there is no such path, or the address was refused as it is."""
    return answer.status_code == 400 or "The requested URL was not found" in answer.text


def kept_out(case: Case) -> list[str]:
    """Who must be refused before anything is looked at."""
    operation = case.operation
    if (operation.method.upper(), operation.path) in gate.PUBLIC:
        return []
    readers = operation.definition.raw.get("x-scope") in (None, "read")
    return ["nobody", "garbage"] if readers else ["nobody", "garbage", "reader"]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    made = Street(tmp_path)
    yield made
    made.close()


def test_walks_along_the_links_break_nothing_and_open_nothing(street: Street) -> None:
    seen, ends_at = Seen(), time.monotonic() + BUDGET_S / 2
    how = settings(
        max_examples=WALKS,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=SAME_EACH_TIME,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    while True:
        for modes in ([GenerationMode.POSITIVE], [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]):
            walker(street, seen, modes).run(settings=how)
        if SAME_EACH_TIME or time.monotonic() > ends_at:
            break
    assert not seen.wrong, "\n\n".join(f"{label}: {text}" for label, text in seen.wrong.items())
    reached = seen.reached()
    assert len(reached) >= REACHED, sorted(reached)
    assert len([label for label in reached if "{" in label]) >= REACHED_BY_ID, sorted(reached)
