"""What runners say, on an app of its own: one path, one key a runner, every batch signed (S6).

Everything that arrives here may be hostile: it is checked, handed to the service as values, and never believed. Each
job pays for this path, so Flask sees only requests that are refused or lost, and gives them their answers.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flask import Flask, Response, request
from werkzeug import Request

from jobs.service import JobService
from remote_runner import protocol
from remote_runner.protocol import Record
from web.api import bodies
from web.problems import Problem, install

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PATH: Final = "/report"
#: Of the environment of a request: what is to be answered.
_WRONG: Final = "multijob.wrong"
#: What the database keeps as an integer.
_HIGHEST: Final = 2**63 - 1


class RunnerKey(NamedTuple):
    """Whose reports a key signs."""

    machine_id: str
    key: bytes


#: Runner id → its key; None: unknown, ended or superseded.
Keys = Callable[[str], RunnerKey | None]


def create_reports_app(service: JobService, keys: Keys) -> Flask:
    """The app behind the report listener; it serves nothing else."""
    app = Flask("web.reports", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = protocol.REPORT_LIMIT_BYTES
    install(app)
    whole = app.wsgi_app

    @app.post(_PATH)
    def refuse() -> Response:
        raise request.environ[_WRONG]

    def take(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != _PATH or environ["REQUEST_METHOD"] != "POST":
            return whole(environ, start_response)
        try:
            sent = Request(environ)
            sent.max_content_length = app.config["MAX_CONTENT_LENGTH"]
            said = _take(service, keys, sent)
        except Exception as error:  # noqa: BLE001 - whatever it is, install() knows its answer
            environ[_WRONG] = error
            return whole(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(said)))])
        return [said]

    app.wsgi_app = take  # type: ignore[method-assign] # as Flask's documentation does
    return app


def _take(service: JobService, keys: Keys, sent: Request) -> bytes:
    runner_id = sent.headers.get(protocol.RUNNER_HEADER, "")
    body = _body(sent)
    runner = _signer(keys, runner_id, body, sent.headers.get(protocol.SIGNATURE_HEADER, ""))
    records = _records(runner_id, body, beside=sent.headers.get("Content-Type") == protocol.BESIDE_TYPE)
    answer = service.take_report(runner.machine_id, runner_id, records)
    return json.dumps({"stored": answer.stored, "stop": [list(key) for key in answer.stop]}).encode("ascii")


def _body(sent: Request) -> bytes:
    """A long one in one piece: it is all here already, and Werkzeug would ask for 64 KB at a time."""
    size = sent.content_length or 0
    if not protocol.BESIDE_BYTES < size <= (sent.max_content_length or 0):
        return sent.get_data(cache=False)
    whole: bytes = sent.environ["wsgi.input"].read(size)
    return whole


def _signer(keys: Keys, runner_id: str, body: bytes, signature: str) -> RunnerKey:
    """Whoever signed this. The same answer for an unknown runner and a wrong signature: nothing to learn here."""
    runner = keys(runner_id) if runner_id else None
    if runner is None or not protocol.signed_by(runner.key, body, signature):
        raise Problem(403, "this report is not signed by a runner of this server")
    return runner


def _records(runner_id: str, body: bytes, *, beside: bool) -> Sequence[Record]:
    end = body.find(b"\n") if beside else -1
    try:
        message = bodies.load(body if end < 0 else body[:end])
        _check_envelope(message, runner_id)
        records: list[Record] = protocol.decode_records(message.get("records"))
        if beside:
            protocol.take_beside(records, memoryview(body)[end + 1 :] if end >= 0 else memoryview(b""))
    except bodies.Refused as refused:
        raise Problem(400, refused.message) from refused
    except protocol.ProtocolError as error:
        raise Problem(400, str(error)) from error
    _check_numbers(records)
    return records


def _check_envelope(message: Any, runner_id: str) -> None:
    if not isinstance(message, dict):
        raise protocol.ProtocolError("a report is an object")
    protocol.check_version(message)
    if message.get("runner") != runner_id:
        raise protocol.ProtocolError("the report is of another runner than its header says")


def _check_numbers(records: Sequence[Record]) -> None:
    """What no database could hold was never assigned by us."""
    if not 0 < len(records) <= protocol.REPORT_LIMIT_RECORDS:
        raise Problem(400, f"a report carries 1 to {protocol.REPORT_LIMIT_RECORDS} records")
    for record in records:
        if not (0 <= record.seq <= _HIGHEST and 0 <= record.job <= _HIGHEST and 0 <= record.attempt <= _HIGHEST):
            raise Problem(400, "a record's numbers are out of range")
