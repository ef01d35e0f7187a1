"""What runners say, on an app of its own: one path, one key a runner, every batch signed (S6).

Everything that arrives here may be hostile: it is checked, handed to the service as values, and never believed.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from flask import Flask, Response, json, request

from jobs.service import JobService
from remote_runner import protocol
from remote_runner.protocol import Record
from web.api import bodies
from web.problems import Problem, install

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

    @app.post("/report")
    def report() -> Response:
        runner_id = request.headers.get(protocol.RUNNER_HEADER, "")
        body = request.get_data(cache=False)
        runner = _signer(keys, runner_id, body)
        answer = service.take_report(runner.machine_id, runner_id, _records(runner_id, body))
        return Response(
            json.dumps({"stored": answer.stored, "stop": [list(key) for key in answer.stop]}),
            content_type="application/json",
        )

    return app


def _signer(keys: Keys, runner_id: str, body: bytes) -> RunnerKey:
    """Whoever signed this. The same answer for an unknown runner and a wrong signature: nothing to learn here."""
    runner = keys(runner_id) if runner_id else None
    signature = request.headers.get(protocol.SIGNATURE_HEADER, "")
    if runner is None or not protocol.signed_by(runner.key, body, signature):
        raise Problem(403, "this report is not signed by a runner of this server")
    return runner


def _records(runner_id: str, body: bytes) -> Sequence[Record]:
    try:
        message = bodies.load(body)
        _check_envelope(message, runner_id)
        records: list[Record] = protocol.decode_records(message.get("records"))
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
