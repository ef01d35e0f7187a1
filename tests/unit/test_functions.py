"""The built-in job types for functions: what is in them, who may use them, and that the server opens no pickle."""

import base64
import importlib.util
import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from jobs import functions
from jobs.errors import InvalidInput
from jobs.functions import UNUSED_KEPT_S
from jobs.outcomes import from_records
from jobs.rules import OpenJob, settle
from jobs.status import Reason, Status
from multijob import Result, payload
from remote_runner import call, failure
from remote_runner.protocol import Record
from tests.support.store_kit import PLAIN_MAIN, Room, a_room, failed
from web.accounts import Accounts
from web.app import create_app

HERE = "{}.{}".format(*sys.version_info[:2])
BOMB = b"cos\nabort\n."  # unpickled, it would end this process


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as made:
        yield made


@pytest.fixture
def client(room: Room) -> FlaskClient:
    return create_app(room.service, Accounts(room.service, b"s")).test_client()


def ask(client: FlaskClient, token: str, path: str, **how: Any) -> Any:
    return client.post(f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"}, **how)


# -------------------------------------------------------------------------------------------------- on the server


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/api/v1/job_types/_function_3_11/versions"),
        ("post", "/api/v1/job_types/_function_3_11/register"),
        ("get", "/job_file/update_job_file_status?job_type=_function_3_11"),
    ],
)
def test_publishers_do_not_stand_in_for_the_servers_own(
    room: Room, client: FlaskClient, method: str, path: str
) -> None:
    """Who submits a function sends it to code that the server wrote, not to a namesake."""
    room.service.functions.publish(11)
    headers = {"Authorization": f"Bearer {room.service.create_token('pub', ['publish'])}"}
    answer = getattr(client, method)(path, headers=headers, data=b"PK", content_type="application/zip")
    assert "the server's own" in answer.text
    assert room.service.current_versions()["_function_3_11"].version == 0


def test_what_no_job_is_left_of_goes_after_a_while(room: Room) -> None:
    room.service.publish_folder("crawl", room.folder("crawl", {"main.py": PLAIN_MAIN}))
    used, _ = room.service.functions.publish(11, b"used")
    unused, _ = room.service.functions.publish(11, b"unused")
    room.submit(1, used)
    room.service.drop_unused_functions()
    assert unused in room.service.current_versions(), "a client may be about to use it"
    room.clock.forward(UNUSED_KEPT_S + 60)
    room.service.drop_unused_functions()
    assert sorted(room.service.current_versions()) == [used, "crawl"]
    assert room.service.functions.publish(11, b"unused") == (unused, (0, True))
    assert room.service.zip_of(unused, 0)


def test_one_for_each_python_and_no_new_version_of_the_same(room: Room) -> None:
    name, published = room.service.functions.publish(11)
    assert (name, published) == ("_function_3_11", (0, True))
    assert room.service.functions.publish(11) == ("_function_3_11", (0, False))
    assert room.service.functions.publish(9)[0] == "_function_3_9"
    assert room.service.version(name, 0).settings.python == "==3.11"
    folder = room.service.node_folder(name, 0)
    assert {path.name for path in folder.iterdir()} == {".info", "main.py", "job.yml", "cloudpickle"}
    assert {path.name for path in (folder / "cloudpickle").iterdir()} == {
        "__init__.py",
        "cloudpickle.py",
        "cloudpickle_fast.py",
        "LICENSE",
    }


def test_functions_that_name_packages_are_a_type_by_them(room: Room) -> None:
    name, _ = room.service.functions.publish(11, wanted=["Scikit_Learn >= 1.4", "numpy"])
    assert room.service.functions.publish(11, wanted=["numpy", "scikit-learn>=1.4"]) == (name, (0, False))
    assert room.service.functions.publish(11, BOMB, ["numpy"])[0].startswith("_function_3_11_")
    assert functions.takes_code(name)
    assert len(room.service.functions.publish(99, BOMB, ["numpy"])[0]) <= 64
    settings = room.service.current_versions()[name].settings
    assert settings.environment
    assert settings.python == "==3.11,>=3.8"
    assert room.service.packages(name, 0) == ("numpy", "scikit-learn>=1.4")
    assert room.service.packages(room.service.functions.publish(11)[0], 0) == ()


def test_packages_of_functions_are_asked_for_over_http(room: Room, client: FlaskClient) -> None:
    token = room.service.create_token("p", ["publish"])
    how: dict[str, Any] = {"data": b"", "content_type": "application/octet-stream"}
    asked = {"python": "3.11", "packages": "numpy>=1.26,<3\nscipy"}
    made = ask(client, token, "functions", query_string=asked, **how)
    assert made.status_code == 200
    assert room.service.packages(made.json["job_type"], 0) == ("numpy>=1.26,<3", "scipy")
    refused = ask(client, token, "functions", query_string={"python": "3.11", "packages": "numpy\n-e ."}, **how)
    assert refused.status_code == 422
    assert "packages[1]" in refused.text


def test_a_shared_function_has_a_type_of_its_own_by_its_content(room: Room) -> None:
    name, _ = room.service.functions.publish(11, BOMB)
    assert room.service.functions.publish(11, BOMB) == (name, (0, False))
    assert name.startswith("_function_3_11_")
    assert room.service.functions.publish(11, BOMB + b"x")[0] != name
    assert (room.service.node_folder(name, 0) / functions.SHARED).read_bytes() == BOMB


@pytest.mark.parametrize("minor", [-1, 7, 100])
def test_pythons_that_are_none(room: Room, minor: int) -> None:
    with pytest.raises(InvalidInput, match="python"):
        room.service.functions.publish(minor)


def test_functions_are_code(room: Room, client: FlaskClient) -> None:
    few = room.service.create_token("few", ["read", "submit"])
    enough = room.service.create_token("enough", ["submit", "publish"])
    how = {"content_type": "application/octet-stream"}
    refused = ask(client, few, "functions?python=3.11", data=b"", **how)
    assert refused.status_code == 403
    assert "publish" in refused.json["error"]["message"]
    made = ask(client, enough, "functions?python=3.11", data=b"", **how)
    assert made.json == {"job_type": "_function_3_11", "version": 0, "changed": True}
    body = {"job_type": "_function_3_11", "inputs": [{"args": ["f", "3.11"], "kwargs": {}}]}
    refused = ask(client, few, "jobs", json=body)
    assert (refused.status_code, "functions are code" in refused.json["error"]["message"]) == (403, True)
    old = client.post(
        "/jobs/insert_job",
        json={"job_type": "_function_3_11", "input_data": {}},
        headers={"Authorization": f"Bearer {few}"},
    )
    assert old.status_code == 403
    assert ask(client, enough, "jobs", json=body).status_code == 201


def test_requests_that_are_wrong(room: Room, client: FlaskClient) -> None:
    token = room.service.create_token("admin", ["admin"])
    how: dict[str, Any] = {"content_type": "application/octet-stream"}
    assert ask(client, token, "functions", data=b"", **how).status_code == 422
    assert ask(client, token, "functions?python=2.7", data=b"", **how).status_code == 422
    assert ask(client, token, "functions?python=3.7", data=b"", **how).status_code == 422
    assert ask(client, token, "functions?python=3.11", json={}).status_code == 415
    large = b"x" * (functions.SHARED_LIMIT_BYTES + 1)
    assert ask(client, token, "functions?python=3.11", data=large, **how).status_code == 413


def test_what_an_exception_brought_is_kept_and_may_be_final() -> None:
    told = {"raised": "gASVAAAA", "type": "builtins.ValueError"}
    body = failed(result=json.dumps(told), final=True)
    [(_, outcome)] = from_records([Record(1, "end", 1, 1, body)]).ended
    assert (outcome.reason, json.loads(outcome.result or ""), outcome.final) == (Reason.ERROR, told, True)
    move = settle(an_open_job(limit_count=5), outcome, has_return=False, now=0.0, spread=lambda: 0.0)
    assert move is not None
    assert (move.to, move.reason) == (Status.FAILED, Reason.ERROR)
    again = settle(
        an_open_job(limit_count=5), outcome._replace(final=False), has_return=False, now=0.0, spread=lambda: 0.0
    )
    assert again is not None
    assert again.to == Status.WAITING


@pytest.mark.parametrize("result", [1, None, "NaN", "{", "\ud800", "[" * 100_000, '"' + "x" * 9_000_000 + '"'])
def test_what_is_no_json_is_not_kept(result: Any) -> None:
    [(_, outcome)] = from_records([Record(1, "end", 1, 1, failed(result=result, final="yes"))]).ended
    assert (outcome.reason, outcome.result, outcome.final) == (Reason.ERROR, None, False)


def test_only_an_exception_brings_anything() -> None:
    body = failed("died", result="1", final=True)
    [(_, outcome)] = from_records([Record(1, "end", 1, 1, body)]).ended
    assert (outcome.reason, outcome.result, outcome.final) == (Reason.DIED, None, False)


def an_open_job(limit_count: int) -> OpenJob:
    return OpenJob(
        job_id=1, status=Status.RUNNING, attempt=1, starts=1, limit_count=limit_count, kill_requested=False,
        machine_id="m1", version=0, lane_id=1, rank=0, job_type="_function_3_11", batch="b", claimed_at=0.0,
        started_at=0.0, return_count=0.0, spend_s=0.0,
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------- on the machine


@pytest.fixture
def main() -> ModuleType:
    return load_main()


def load_main() -> ModuleType:
    """main.py of the built-in types, loaded anew."""
    path = Path(functions.__file__).parent / "builtin" / "function" / "main.py"
    spec = importlib.util.spec_from_file_location("function_main", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text(value: Any) -> str:
    return base64.b64encode(cloudpickle.dumps(value)).decode()


def value_of(answer: dict[str, Any]) -> Any:
    call.to_text(answer["result"], "result")  # what the runner will do with it
    return unpickled(answer["result"]["pickle"])


def unpickled(sent: str) -> Any:
    return pickle.loads(base64.b64decode(sent))  # noqa: S301 - made by this test


def test_calls(main: ModuleType) -> None:
    assert value_of(main.work("f", HERE, text(pow), call=text(((2, 3), {})))) == 8
    many = main.work("f", HERE, text(lambda a, b: a - b), calls=text([(3, 1), (5, 1)]))
    assert value_of(many) == [2, 4]
    assert many["count"] == 2
    assert many["result"]["shown"] == [2, 4]


def test_the_same_function_is_unpickled_once(main: ModuleType) -> None:
    seen: list[int] = []

    def remember(n: int) -> list[int]:
        seen.append(n)
        return seen

    sent = text(remember)
    assert value_of(main.work("f", HERE, sent, call=text(((1,), {})))) == [1]
    assert value_of(main.work("f", HERE, sent, call=text(((2,), {})))) == [1, 2]
    for number in range(main.KEPT):
        main.work("f", HERE, text(number.__add__), call=text(((1,), {})))
    assert value_of(main.work("f", HERE, sent, call=text(((3,), {})))) == [3]


def test_exceptions_carry_themselves(main: ModuleType) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        main.work("f", HERE, text(divmod), call=text(((1, 0), {})))
    body = json.loads(failure.describe(raised.value, 0.1))
    assert body["final"] is True
    assert isinstance(unpickled(json.loads(body["result"])["raised"]), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError) as raised:
        main.work("f", HERE, text(divmod), call=text(((1, 0), {})), retried=True)
    assert "final" not in json.loads(failure.describe(raised.value, 0.1))


def test_another_python_says_so(main: ModuleType) -> None:
    with pytest.raises(RuntimeError, match=rf"crawl was pickled by Python 3\.1, and this machine runs it under {HERE}"):
        main.work("crawl", "3.1", text(pow), call=text(((2, 3), {})))


def test_a_missing_module_says_what_to_do(main: ModuleType) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"by_value=\[nowhere\]"):
        main.unpickled(base64.b64encode(b"cnowhere\nf\n.").decode())


def a_group(main: ModuleType, called: Any, calls: list[Any]) -> dict[str, Any]:
    sent = [pickle.dumps((each,)) for each in calls]
    answer: dict[str, Any] = main.work("f", HERE, text(called), group=text(sent))
    call.to_text(answer["result"], "result")
    return answer


def answers_of(told: dict[str, Any], calls: int) -> list[Any]:
    """As the submitter reads them."""
    found = payload.answers_of(Result(1, 3, "", 1, "m1", 0, 1, 0.5, told, None), calls)
    assert found is not None
    return [pickle.loads(each) for each in found.answers]  # noqa: S301 - made by this test


def test_a_group_ends_when_its_time_is_over(main: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answers_of(a_group(main, abs, [-1, 2, -3])["result"], 3) == [1, 2, 3]
    monkeypatch.setattr(main, "GROUP_S", 0.0)
    told = a_group(main, abs, [-1, 2, -3])
    assert told["count"] == 1
    assert answers_of(told["result"], 3) == [1]


def test_an_answer_that_fits_alone_fits_with_those_before_it(main: ModuleType) -> None:
    most = main.ALONE_LIMIT_BYTES - 100
    assert value_of(main.work("f", HERE, text(bytes), call=text(((most,), {})))) == bytes(most)
    before = main.GROUP_BYTES - 200
    told = a_group(main, bytes, [before, most, 3])
    assert [len(each) for each in answers_of(told["result"], 3)] == [before, most]
    assert "dense_pickles" in told["result"]


def test_an_answer_that_is_too_large_is_of_one_call(main: ModuleType) -> None:
    with pytest.raises(main.AnswerTooLarge, match="the limit is 6290688") as raised:
        a_group(main, bytes, [5, main.ALONE_LIMIT_BYTES + 1, 6])
    told = json.loads(json.loads(failure.describe(raised.value, 0.1))["result"])
    assert answers_of(told, 3) == [bytes(5)]
    assert "raised" not in told


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just("\ud800"),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=20,
)


LOADED = load_main()


@given(VALUES)
def test_whatever_is_answered_can_be_reported(value: Any) -> None:
    assert repr(value_of(LOADED.answer(value, 1))) == repr(value)
