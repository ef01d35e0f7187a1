"""What the web costs per job, apart from the store and together with it. Prints one JSON line a measurement.

    python -m bench.web            # both
    python -m bench.web --alone    # the web by itself: a service that answers at once

Real HTTP over the loopback, one client in this process, so the numbers hold the client's share as well; the lines named
``wsgi`` call the app directly and hold nothing but the web.
"""

import http.client
import io
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask

from jobs.model import Pick, ReportAnswer, ResultPage, ResultRow, Submitted, TokenInfo
from jobs.service import JobService
from jobs.store import Store
from remote_runner import protocol
from remote_runner.protocol import Record
from web.accounts import Accounts
from web.app import WebOptions, create_app
from web.reports import RunnerKey, create_reports_app
from web.serve import Listener

KEY = b"k" * 32
BATCH = 1000
ROUNDS = 30


class AtOnce:
    """A service that has answers ready: what is left is the web."""

    def __init__(self) -> None:
        row = ResultRow(1, 1, 3, "", 1, "lab-1", 0, 1.0, 0.0125, '{"sum": 3, "label": "job 1"}', None)
        self._page = ResultPage([row] * BATCH, BATCH, 0)

    def check_token(self, *_: object) -> TokenInfo:
        return TokenInfo(name="bench", scopes=frozenset({"admin"}), created_at=0.0)

    def submit(self, submission: Any, **_: object) -> Submitted:
        return Submitted(1, len(submission.inputs), 0)

    def results(self, *_: object, **__: object) -> ResultPage:
        return self._page

    def take_report(self, _machine_id: str, _runner_id: str, records: list[Record]) -> ReportAnswer:
        return ReportAnswer(records[-1].seq, [])


def main() -> None:
    alone(AtOnce())
    if "--alone" not in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            with_store(Path(folder))


def alone(service: Any) -> None:
    """The web by itself, by WSGI and by HTTP."""
    app, reports = apps(service, "any")
    many, single, ended = submission(), submission(1), report(range(1, 101))
    for how, send in (("wsgi", by_wsgi(app)), ("http", by_http(app))):
        say("web.submit", how, BATCH, lambda send=send: send("/api/v1/jobs", many))
        say("web.submit_one", how, 1, lambda send=send: send("/api/v1/jobs", single))
        say("web.results", how, BATCH, lambda send=send: send("/api/v1/results", b'{"cursor":0}'))
    for how, send in (("wsgi", by_wsgi(reports)), ("http", by_http(reports))):
        say("web.report", how, 100, lambda send=send: send("/report", ended))


def with_store(folder: Path) -> None:
    """The same with the real service on SQLite, jobs moving from submit to result."""
    store = Store.open(f"sqlite:///{folder}/multijob.db")
    service = JobService(store, folder / "jobs", folder / "cache")
    service.publish_zip("new_job", small_zip(folder / "new_job.zip"))
    app, reports = apps(service, service.create_token("bench", ["admin"]))
    send, send_report, many = by_http(app), by_http(reports), submission()
    say("web.submit", "http+store", BATCH, lambda: send("/api/v1/jobs", many))
    first = iter(range(1, ROUNDS * BATCH, 100))
    say("web.claim_and_report", "http+store", 100, lambda: send_report("/report", claimed(service, next(first))))
    say("web.results", "http+store", BATCH, lambda: send("/api/v1/results", b'{"cursor":0}'))
    store.close()


def claimed(service: JobService, first: int) -> bytes:
    """A report that ends a hundred jobs, which are claimed first: the time for that is in the number."""
    service.claim([Pick(job_id, "lab-1", 0) for job_id in range(first, first + 100)]).result()
    return report(range(first, first + 100))


# ------------------------------------------------------------------------------------------------------------- bodies


def submission(count: int = BATCH) -> bytes:
    inputs = [{"args": [n, 2], "kwargs": {"label": f"job {n}"}} for n in range(count)]
    return json.dumps({"job_type": "new_job", "inputs": inputs}, separators=(",", ":")).encode()


def report(ids: range) -> bytes:
    end = {"ok": True, "result": '{"sum": 3, "label": "job 1"}', "spend_s": 0.0125}
    return protocol.encode_report("r1", [Record(job_id, "end", job_id, 1, end) for job_id in ids])


def small_zip(path: Path) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", "def work(x, y, label=''):\n    return x + y\n")
    path.write_bytes(buffer.getvalue())
    return path


# ---------------------------------------------------------------------------------------------------------- by and by

Send = Callable[[str, bytes], bytes]


def apps(service: Any, token: str) -> tuple[Flask, Flask]:
    app = create_app(service, Accounts(service, b"secret"), WebOptions())
    app.config["BENCH_TOKEN"] = token
    return app, create_reports_app(service, {"r1": RunnerKey("lab-1", KEY)}.get)


def headers(app: Flask, body: bytes) -> dict[str, str]:
    if "BENCH_TOKEN" not in app.config:
        return {protocol.RUNNER_HEADER: "r1", protocol.SIGNATURE_HEADER: protocol.sign(KEY, body)}
    return {"Authorization": f"Bearer {app.config['BENCH_TOKEN']}", "Content-Type": "application/json"}


def by_wsgi(app: Flask) -> Send:
    def send(path: str, body: bytes) -> bytes:
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
        }
        for name, value in {"Host": "localhost", **headers(app, body)}.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        status: list[str] = []
        answer = b"".join(app(environ, lambda line, _: status.append(line)))
        assert status[0].startswith("20"), answer
        return answer

    return send


def by_http(app: Flask) -> Send:
    listener = Listener(app, "127.0.0.1", 0, 8)
    listener.start()
    connection = http.client.HTTPConnection("127.0.0.1", listener.port)

    def send(path: str, body: bytes) -> bytes:
        connection.request("POST", path, body, headers(app, body))
        response = connection.getresponse()
        answer = response.read()
        assert response.status in (200, 201), answer
        return answer

    return send


def say(name: str, how: str, jobs: int, once: Callable[[], object]) -> None:
    """The best of three runs; wall time, and the time this process spent on both cores."""
    rounds = ROUNDS if jobs > 1 else ROUNDS * 10
    once()
    wall_s, cpu_s = min(_run(once, rounds) for _ in range(3))
    each = wall_s / rounds / jobs
    line = {
        "bench": name,
        "how": how,
        "jobs": jobs,
        "us_per_job": round(each * 1e6, 2),
        "cpu_us_per_job": round(cpu_s / rounds / jobs * 1e6, 2),
        "jobs_per_s": round(1 / each),
    }
    print(json.dumps(line), flush=True)


def _run(once: Callable[[], object], rounds: int) -> tuple[float, float]:
    begun, begun_cpu = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        once()
    return time.perf_counter() - begun, time.process_time() - begun_cpu


if __name__ == "__main__":
    main()
