"""The OpenAPI document: every route is in it, it says what views take and need, and real answers are what it says."""

import io
import json
import re
import zipfile

import pytest
from jsonschema_rs import Draft202012Validator

from jobs.model import MachineState, MachineView
from tests.support.store_kit import PLAIN_MAIN, a_room, failed, ok
from web.accounts import Accounts, scope_of
from web.api import openapi, shapes, words
from web.app import WebOptions, create_app

METHODS = {"get", "post", "put", "patch", "delete"}
WAY = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")


class House:
    """A server with a little of everything; every answer is held against the document."""

    def __init__(self, room) -> None:
        self.room = room
        self.app = create_app(room.service, Accounts(room.service, b"secret"), WebOptions(auth=False, version="1.2"))
        self.client = self.app.test_client()
        self.document = self.client.get("/api/v1/openapi.json").json
        self.seen: set[tuple[str, str]] = set()

    def ask(self, method: str, path: str, **how):
        """A request whose answer must be as documented."""
        response = self.client.open(path, method=method.upper(), **how)
        rule, operation = self.operation_of(method, path)
        told = operation["responses"]
        named = told.get(str(response.status_code), told.get(f"{response.status_code // 100}XX"))
        assert named is not None, (method, path, response.status_code, response.text)
        content = named.get("content", {})
        if content:
            (kind,) = content
            assert response.mimetype == kind, (path, response.mimetype)
            if kind == "application/json":
                self.check(content[kind]["schema"], response.json, (method, path))
        else:
            assert response.data == b""
        if response.status_code < 400:
            self.seen.add((method, rule))
        return response

    def operation_of(self, method: str, path: str):
        plain = path.partition("?")[0]
        for template, methods in self.document["paths"].items():
            if method in methods and re.fullmatch(re.sub(r"\\{[a-z_]+\\}", "[^/]+", re.escape(template)), plain):
                return template, methods[method]
        raise AssertionError(f"{method} {path} is not documented")

    def check(self, schema: dict, value: object, what: object) -> None:
        whole = {**schema, "components": self.document["components"]}
        errors = [
            f"{list(error.instance_path)}: {error.message}" for error in Draft202012Validator(whole).iter_errors(value)
        ]
        assert not errors, (what, errors[:5], value)


@pytest.fixture
def house(tmp_path):
    with a_room(tmp_path) as room:
        room.job_type("crawl", return_main=True)
        room.service.put_machines([MachineView(machine_id="lab-1", name="Lab", state=MachineState.READY)]).result(10)
        done, lost, *_ = room.submit(4, batch="b", limit_count=0)
        room.claim(done, lost, machine="lab-1")
        room.report(("end", done, 1, ok({"a": 1})), ("end", lost, 1, failed()), machine="lab-1")
        yield House(room)


def routes(app):
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1/") or rule.endpoint.startswith("multi_job.") or rule.endpoint == "healthz":
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                yield rule, method.lower()


def test_every_route_is_in_it(house):
    documented = {(method, path) for path, methods in house.document["paths"].items() for method in methods}
    assert documented == {(method, WAY.sub(r"{\1}", rule.rule)) for rule, method in routes(house.app)}


def test_it_says_what_each_route_needs(house):
    for rule, method in routes(house.app):
        operation = house.document["paths"][WAY.sub(r"{\1}", rule.rule)][method]
        scope = scope_of(house.app.view_functions[rule.endpoint])
        assert operation["x-scope"] == (None if scope is None else scope.value)
        assert (operation["security"] == [{}]) == (scope is None)
        assert operation["summary"].endswith("."), rule.rule
        named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert named == set(WAY.findall(rule.rule))


def test_every_route_has_its_chinese_words_and_none_is_left_over(house):
    endpoints = {rule.endpoint for rule, _ in routes(house.app)}
    assert endpoints == set(words.CHINESE)


def test_it_is_of_one_piece(house):
    assert house.document["openapi"] == "3.1.0"
    assert house.document["info"]["version"] == "1.2"
    names = set(house.document["components"]["schemas"])
    used = set(re.findall(r'"#/components/schemas/([A-Za-z]+)"', json.dumps(house.document)))
    assert used <= names
    ids = [one["operationId"] for methods in house.document["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))
    for schema in house.document["components"]["schemas"].values():
        Draft202012Validator({**schema, "components": house.document["components"]})


def test_it_takes_what_the_views_take(house):
    paths = house.document["paths"]
    query = {one["name"] for one in paths["/api/v1/jobs"]["get"]["parameters"]}
    assert query >= {
        "status",
        "job_type",
        "batch",
        "machine_id",
        "tag",
        "version",
        "q",
        "since",
        "until",
        "sort",
        "after",
    }
    bulk = paths["/api/v1/jobs/bulk"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(bulk["properties"]) == {
        "action",
        "filter",
        "ids",
        "expect",
        "dry_run",
        "wait_s",
        "elsewhere",
        "priority",
    }
    assert bulk["additionalProperties"] is False
    submit = paths["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(submit["required"]) == {"job_type", "inputs"}
    assert list(paths["/api/v1/job_types/{job_type}/versions"]["post"]["requestBody"]["content"]) == ["application/zip"]


def test_every_answer_is_described(house):
    assert [rule.endpoint for rule, _ in routes(house.app) if openapi.answer_of(rule.endpoint) == shapes.UNKNOWN] == []


def a_zip(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", text)
        archive.writestr("data.bin", b"\0\1")
    return buffer.getvalue()


def test_real_answers_are_as_documented(house):
    v1, versions = "/api/v1", "/api/v1/job_types/crawl/versions"
    ask = house.ask
    ask("post", f"{v1}/jobs", json={"job_type": "crawl", "inputs": [{}], "tag": "gpu"})
    for query in (
        "",
        "?size=2",
        "?sort=-updated_at&size=2",
        "?q=b",
        "?since=1d&until=2026-01-01",
        "?sort=up",
        "?size=0",
    ):
        ask("get", f"{v1}/jobs{query}")
    for path in ("jobs/1", "jobs/2", "jobs/5", "jobs/99", "jobs/1/attempts", "jobs/1/log", "jobs/5/log"):
        ask("get", f"{v1}/{path}")
    ask("get", f"{v1}/jobs/1/log.txt")
    ask("get", f"{v1}/jobs/1/result.json")
    ask("post", f"{v1}/jobs/actions", json={"action": "kill", "ids": [3]})
    ask("post", f"{v1}/jobs/actions", json={"action": "copy", "ids": [1, 2]})
    ask("post", f"{v1}/jobs/bulk", json={"action": "rerun", "filter": {"status": "failed"}, "elsewhere": True})
    ask("post", f"{v1}/jobs/bulk", json={"action": "copy", "ids": [1, 2], "wait_s": 20})
    ask("post", f"{v1}/jobs/bulk", json={"action": "delete", "filter": {"batch": "b"}, "dry_run": True})
    ask("post", f"{v1}/jobs/bulk", json={"action": "delete", "filter": {}})
    ask("get", f"{v1}/operations?size=1")
    ask("get", f"{v1}/operations/1")
    ask("post", f"{v1}/operations/1/stop")
    ask("post", f"{v1}/results", json={"cursor": 0})
    ask("post", versions, data=a_zip(PLAIN_MAIN + "# two\n"), content_type="application/zip")
    for path in (
        "",
        "/crawl",
        "/crawl/versions",
        "/crawl/versions/1",
        "/crawl/versions/1/diff",
        "/crawl/versions/1/zip",
    ):
        ask("get", f"{v1}/job_types{path}")
    ask("get", f"{versions}/0/diff")
    ask("get", f"{v1}/job_types/crawl/signature")
    ask("post", f"{v1}/job_types/crawl/rollback", json={"version": 0})
    house.room.folder("shop")
    ask("post", f"{v1}/job_types/shop/register")
    ask("delete", f"{v1}/job_types/shop")
    for path in (
        "machines",
        "server",
        "summary",
        "summary?by_batch=1",
        "history?hours=2",
        "waiting",
        "me",
        "openapi.json",
    ):
        ask("get", f"{v1}/{path}")
    ask("patch", f"{v1}/machines/lab-1", json={"name": "Left"})
    ask("post", f"{v1}/machines/lab-1/pause")
    ask("get", f"{v1}/tokens")
    ask("post", f"{v1}/tokens", json={"name": "ci", "scopes": ["read"]})
    ask("delete", f"{v1}/tokens/ci")
    for path in ("users", "home", "failures", "batches", "batches/b", "timeline", "activity", "commands"):
        ask("get", f"{v1}/{path}")
    for path in ("docs", "docs/docs.css", "docs/docs.js"):
        ask("get", f"{v1}/{path}")
    for path in (
        "jobs/get_job_list",
        "jobs/get_job_details?job_id=1",
        "jobs/get_job_details",
        "machine/get_machine_info",
    ):
        ask("get", f"/{path}")
    ask("get", "/healthz")
    mine = {
        path
        for path in house.document["paths"]
        if re.match("/api/v1/(jobs|operations|results|job_types|summary)", path)
    }
    assert mine <= {path for _, path in house.seen}, mine - {path for _, path in house.seen}


def test_the_page_brings_nothing_from_elsewhere(house):
    for path in ("docs", "docs/docs.css", "docs/docs.js"):
        response = house.client.get(f"/api/v1/{path}")
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        assert not re.search(r"https?://|//cdn|innerHTML|<script>|style=|onclick=", response.text)
    page = house.client.get("/api/v1/docs").text
    assert 'src="docs/docs.js"' in page
