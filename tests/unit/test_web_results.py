"""The stream of results: lines, cursors, waiting, and never more waiting than there are threads to spare."""

import json
import threading

import pytest

from jobs.model import ResultPage
from jobs.status import Reason, Status
from tests.support.fake_service import FakeService
from web.accounts import Accounts
from web.api import results
from web.app import WebOptions, create_app


class House:
    def __init__(self, **options: object) -> None:
        self.service = FakeService()
        self.options = WebOptions(auth=False, **options)
        self.app = create_app(self.service, Accounts(self.service, b"secret"), self.options)

    def submit(self, count: int, batch: str = "b") -> None:
        body = {"job_type": "new_job", "batch": batch, "inputs": [{}] * count}
        assert self.app.test_client().post("/api/v1/jobs", json=body).status_code == 201

    def ask(self, **body: object):
        return self.app.test_client().post("/api/v1/results", json=body)

    def read(self, **body: object) -> list[dict]:
        response = self.ask(**body)
        assert response.status_code == 200
        assert response.mimetype == "application/x-ndjson"
        return [json.loads(line) for line in response.data.decode().removesuffix("\n").split("\n")]


@pytest.fixture
def house():
    return House()


def test_one_line_a_finished_job_then_where_to_go_on(house):
    house.submit(3)
    house.service.finish(2, '{"a": "\\u4e2d\\n"}', count=6)
    house.service.finish(1, None, error='Traceback "x"\n')
    assert house.read(ids=[[1, 3]]) == [
        {
            "id": 2,
            "status": 3,
            "reason": "",
            "attempt": 1,
            "machine_id": "lab-1",
            "version": 0,
            "count": 6,
            "spend_s": 0.25,
            "result": {"a": "中\n"},
            "error": None,
        },
        {
            "id": 1,
            "status": -1,
            "reason": "error",
            "attempt": 1,
            "machine_id": "lab-1",
            "version": 0,
            "count": 1,
            "spend_s": 0.25,
            "result": None,
            "error": 'Traceback "x"\n',
        },
        {"cursor": 2, "pending": 1},
    ]


def test_the_cursor_goes_on_where_it_left(house):
    house.submit(3)
    for job_id in (3, 1, 2):
        house.service.finish(job_id, str(job_id))
    first = house.read(limit=2)
    second = house.read(limit=2, cursor=first[-1]["cursor"])
    assert [line["id"] for line in first[:-1]] == [3, 1]
    assert [line["id"] for line in second[:-1]] == [2]
    assert house.read(cursor=second[-1]["cursor"]) == [{"cursor": 3, "pending": 0}]


def test_by_batch_and_by_ids(house):
    house.submit(2, "a")
    house.submit(2, "b")
    for job_id in (1, 2, 3, 4):
        house.service.finish(job_id, "0")
    assert [line["id"] for line in house.read(batch="b")[:-1]] == [3, 4]
    assert [line["id"] for line in house.read(ids=[[1, 1], [4, 9]])[:-1]] == [1, 4]


@pytest.mark.parametrize("result", ['{\n"a":\r\n1}', "[\r1]", "\n1\n"])
def test_a_result_never_breaks_its_line(house, result):
    house.submit(2)
    house.service.finish(1, result)
    house.service.finish(2, '"\u2028"')
    lines = house.ask().data.split(b"\n")
    assert len(lines) == 4
    assert not any(b"\r" in line for line in lines)
    assert json.loads(lines[0])["result"] == json.loads(result)
    assert json.loads(lines[1])["result"] == "\u2028"


def test_names_of_reasons_need_no_escaping():
    assert all(json.dumps(reason) == f'"{reason}"' for reason in Reason)
    assert all(f"{status:d}" == json.dumps(int(status)) for status in Status)


def test_waits_for_the_first_result(house):
    house.submit(1)
    answers: list[list[dict]] = []
    waiter = threading.Thread(target=lambda: answers.append(house.read(ids=[[1, 1]], wait_s=25)))
    waiter.start()
    house.service.finish(1, "7")
    waiter.join(20)
    assert answers[0][0]["result"] == 7


def test_does_not_wait_when_nothing_is_unfinished(house):
    assert house.read(wait_s=25) == [{"cursor": 0, "pending": 0}]


def test_does_not_wait_when_too_many_wait_already():
    house = House(waiting_requests=1)
    house.submit(1)
    entered = threading.Event()
    answers: list[list[dict]] = []

    def wait_results(cursor: int = 0, **_: object) -> ResultPage:
        entered.set()
        house.options.stopping.wait(20)
        return ResultPage([], cursor, 1)

    house.service.wait_results = wait_results
    waiter = threading.Thread(target=lambda: answers.append(house.read(wait_s=25)))
    waiter.start()
    assert entered.wait(20)
    assert house.read(wait_s=25) == [{"cursor": 0, "pending": 1}]
    house.options.stopping.set()
    waiter.join(20)
    assert answers == [[{"cursor": 0, "pending": 1}]]


def test_stops_waiting_when_the_server_goes_away(house):
    house.submit(1)
    house.options.stopping.set()
    assert house.read(wait_s=25) == [{"cursor": 0, "pending": 1}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"cursor": -1}, "cursor"),
        ({"cursor": 10**30}, "cursor"),
        ({"cursor": "0"}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"limit": 5001}, "limit"),
        ({"wait_s": 26}, "wait_s"),
        ({"wait_s": "1"}, "wait_s"),
        ({"ids": []}, "ids"),
        ({"ids": [1, 2]}, "ids.0"),
        ({"ids": [[1]]}, "ids.0.1"),
        ({"ids": [[2, 1]]}, "ids"),
        ({"ids": [["1", 2]]}, "ids.0.0"),
        ({"ids": [[1, 2]], "batch": "b"}, "ids"),
        ({"batch": "a,b"}, "batch"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_wrong_question_is_named(house, body, field):
    response = house.ask(**body)
    assert response.status_code == 422
    assert response.json["error"]["field"] == field


def test_an_empty_page_is_one_line():
    assert results.text_of(ResultPage([], 5, None)) == '{"cursor": 5, "pending": null}\n'
