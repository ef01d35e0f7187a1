"""A small API v1 over real HTTP, in memory, for tests of the SDK and the command line. Finishes jobs when told to."""

import io
import json
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "test-token"

#: (status, body, headers) given instead of the real answer.
Instead = tuple[int, bytes, dict[str, str]]


class FakeApi:
    """Answers like the server; ``finish`` plays the machines. ``instead`` holds answers to give first, in order."""

    def __init__(self) -> None:
        self.jobs: dict[int, dict[str, Any]] = {}
        self.types: dict[str, list[bytes]] = {}
        self.done: list[int] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.instead: list[Instead | Callable[[_Handler], None]] = []
        #: (method, path) → what to answer there instead of nothing; a list is used up, its last stays.
        self.canned: dict[tuple[str, str], Any] = {}
        self.log = {"head": "printed\n", "tail": "", "total": 8}
        self.keys: dict[str, dict[str, Any]] = {}
        #: Called with each new job; answers the result to finish it with at once, or raises to fail it, or None.
        self.work: Callable[[dict[str, Any]], Any] | None = None
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.api = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="fake-api")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> "FakeApi":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def finish(self, job_id: int, result: Any = None, *, error: str | None = None) -> None:
        with self._changed:
            job = self.jobs[job_id]
            job.update(status=-1 if error else 3, reason="error" if error else "", result=result, error=error)
            job.update(attempt=job["attempt"] + 1, machine_id="m1", version=0, count=1, spend_s=0.5)
            self.done.append(job_id)
            self._changed.notify_all()

    # ---------------------------------------------------------------------------------------------------- the routes

    def submit(self, body: dict[str, Any], key: str) -> tuple[int, Any]:
        if body["job_type"] not in self.types:
            return 404, _error("not_found", f"there is no job type {body['job_type']}", "job_type")
        with self._changed:
            if key in self.keys:
                return 201, self.keys[key]
            first = max(self.jobs, default=0) + 1
            fresh = [self._job(first + n, body, item) for n, item in enumerate(body["inputs"])]
            self.keys[key] = {"first_id": first, "count": len(fresh), "cursor": len(self.done)}
        for job in fresh:
            self._run(job)
        return 201, self.keys[key]

    def _job(self, job_id: int, body: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
        options = {"batch": "2026-11-22", "tag": "", "priority": 0, "limit_count": 1}
        options.update({name: value for name, value in body.items() if name != "inputs"})
        state = {"status": 0, "reason": "", "attempt": 0, "machine_id": "", "version": -1, "count": 0, "spend_s": 0.0}
        times = {"created_at": 1.0, "updated_at": 2.0}
        self.jobs[job_id] = {"id": job_id, "input": item, "result": None, "error": None, **options, **state, **times}
        return self.jobs[job_id]

    def _run(self, job: dict[str, Any]) -> None:
        if self.work is None:
            return
        try:
            self.finish(job["id"], self.work(job))
        except ValueError as error:
            self.finish(job["id"], error=f"Traceback …\nValueError: {error}")

    def results(self, body: dict[str, Any]) -> bytes:
        def wanted(job: dict[str, Any]) -> bool:
            if "batch" in body:
                return bool(job["batch"] == body["batch"])
            return any(first <= job["id"] <= last for first, last in body["ids"])

        with self._changed:
            mine = {job["id"] for job in self.jobs.values() if wanted(job)}

            def state() -> tuple[list[int], int]:
                fresh = [job_id for job_id in self.done[body["cursor"] :] if job_id in mine]
                return fresh, sum(self.jobs[job_id]["status"] in (0, 1, 2) for job_id in mine)

            self._changed.wait_for(lambda: state()[0] or not state()[1], timeout=body["wait_s"])
            fresh, pending = state()
            names = (
                "id",
                "status",
                "reason",
                "attempt",
                "machine_id",
                "version",
                "count",
                "spend_s",
                "result",
                "error",
            )
            rows = [{name: self.jobs[job_id][name] for name in names} for job_id in fresh[: body["limit"]]]
            cursor = len(self.done) if len(rows) == len(fresh) else self.done.index(rows[-1]["id"]) + 1
        lines = [*rows, {"cursor": cursor, "pending": pending}]
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()

    def page(self, query: dict[str, str]) -> dict[str, Any]:
        size, after = int(query.pop("size", "50")), int(query.pop("after", "0")) or None
        fits = [
            job
            for job in sorted(self.jobs.values(), key=lambda job: -job["id"])
            if all(str(job[name]) == value for name, value in query.items()) and (after is None or job["id"] < after)
        ]
        shown = [{key: value for key, value in job.items() if key not in ("result", "error")} for job in fits[:size]]
        return {"jobs": shown, "next": shown[-1]["id"] if len(fits) > size else None}

    def log_part(self, query: dict[str, str]) -> dict[str, Any]:
        """Of an attempt that has ended; ``log`` is the same for all streams and attempts."""
        about = {"attempt": 1, "stream": query.get("stream", "stdout"), "running": False, "live": False}
        if "offset" not in query:
            return {**about, **self.log}
        printed, offset = (self.log["head"] + self.log["tail"]).encode(), int(query["offset"])
        text = printed[offset:].decode()
        return {**about, "offset": offset, "text": text, "total": len(printed), "next_offset": len(printed)}

    def summary(self, query: dict[str, str]) -> list[dict[str, Any]]:
        by_batch = "batch" in query or query.pop("by_batch", "") == "true"
        groups: dict[tuple[str, str | None], dict[str, int]] = {}
        for job in self.jobs.values():
            if all(job[name] == value for name, value in query.items()):
                counts = groups.setdefault((job["job_type"], job["batch"] if by_batch else None), {})
                counts[str(job["status"])] = counts.get(str(job["status"]), 0) + 1
        return [
            {"job_type": name, "batch": batch, "jobs": counts, "count": 0, "spend_s": 1.0}
            for (name, batch), counts in groups.items()
        ]

    def act(self, body: dict[str, Any]) -> dict[str, Any]:
        ids = [job_id for job_id in body["ids"] if job_id in self.jobs]
        if body["action"] == "delete":
            for job_id in ids:
                del self.jobs[job_id]
        if body["action"] == "kill":
            for job_id in ids:
                self.jobs[job_id].update(status=-1, reason="killed")
        return {"matched": len(ids), "changed": len(ids), "skipped": {"running": 0}}

    def said(self, method: str, path: str) -> Any:
        answers = self.canned[method, path]
        if not isinstance(answers, list):
            return answers
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def bulk(self, body: dict[str, Any]) -> dict[str, Any]:
        wanted = body.get("filter", {"ids": body.get("ids")})
        ids = [
            job_id
            for job_id, job in self.jobs.items()
            if all(job_id in value if name == "ids" else str(job[name]) == str(value) for name, value in wanted.items())
        ]
        if body.get("dry_run"):
            return {"action": body["action"], "matched": len(ids), "changed": len(ids), "skipped": {}}
        done = {**self.act({"action": body["action"], "ids": ids}), "action": body["action"], "state": "done"}
        return {**done, "operation_id": 1}

    def publish(self, name: str, archive: bytes) -> dict[str, Any]:
        versions = self.types.setdefault(name, [])
        changed = not versions or versions[-1] != archive
        if changed:
            versions.append(archive)
        return {"version": len(versions) - 1, "changed": changed}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        pass

    @property
    def api(self) -> FakeApi:
        return self.server.api  # type: ignore[attr-defined, no-any-return]

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.api.requests.append((self.command, self.path, dict(self.headers), body))
        if self.api.instead:
            instead = self.api.instead.pop(0)
            if callable(instead):
                instead(self)
            else:
                self.send(*instead)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.send_json(401, _error("not_signed_in", "a token is needed"))
        elif (self.command, path := urlsplit(self.path).path) in self.api.canned:
            self.send_json(200, self.api.said(self.command, path))
        else:
            self._route(body)

    def _route(self, body: bytes) -> None:  # noqa: C901 - a table of routes
        api, url = self.api, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match [unquote(part) for part in url.path.removeprefix("/api/v1/").split("/")], self.command:
            case ["jobs"], "POST":
                self.send_json(*api.submit(json.loads(body), self.headers["Idempotency-Key"]))
            case ["results"], "POST":
                self.send(200, api.results(json.loads(body)), {"Content-Type": "application/x-ndjson"})
            case ["jobs"], "GET":
                self.send_json(200, api.page(query))
            case ["jobs", "bulk"], "POST":
                self.send_json(200, api.bulk(json.loads(body)))
            case ["jobs", job_id], "GET" if int(job_id) in api.jobs:
                self.send_json(200, api.jobs[int(job_id)])
            case ["job_types"], "GET":
                rows = [{"job_type": name, "version": len(all_) - 1} for name, all_ in api.types.items()]
                self.send_json(200, {"job_types": rows})
            case ["job_types", name], "GET" if name in api.types:
                self.send_json(200, {"job_type": name, "version": len(api.types[name]) - 1})
            case ["job_types", name, "versions"], "POST":
                self.send_json(200, api.publish(name, body))
            case ["job_types", name, "register"], "POST":
                self.send_json(200, api.publish(name, small_zip()))
            case ["job_types", name, "versions", number, "zip"], "GET":
                self.send(200, api.types[name][int(number)], {"Content-Type": "application/zip"})
            case ["machines"], "GET":
                self.send_json(200, {"machines": [{"machine_id": "m1", "state": "ready", "running": 1}]})
            case ["summary"], "GET":
                self.send_json(200, {"summary": api.summary(query)})
            case ["jobs", job_id, "log"], "GET":
                self.send_json(200, api.log_part(query))
            case ["server"], "GET":
                self.send_json(200, {"version": "0.1.0"})
            case _:
                self.send_json(404, _error("not_found", f"nothing at {url.path}"))

    def send_json(self, status: int, value: Any) -> None:
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def small_zip() -> bytes:
    """A job folder with a main.py, zipped."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("main.py"), "def work(x=1):\n    return {'result': x}\n")
    return out.getvalue()


def _error(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "field": field, "request_id": "r-1"}}
