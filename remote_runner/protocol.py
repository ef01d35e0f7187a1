"""THE wire contract between the server and a runner; both ends import this file, and nothing else decides it.

Python >= 3.6, standard library only, no input or output: values in, bytes out.

Channel
    The server starts ``attach`` on the node. It prints ``MARK + token + newline`` (the token came as an argument), so
    that whatever a login shell printed before is skipped; then both directions carry frames: four bytes of length,
    big-endian, then a JSON object with its kind under ``t``. Unknown keys are ignored, unknown kinds are ignored,
    an unknown version is an error that names both.

    server -> runner
    ========  ==============================================================================================
    hello     v, server, runner, key, limit, url, beside_bytes, linger_s, orphan_s, silence_s, env: always first.
              ``runner`` and ``key`` (hex) are taken by a new runner; one that lives keeps its own. ``url``: where to
              POST reports, or null: over the channel. ``beside_bytes``: texts of so many bytes may travel beside a
              report (missing: none). ``linger_s``: how long to stay without work; ``orphan_s``: the same without any
              contact; ``silence_s``: without an answered ping for so long, exclusive attempts end; ``env``: the
              machine's own variables, below those of a version.
    versions  versions: {ref: Version as a list}: what assignments may refer to from now on; exclusive: those refs
              among them of which no two attempts of a job may run at once.
    assign    jobs: [Assignment as a list, ...]
    recall    attempts: [[job, attempt], ...] or null for all: give back those that have not started.
    kill      attempts: [[job, attempt], ...], grace_s
    limit     limit: how many may run at once from now on
    route     url: where to report from now on, or null
    stored    runner, seq: records of that runner up to seq are stored (answer to ``records``)
    pong      n: the ping of that number was heard
    watch     n, job, attempt, stream ("stdout" | "stderr"), offset, upto, for_s: send what that attempt prints from
              ``offset`` on (negative: from the end; not there any more: from the first later byte that is), as ``log``
              frames under the number ``n``. A watch ends after ``for_s``, or with its channel; the same again makes it
              last, and 0 ends it at once. ``upto``: no bytes behind this offset yet (null: LOG_WINDOW_BYTES from where
              it begins)
    leave     end as soon as nothing runs and all is stored
    ========  ==============================================================================================

    runner -> server
    ========  ==============================================================================================
    hello     v, runner, pid, python, held: [[job, attempt, state], ...] with state one of HELD; earlier: runners that
              died and whose journals wait here (their attempts are among ``held``); unread: those whose journals
              cannot be read, so that nothing follows from not knowing an attempt
    records   runner, records: [Record as a list, ...]; sent only when there is no url, and for what earlier runners
              left in their journals
    ping      n: grows; to be answered at once
    log       n, job, attempt, stream, offset, total, text: what was printed at ``offset``, which is where the frame
              before of the same watch ended, or later where bytes in between are gone. ``text`` has as many bytes of
              UTF-8 as were printed; ``total``: bytes printed so far. The first of a watch comes at once, empty or not
    progress  rows: [[job, attempt, n, total or null], ...]: how far the running attempts are that say so: all of them,
              whenever one has come further, at most once a second
    trouble   reason, text: something a person should see ("disk_full", "version_damaged", "unkillable", ...)
    leaving   runner: nothing is held any more; assignments that cross with this are not started
    ========  ==============================================================================================

Report
    ``POST url`` with body ``{"v", "runner", "records": [...]}`` and the header SIGNATURE_HEADER: hex HMAC-SHA256 of the
    body under the runner's key. RUNNER_HEADER names the runner. The answer, ``{"stored": seq, "stop": [[job,
    attempt]]}``, acknowledges all records up to ``seq``; ``stop`` names attempts that no longer count. Records may be
    repeated and come in any order; the same record twice changes nothing.

    Long texts may travel beside it, where the server's hello allows that, so that nobody has to read them to find their
    ends: with the Content-Type BESIDE_TYPE the body is that object, a newline, and the texts in UTF-8 with nothing in
    between, in the order of the records, ``result`` before ``return_data``. In the record stands their length instead:
    {"bytes": n}.
"""

import hashlib
import hmac
import json
import struct
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

VERSION = 1
MARK = "multijob-stream "
SIGNATURE_HEADER = "X-MJ-Signature"
RUNNER_HEADER = "X-MJ-Runner"
REPORT_TYPE = "application/json"
BESIDE_TYPE = "application/vnd.multijob.report"
#: From how many bytes on a text travels beside its report.
BESIDE_BYTES = 64 * 1024

#: States of an attempt a runner holds: not begun, begun, ended but not yet known to be stored.
HELD = ("queued", "running", "ended")

#: The longest frame either end accepts; a result is at most RESULT_LIMIT_BYTES, a job's input 16 MiB.
FRAME_LIMIT_BYTES = 48 * 1024 * 1024
RESULT_LIMIT_BYTES = 8 * 1024 * 1024
#: What is sent ahead to whoever watches a log, and the most in one frame.
LOG_WINDOW_BYTES = 256 * 1024
LOG_FRAME_BYTES = 48 * 1024
#: A report stops growing here (one record may be larger by itself).
REPORT_TARGET_BYTES = 2 * 1024 * 1024
REPORT_LIMIT_BYTES = 48 * 1024 * 1024
REPORT_LIMIT_RECORDS = 2000

_LENGTH = struct.Struct(">I")


class ProtocolError(Exception):
    """The other end does not speak this protocol, or not this version of it."""


Assignment = NamedTuple(
    "Assignment",
    [
        ("job", int),
        ("attempt", int),
        ("ref", str),  # "job_type@version": which Version
        ("input", str),  # JSON text: {"args": [...], "kwargs": {...}}
    ],
)

Version = NamedTuple(
    "Version",
    [
        ("job_type", str),
        ("version", int),
        ("folder", str),  # below the node's root, e.g. "versions/crawl/3-1f0c…"
        ("digest", str),  # of the folder's content: remote_runner.digest.of_folder
        ("timeout_s", Optional[float]),
        ("env", Dict[str, str]),
        ("fresh_process", bool),
        ("max_jobs_per_worker", int),  # 0: no bound
        ("environment", str),  # the digest of the packages it asks for; missing, or "": none
    ],
)
Version.__new__.__defaults__ = ("",)  # Python 3.6 has no other way to say it

Record = NamedTuple(
    "Record",
    [
        ("seq", int),  # grows by one within a runner
        ("kind", str),  # "start" | "end" | "back"
        ("job", int),
        ("attempt", int),
        ("body", Dict[str, Any]),
    ],
)
#: Of the body of an "end": what may travel beside the report, in this order.
_TEXTS = ("result", "return_data")
# Body of "start": {}.
# Body of "back": {"why": str, "failed": bool}: work() was not entered. failed (missing: false): it could not be run
#     here, rather than that it was not wanted here any more.
# Body of "end": keys with a default may be missing
#     ok            bool
#     reason        str, a jobs.status.Reason: "" when ok, else error, bad_result, result_too_large, timeout, died,
#                   killed
#     result        str, strict JSON text; of a failure at most what its exception brought along
#     return_data   str, strict JSON text; missing: null
#     count         int or float >= 0; missing: 1
#     spend_s       float, monotonic seconds inside work()
#     error         str: traceback or explanation, at most 64 KiB
#     final         bool; missing: false. true: its exception says that another try would end the same
#     exit_code     int; signal: int (how the process ended, where it did)
#     started       bool; missing: true. false: work() was never entered (a "died" before it)
#     log           {"stdout": Log, "stderr": Log}, Log = {"head": str, "tail": str, "total": int bytes};
#                   missing: silent
#     machine       how the machine was (failures only): load1, memory_free_mb, disk_free_mb, python, runner


def row_of(version: Version) -> List[Any]:
    """A version as it travels: without what it does not ask for, so that runners from before that was known take it."""
    row = list(version)
    return row if version.environment else row[:-1]


def encode(message: Dict[str, Any]) -> bytes:
    """One frame. Text stays ASCII, so that lone surrogates travel as escapes."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > FRAME_LIMIT_BYTES:
        raise ProtocolError("frame of %d bytes is over the limit of %d" % (len(body), FRAME_LIMIT_BYTES))
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Turns bytes as they come into messages: ``feed`` them, take what ``messages`` yields."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> List[Dict[str, Any]]:
        """All messages completed by these bytes. Raises ProtocolError on garbage; the stream is dead then."""
        self._buffer += data
        out: List[Dict[str, Any]] = []
        start = 0
        while len(self._buffer) - start >= 4:
            (size,) = _LENGTH.unpack_from(self._buffer, start)
            if size > FRAME_LIMIT_BYTES:
                raise ProtocolError("frame of %d bytes announced" % size)
            if len(self._buffer) - start - 4 < size:
                break
            out.append(_message(bytes(self._buffer[start + 4 : start + 4 + size])))
            start += 4 + size
        if start:
            del self._buffer[:start]
        return out


def _message(body: bytes) -> Dict[str, Any]:
    try:
        message = json.loads(body.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("not a JSON frame: %s" % error) from error
    if not isinstance(message, dict) or not isinstance(message.get("t"), str):
        raise ProtocolError("a frame without its kind")
    return message


def check_version(message: Dict[str, Any]) -> None:
    """Refuse a peer that speaks another version, naming both."""
    if message.get("v") != VERSION:
        raise ProtocolError("the other end speaks version %r, this one %d" % (message.get("v"), VERSION))


def encode_report(runner: str, records: Iterable[Record]) -> bytes:
    """The body of a report."""
    return json.dumps({"v": VERSION, "runner": runner, "records": list(records)}, separators=(",", ":")).encode("ascii")


def put_beside(body: bytes, least_bytes: int) -> Optional[bytes]:
    """The same report with its long texts beside it; None: it has none, or is not what a report should be."""
    texts: List[bytes] = []
    try:
        message = json.loads(body.decode("ascii"))
        for _, _, _, _, said in message["records"]:
            for name in _TEXTS:
                text = said.get(name)
                if isinstance(text, str) and len(text) >= least_bytes:
                    texts.append(text.encode("utf-8"))
                    said[name] = {"bytes": len(texts[-1])}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    head = json.dumps(message, separators=(",", ":")).encode("ascii")
    return b"".join([head, b"\n", *texts]) if texts else None


def take_beside(records: Iterable[Record], texts: memoryview) -> None:
    """Put the texts that came beside a report where they belong; ProtocolError where that does not work out."""
    at = 0
    for record in records:
        for name in _TEXTS:
            stand_in = record.body.get(name)
            if not isinstance(stand_in, dict):
                continue
            size = stand_in.get("bytes")
            if type(size) is not int or not 0 <= size <= len(texts) - at:
                raise ProtocolError("a text beside the report is shorter than its record says")
            try:
                record.body[name] = str(texts[at : at + size], "utf-8")
            except UnicodeDecodeError:
                raise ProtocolError("a text beside the report is not UTF-8") from None
            at += size
    if at != len(texts):
        raise ProtocolError("more follows the report than its records say")


def decode_records(rows: Any) -> List[Record]:
    """Records from a decoded report or frame; anything that is not one is a ProtocolError."""
    if not isinstance(rows, list):
        raise ProtocolError("records is not a list")
    return [_record(row) for row in rows]


def _record(row: Any) -> Record:
    if not isinstance(row, list) or len(row) != 5:
        raise ProtocolError("a record is a list of five")
    seq, kind, job, attempt, body = row
    if not (type(seq) is int and type(job) is int and type(attempt) is int and isinstance(body, dict)):
        raise ProtocolError("a record's parts have the wrong types")
    if kind not in ("start", "end", "back"):
        raise ProtocolError("unknown kind of record")
    return Record(seq, kind, job, attempt, body)


def sign(key: bytes, body: bytes) -> str:
    """Hex HMAC-SHA256 of a report's body."""
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def signed_by(key: bytes, body: bytes, signature: str) -> bool:
    """Whether the signature is right, compared in constant time."""
    return hmac.compare_digest(sign(key, body).encode("ascii"), signature.encode("utf-8", "replace"))


Held = Tuple[int, int, str]
