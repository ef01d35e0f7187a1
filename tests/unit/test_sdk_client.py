"""The client over real HTTP, against a small API in memory."""

import json
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from multijob import (
    Busy,
    Client,
    Conflict,
    Invalid,
    JobSet,
    MultiJobError,
    NotAllowed,
    NotFound,
    Progress,
    ServerError,
    Unreachable,
    WaitTimeout,
    call,
)
from tests.support.fake_api import TOKEN, FakeApi, small_zip

BUSY = (503, b'{"error": {"message": "later"}}', {"Retry-After": "0"})


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi().start()
    fake.types["crawl"] = [small_zip()]
    yield fake
    fake.stop()


@pytest.fixture
def client(api: FakeApi) -> Iterator[Client]:
    with Client(api.url, TOKEN, timeout_s=5) as made:
        yield made


def test_a_server_that_asks_nobody_is_warned_about_once(
    api: FakeApi, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    body = b'{"name": "anyone", "scopes": ["admin"]}'
    api.instead = [(200, body, {"X-MJ-Auth": "off"})] * 2
    client.me()
    client.me()
    assert [record.message for record in caplog.records].count(
        f"{api.url} asks nobody who they are: everyone who can reach it is admin (auth: false)"
    ) == 1


def double(job: dict[str, Any]) -> Any:
    return job["input"]["args"][0] * 2


def test_insert_answers_the_id_and_sends_the_call(api: FakeApi, client: Client) -> None:
    assert client.insert("crawl", 1, url="http://例") == 1
    assert api.jobs[1]["input"] == {"args": [1], "kwargs": {"url": "http://例"}}
    assert client.job(1)["status"] == 0


def test_every_kind_of_item_becomes_the_call_it_stands_for(api: FakeApi, client: Client) -> None:
    client.submit_many("crawl", [{"a": 1}, (1, 2), [3], call(4, b=5), "text", None])
    assert [job["input"] for job in api.jobs.values()] == [
        {"args": [], "kwargs": {"a": 1}},
        {"args": [1, 2], "kwargs": {}},
        {"args": [3], "kwargs": {}},
        {"args": [4], "kwargs": {"b": 5}},
        {"args": ["text"], "kwargs": {}},
        {"args": [None], "kwargs": {}},
    ]


def test_submit_many_takes_from_a_generator_only_what_it_sends(api: FakeApi, client: Client) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(25):
            taken += 1
            yield n

    sizes = []
    api.work = lambda _: sizes.append(taken)
    jobs = client.submit_many("crawl", items(), batch="b1", chunk=10)
    assert len(jobs) == 25
    assert jobs.ranges == ((1, 25),)
    assert {10, 20, 25} == set(sizes)
    assert {job["batch"] for job in api.jobs.values()} == {"b1"}


def test_options_stick_to_the_client_that_was_asked_for(api: FakeApi, client: Client) -> None:
    client.using(tag="gpu", priority=3).using(limit_count=0).insert("crawl")
    client.insert("crawl")
    assert [(job["tag"], job["priority"], job["limit_count"]) for job in api.jobs.values()] == [
        ("gpu", 3, 0),
        ("", 0, 1),
    ]


def test_a_chunk_sent_again_is_stored_once(api: FakeApi, client: Client) -> None:
    client.insert("crawl")
    api.instead = [BUSY, _lose_the_answer]
    assert list(client.submit_many("crawl", [1, 2])) == [2, 3]
    assert len(api.jobs) == 3
    keys = {headers["Idempotency-Key"] for _, path, headers, _ in api.requests[1:] if path == "/api/v1/jobs"}
    assert len(keys) == 1


def test_what_was_stored_before_a_failure_is_told(api: FakeApi, client: Client) -> None:
    with pytest.raises(Invalid, match=r"inputs\.3: a value of type set is not JSON") as caught:
        client.submit_many("crawl", [1, 2, 3, {4}], chunk=2)
    assert caught.value.field == "inputs.3"
    assert caught.value.submitted is not None
    assert list(caught.value.submitted) == [1, 2]


@pytest.mark.parametrize("item", [float("nan"), {1: 2}, call(b"bytes")])
def test_what_is_not_json_is_refused_before_it_is_sent(api: FakeApi, client: Client, item: Any) -> None:
    with pytest.raises(Invalid, match=r"inputs\.0"):
        client.submit_many("crawl", [item])
    assert not api.requests


def test_results_come_as_jobs_finish_until_all_have(api: FakeApi, client: Client) -> None:
    jobs = client.submit_many("crawl", range(3))
    others = client.submit_many("crawl", range(2))
    for n, job_id in enumerate([3, 4, 1, 2]):
        api.finish(job_id, {"n": n, "text": "行\nline\r\u2028"})
    rows = list(client.results(jobs))
    assert [row.id for row in rows] == [3, 1, 2]
    assert rows[0].result == {"n": 0, "text": "行\nline\r\u2028"}
    assert rows[0].ok
    assert [row.id for row in client.results(others, wait=False)] == [4]


def test_results_wait_for_the_last_job(api: FakeApi, client: Client) -> None:
    jobs = client.submit_many("crawl", range(2))
    api.finish(1)
    found = client.results(jobs)
    assert next(found).id == 1
    later = threading.Timer(0.05, api.finish, (2,))
    later.start()
    assert [row.id for row in found] == [2]
    later.join()


def test_results_by_id_by_ids_and_by_batch(api: FakeApi, client: Client) -> None:
    api.work = double
    client.submit_many("crawl", [1, 2, 3], batch="b")
    assert [row.result for row in client.results(2)] == [4]
    assert [row.result for row in client.results([1, 3])] == [2, 6]
    assert len(list(client.results("b"))) == 3
    assert list(client.results([])) == []


@pytest.mark.parametrize("piece_bytes", [500, 100_000])
def test_a_page_that_breaks_off_is_asked_for_again_without_repeats(
    api: FakeApi, client: Client, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr("multijob.http.CHUNK_BYTES", piece_bytes)
    api.work = double
    jobs = client.submit_many("crawl", range(50))
    api.instead = [_half_a_page]
    assert [row.id for row in client.results(jobs)] == list(range(1, 51))


def test_waiting_counts_and_ends(api: FakeApi, client: Client) -> None:
    api.work = double
    jobs = client.submit_many("crawl", range(4))
    api.finish(2, error="no")
    told: list[Progress] = []
    assert client.wait(jobs, progress=told.append) == told[-1]
    assert told[-1].pending == 0
    assert told[-1].failed == 2  # both of its two lines in this fake's history say the latest state


def test_a_wait_that_is_over_says_how_many_are_left(api: FakeApi, client: Client) -> None:
    jobs = client.submit_many("crawl", range(2))
    api.finish(1)
    with pytest.raises(WaitTimeout) as caught:
        client.wait(jobs, timeout_s=0.05)
    assert caught.value.pending == 1


def test_jobs_come_page_by_page(api: FakeApi, client: Client) -> None:
    client.submit_many("crawl", range(7))
    assert [row["id"] for row in client.jobs(size=3, job_type="crawl")] == [7, 6, 5, 4, 3, 2, 1]
    assert list(client.jobs(batch="none")) == []


def test_actions_add_up_over_their_requests(api: FakeApi, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multijob.actions.IDS_SIZE", 2)
    jobs = client.submit_many("crawl", range(5))
    done = client.kill(jobs)
    assert (done.matched, done.changed, done.skipped, done.state) == (5, 5, {"running": 0}, "done")
    assert done["changed"] == 5
    assert client.delete(1)["changed"] == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid),
        (401, NotAllowed),
        (403, NotAllowed),
        (404, NotFound),
        (409, Conflict),
        (413, Invalid),
        (422, Invalid),
        (429, Busy),
        (503, Busy),
        (500, ServerError),
        (301, ServerError),
    ],
)
def test_each_refusal_has_its_error(api: FakeApi, client: Client, status: int, error: type[Exception]) -> None:
    body = b'{"error": {"code": "c", "message": "said so", "field": "batch", "request_id": "r-9"}}'
    api.instead = [(status, body, {"Location": "https://there"})]
    with pytest.raises(error) as caught:
        Client(api.url, TOKEN, retry_s=0).server()
    assert str(caught.value) == {
        301: f"{api.url} redirects to https://there; use that address",
        400: "batch: said so",
        401: "said so; use a token that is still valid; mj token list shows them",
        403: "said so; use a token with that scope; mj token new makes one",
        404: "said so; list what there is: client.jobs(), client.job_types(), client.machines()",
        409: "said so; read what is there now, then ask anew",
        413: "batch: said so",
        422: "batch: said so",
        429: "said so; try again in 1 s",
        500: "said so; the server's log says more under r-9",
        503: "said so; try again in 1 s",
    }.get(status)
    assert isinstance(caught.value, MultiJobError)
    assert caught.value.request_id == ("" if status == 301 else "r-9")


def test_an_answer_that_is_no_json_is_a_server_error(api: FakeApi, client: Client) -> None:
    api.instead = [(200, b"<html>", {})]
    with pytest.raises(ServerError, match="is it a Multi Job server"):
        client.server()


def test_a_missing_token_is_explained(api: FakeApi, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MJ_TOKEN", raising=False)
    with pytest.raises(NotAllowed, match="MJ_TOKEN"):
        Client(api.url, home=tmp_path).server()


def test_nobody_there_fails_at_once_and_says_how_to_start() -> None:
    with pytest.raises(Unreachable, match="mj up"):
        Client("http://127.0.0.1:1", TOKEN, retry_s=3600).server()


def test_threads_and_forked_children_share_a_client(api: FakeApi, client: Client) -> None:
    client.insert("crawl")
    threads = [threading.Thread(target=client.insert, args=("crawl",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    child = os.fork()
    if not child:
        os._exit(0 if client.insert("crawl") == 6 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert client.insert("crawl") == 7


def test_a_proxy_is_not_asked_for_this_machine(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert Client(api.url, TOKEN).server() == {"version": "0.1.0"}


def test_a_set_of_jobs_knows_its_ids() -> None:
    jobs = JobSet.of([5, 1, 2, 3, 9])
    assert jobs.ranges == ((1, 3), (5, 5), (9, 9))
    assert list(jobs) == [1, 2, 3, 5, 9]
    assert len(jobs) == 5
    assert 5 in jobs
    assert 4 not in jobs
    assert repr(jobs) == "<JobSet of 5 jobs: 1-3, 5, 9>"


def _lose_the_answer(handler: Any) -> None:
    """Do what was asked, and then let the connection break before the answer."""
    body = handler.api.requests[-1][3]
    handler.api.submit(json.loads(body), handler.headers["Idempotency-Key"])
    handler.close_connection = True
    handler.connection.close()


def _half_a_page(handler: Any) -> None:
    page = handler.api.results(json.loads(handler.api.requests[-1][3]))
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(page)))
    handler.end_headers()
    handler.wfile.write(page[: len(page) // 2])
    handler.close_connection = True
