"""What the report listener takes from runners, and what hostile senders get."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.errors import StoreUnavailable
from remote_runner import protocol
from remote_runner.protocol import Record
from tests.support.fake_service import FakeService
from web.reports import RunnerKey, create_reports_app

KEY = b"k" * 32
RECORDS = [Record(1, "start", 7, 1, {}), Record(2, "end", 7, 1, {"ok": True, "result": "1", "spend_s": 0.1})]


class House:
    def __init__(self) -> None:
        self.service = FakeService()
        self.keys = {"r1": RunnerKey("lab-1", KEY), "r2": RunnerKey("lab-2", b"other")}
        self.client = create_reports_app(self.service, self.keys.get).test_client()

    def send(
        self,
        body: bytes,
        *,
        runner: str = "r1",
        signature: str | None = None,
        path: str = "/report",
        content_type: str = protocol.REPORT_TYPE,
    ):
        signed = protocol.sign(KEY, body) if signature is None else signature
        headers = {protocol.RUNNER_HEADER: runner, protocol.SIGNATURE_HEADER: signed}
        return self.client.post(path, data=body, headers=headers, content_type=content_type)


@pytest.fixture
def house():
    return House()


def test_a_signed_report_reaches_the_service(house):
    house.service.stop = [(9, 2)]
    response = house.send(protocol.encode_report("r1", RECORDS))
    assert (response.status_code, response.json) == (200, {"stored": 2, "stop": [[9, 2]]})
    assert house.service.reports == [("lab-1", "r1", RECORDS)]


LONG = [Record(1, "end", 7, 1, {"ok": True, "result": json.dumps("é" * 99_999, ensure_ascii=False)}), RECORDS[1]]


def test_long_texts_may_come_beside_a_report(house):
    body = protocol.put_beside(protocol.encode_report("r1", LONG), protocol.BESIDE_BYTES)
    assert house.send(body, content_type=protocol.BESIDE_TYPE).status_code == 200
    assert house.send(protocol.encode_report("r1", LONG)).status_code == 200
    assert house.service.reports == [("lab-1", "r1", LONG)] * 2


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:-1],
        lambda body: body + b"1",
        lambda body: body.partition(b"\n")[0],
        lambda body: body.partition(b"\n")[2],
        lambda body: body[:-2] + b'\xff"',
        lambda body: b"\n" + body,
        lambda _: b"\n",
        lambda _: b"",
    ],
)
def test_texts_beside_a_report_that_do_not_fit_it_are_refused(house, change):
    body = change(protocol.put_beside(protocol.encode_report("r1", LONG), protocol.BESIDE_BYTES))
    assert house.send(body, content_type=protocol.BESIDE_TYPE).status_code == 400
    assert house.service.reports == []


def test_texts_beside_a_report_are_signed_with_it(house):
    body = protocol.put_beside(protocol.encode_report("r1", LONG), protocol.BESIDE_BYTES)
    changed = body[:-2] + b'x"'
    assert house.send(changed, signature=protocol.sign(KEY, body), content_type=protocol.BESIDE_TYPE).status_code == 403
    assert house.service.reports == []


def test_the_machine_comes_from_the_key_and_not_from_the_report(house):
    body = json.dumps({"v": 1, "runner": "r1", "machine_id": "lab-2", "records": [list(RECORDS[0])]}).encode()
    house.send(body)
    assert house.service.reports[0][0] == "lab-1"


@pytest.mark.parametrize(
    ("runner", "signature"),
    [("r1", ""), ("r1", "00"), ("r1", "é" * 64), ("r2", None), ("r3", None), ("", None), ("r1", "0" * 64)],
)
def test_forged_reports_are_refused_alike(house, runner, signature):
    response = house.send(protocol.encode_report("r1", RECORDS), runner=runner, signature=signature)
    assert response.status_code == 403
    assert response.json["error"]["message"] == "this report is not signed by a runner of this server"
    assert house.service.reports == []


def test_a_changed_body_is_refused(house):
    body = protocol.encode_report("r1", RECORDS)
    assert house.send(body + b" ", signature=protocol.sign(KEY, body)).status_code == 403


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        {"v": 2, "runner": "r1", "records": [[1, "start", 1, 1, {}]]},
        {"v": 1, "runner": "r2", "records": [[1, "start", 1, 1, {}]]},
        {"v": 1, "runner": "r1", "records": []},
        {"v": 1, "runner": "r1", "records": {}},
        {"v": 1, "runner": "r1", "records": [[1, "start", 1, 1]]},
        {"v": 1, "runner": "r1", "records": [[1, "begin", 1, 1, {}]]},
        {"v": 1, "runner": "r1", "records": [["1", "start", 1, 1, {}]]},
        {"v": 1, "runner": "r1", "records": [[True, "start", 1, 1, {}]]},
        {"v": 1, "runner": "r1", "records": [[1, "start", 10**30, 1, {}]]},
        {"v": 1, "runner": "r1", "records": [[-1, "start", 1, 1, {}]]},
        {"v": 1, "runner": "r1", "records": [[1, "start", 1, 1, {}]] * 2001},
        {"v": 1, "runner": "r1", "records": [[1, "end", 1, 1, {"spend_s": float("nan")}]]},
        {"v": 1, "runner": "r1", "records": [[1, ["start"], 1, 1, {}]]},
    ],
)
def test_signed_nonsense_is_refused(house, message):
    assert house.send(json.dumps(message).encode()).status_code == 400
    assert house.service.reports == []


@settings(max_examples=200)
@given(
    body=st.binary(max_size=200) | st.sampled_from([b"[" * 200_000, b'{"v":' * 50_000, b"1" * 5000, b"\xff"]),
    content_type=st.sampled_from([protocol.REPORT_TYPE, protocol.BESIDE_TYPE]),
)
def test_garbage_never_hurts(body, content_type):
    assert House().send(body, content_type=content_type).status_code == 400


@pytest.mark.parametrize("size", [1001, protocol.BESIDE_BYTES + 1])
def test_an_oversized_report_is_refused(house, size):
    house.client.application.config["MAX_CONTENT_LENGTH"] = 1000
    assert house.send(b" " * size).status_code == 413


def test_a_database_that_is_away_is_not_an_acknowledgement(house):
    house.service.failure = StoreUnavailable("locked")
    response = house.send(protocol.encode_report("r1", RECORDS))
    assert response.status_code == 503
    assert response.headers["Retry-After"]


@pytest.mark.parametrize("path", ["/", "/api/v1/jobs", "/home", "/healthz", "/report/x"])
def test_nothing_else_is_served(house, path):
    assert house.client.get(path).status_code == 404
    assert house.send(b"{}", path=path).status_code == 404


def test_reports_are_posted(house):
    assert house.client.get("/report").status_code == 405
