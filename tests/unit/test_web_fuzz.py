"""Whatever comes over HTTP, on the real service: an answer below 500 in the one shape of errors (B9, B10)."""

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.service import JobService
from jobs.store import Store
from web.accounts import Accounts
from web.app import WebOptions, create_app

NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, -1, 2**53, 2**63, 2**64, 10**400])
TEXTS = st.text(max_size=80) | st.sampled_from(["", "new_job", "\ud800", "\0", "a,b", "kill", "copy", "..", "1" * 5000])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
MEMBERS = {
    "jobs": ["job_type", "batch", "tag", "priority", "limit_count", "inputs"],
    "jobs/actions": ["action", "ids"],
    "jobs/bulk": ["action", "ids", "filter", "expect", "dry_run", "wait_s", "elsewhere", "priority"],
    "job_types/new_job/rollback": ["version"],
    "results": ["ids", "batch", "cursor", "limit"],
    "session": ["code", "token"],
    "tokens": ["name", "scopes", "lifetime_s"],
    "job_types/new_job/register": ["x"],
}
PARAMETERS = [
    "status", "job_type", "batch", "machine_id", "tag", "size", "after", "attempt", "stream", "by_batch", "x", "ids",
    "version", "cleared", "clear", "offset", "limit", "limit_time", "job_id", "q", "since", "until", "sort", "state",
    "against", "hours",
]  # fmt: skip
OLD_BODIES = {
    "jobs/insert_job": ["job_type", "input_data", "batch", "tag", "limit_count", "priority"],
    "jobs/kill_job": ["job_id", "job_type", "machine_id", "batch"],
    "jobs/clear_job": ["job_id"],
    "machine/update_machine_info": ["machine_id", "name", "tag", "limit_process", "update_status"],
}
OLD_PATHS = [
    "jobs/get_job_details", "jobs/get_job_list", "jobs/get_job_summary", "jobs/get_history_job",
    "job_file/get_job_file", "job_file/check_job_file_status", "job_file/update_job_file_status",
]  # fmt: skip
PATHS = ["jobs", "jobs/1", "jobs/1/attempts", "jobs/1/log", "job_types", "machines", "summary", "me", "server",
    "operations", "operations/1", "history", "waiting", "job_types/new_job/versions/0/diff",
]  # fmt: skip

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    source = folder / "source"
    source.mkdir()
    (source / "main.py").write_text("def work(*args, **kwargs):\n    return 1\n")
    store = Store.open(f"sqlite:///{folder}/multijob.db")
    service = JobService(store, folder / "jobs", folder / "cache")
    service.publish_folder("new_job", source)
    yield create_app(service, Accounts(service, b"secret"), WebOptions(auth=False)).test_client()
    store.close()


def check(response) -> None:
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        assert set(response.json["error"]) == {"code", "message", "field", "request_id"}


def check_old(response) -> None:
    assert response.status_code < 500, response.text
    assert set(response.json) == {"code", "message", "data", "status"}


@many
@given(data=st.data(), path=st.sampled_from(sorted(MEMBERS)))
def test_bodies(client, data, path):
    keys = st.sampled_from(MEMBERS[path]) | TEXTS
    body = data.draw(st.dictionaries(keys, VALUES, max_size=6) | VALUES)
    check(client.post(f"/api/v1/{path}", data=json.dumps(body), content_type="application/json"))


@many
@given(
    path=st.sampled_from(PATHS),
    asked=st.dictionaries(st.sampled_from(PARAMETERS), TEXTS | NUMBERS.map(str), max_size=4),
)
def test_queries(client, path, asked):
    query = "&".join(f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in asked.items())
    check(client.get(f"/api/v1/{path}?{query}"))


@many
@given(data=st.data(), path=st.sampled_from(sorted(OLD_BODIES)))
def test_bodies_of_the_old_paths(client, data, path):
    values = VALUES | st.sampled_from(["new_job", 1, 4, {"args": [1]}])
    body = data.draw(st.dictionaries(st.sampled_from(OLD_BODIES[path]) | TEXTS, values, max_size=6) | VALUES)
    check_old(client.post(f"/{path}", data=json.dumps(body), content_type="application/json"))


@many
@given(
    path=st.sampled_from(OLD_PATHS),
    asked=st.dictionaries(st.sampled_from(PARAMETERS), TEXTS | NUMBERS.map(str), max_size=3),
)
def test_queries_of_the_old_paths(client, path, asked):
    query = "&".join(f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in asked.items())
    check_old(client.get(f"/{path}?{query}"))


@many
@given(filter_=st.dictionaries(st.sampled_from(PARAMETERS), VALUES | TEXTS, max_size=3))
def test_filters(client, filter_):
    body = {"action": "clear", "filter": filter_}
    check(client.post("/api/v1/jobs/bulk", data=json.dumps(body), content_type="application/json"))


@many
@given(
    start=st.sampled_from(["jobs/", "job_types/", "job_types/new_job/versions/", ""]),
    rest=TEXTS | NUMBERS.map(str),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]),
)
def test_paths_and_methods(client, start, rest, method):
    path = quote(rest.encode("utf-8", "surrogatepass"), safe="/")
    response = client.open(f"/api/v1/{start}{path}", method=method)
    assert response.status_code < 500


@many
@given(
    body=st.binary(max_size=100),
    path=st.sampled_from(sorted(MEMBERS)),
    kind=st.sampled_from(["application/json", "", "x"]),
)
def test_garbage(client, body, path, kind):
    check(client.post(f"/api/v1/{path}", data=body, content_type=kind))


@many
@given(
    name=st.sampled_from(["Authorization", "Idempotency-Key", "Cookie", "Origin", "Content-Type"]),
    value=st.text(max_size=40),
)
def test_headers(client, name, value):
    text = "".join(letter for letter in value if letter.isprintable()).encode().decode("latin-1")
    text = "".join(letter for letter in text if letter not in "\r\n")
    check(client.post("/api/v1/jobs", data=b'{"job_type":"new_job","inputs":[{}]}', headers={name: text}))
