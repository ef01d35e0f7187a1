"""How an attempt ended, as one checked value: from what a node says (hostile until checked) or made by the server.

Pure. Nothing here raises for bad content: a record that is not what it should be becomes a failed attempt that says so.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from jobs import large_json, strict_json
from jobs.model import AttemptKey
from jobs.status import Reason
from remote_runner.protocol import RESULT_LIMIT_BYTES, Record

ERROR_LIMIT: Final = 64 * 1024
#: Of a line that stands for a failure in lists.
LINE_LIMIT: Final = 200
LOG_HEAD_LIMIT: Final = 64 * 1024
LOG_TAIL_LIMIT: Final = 192 * 1024
#: Ten thousand years: more than any attempt, small enough to be added up.
SPEND_LIMIT_S: Final = 3.2e11
COUNT_LIMIT: Final = 1e15
_INT_LIMIT: Final = 2**31

#: What a node may give as the reason of a failure.
_FROM_NODES: Final[Mapping[str, Reason]] = {
    str(reason): reason
    for reason in (
        Reason.ERROR,
        Reason.BAD_RESULT,
        Reason.RESULT_TOO_LARGE,
        Reason.TIMEOUT,
        Reason.DIED,
        Reason.KILLED,
    )
}


class Outcome(NamedTuple):
    """One ended attempt. Success: reason is NONE."""

    reason: Reason
    #: work() was entered, or may have been.
    started: bool = True
    result: str | None = None
    return_data: str | None = None
    return_count: float = 0.0
    spend_s: float = 0.0
    error: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    log: str | None = None
    #: JSON text: how the machine was, as the node says; failures only.
    machine: str | None = None
    #: A failure that another try would not change.
    final: bool = False


class Heard(NamedTuple):
    """A report sorted out: which attempts began, and how others ended, each in the order they were told."""

    last_seq: int
    begun: list[AttemptKey]
    ended: list[tuple[AttemptKey, Outcome]]


def from_records(records: Sequence[Record]) -> Heard:
    """Sort out a report. An attempt told to have ended is not also told to have begun."""
    begun: dict[AttemptKey, None] = {}
    ended: list[tuple[AttemptKey, Outcome]] = []
    last_seq = 0
    for seq, kind, job, attempt, body in records:
        if seq > last_seq:
            last_seq = seq
        if kind == "start":
            begun[job, attempt] = None
        else:
            ended.append(((job, attempt), _end(body) if kind == "end" else _back(body)))
    for key, _ in ended:
        begun.pop(key, None)
    return Heard(last_seq, list(begun), ended)


def server_made(reason: Reason, error: str = "", machine: Mapping[str, Any] | None = None) -> Outcome:
    """An end the server itself declares: lost, died, given_back, dispatch_failed. ``machine``: as it was last seen."""
    started = reason not in (Reason.GIVEN_BACK, Reason.DISPATCH_FAILED, Reason.ENVIRONMENT_FAILED)
    return Outcome(reason, started=started, error=error or None, machine=_machine(machine))


def without_packages(why: str, log: str) -> Outcome:
    """What a job asks for could not be installed: the installer's words, and all it printed as the attempt's log."""
    error = _text(why, ERROR_LIMIT)
    return server_made(Reason.ENVIRONMENT_FAILED, error or "")._replace(
        log=_log({"stdout": {"head": "", "tail": log, "total": len(log.encode("utf-8", "replace"))}})
    )


# ------------------------------------------------------------------------------------------------------ "end", "back"


def _back(body: Mapping[str, Any]) -> Outcome:
    """Not wanted there any more, or (``failed``) the node could not run it: its failure, not the job's."""
    reason = Reason.DISPATCH_FAILED if body.get("failed") is True else Reason.GIVEN_BACK
    return Outcome(reason, started=False, error=_text(body.get("why"), ERROR_LIMIT))


def _end(body: Mapping[str, Any]) -> Outcome:
    if body.get("ok") is True:
        return _success(body)
    reason = body.get("reason")
    known = _FROM_NODES.get(reason, Reason.ERROR) if isinstance(reason, str) else Reason.ERROR
    return _failure(known, body, _text(body.get("error"), ERROR_LIMIT))


def _success(body: Mapping[str, Any]) -> Outcome:
    result = body.get("result")
    return_data = body.get("return_data")
    count = body.get("count", 1)
    fault = _fault("result", result) or (return_data is not None and _fault("return_data", return_data)) or None
    if fault is None and not _is_count(count):
        fault = Outcome(Reason.BAD_RESULT, error="count is not a number of at least 0")
    if fault is not None:
        return _failure(fault.reason, body, fault.error)
    if return_data == "null":
        return_data = None
    log = body.get("log")
    return Outcome(
        Reason.NONE,
        True,
        result,
        return_data,
        float(count),
        _seconds(body.get("spend_s")),
        None,
        _small(body.get("exit_code")),
        _small(body.get("signal")),
        None if log is None else _log(log),
    )


def _failure(reason: Reason, body: Mapping[str, Any], error: str | None) -> Outcome:
    log = body.get("log")
    return Outcome(
        reason,
        started=body.get("started") is not False,
        result=_brought(body.get("result")) if reason == Reason.ERROR else None,
        spend_s=_seconds(body.get("spend_s")),
        error=error,
        exit_code=_small(body.get("exit_code")),
        signal=_small(body.get("signal")),
        log=None if log is None else _log(log),
        machine=_machine(body.get("machine")),
        final=reason == Reason.ERROR and body.get("final") is True,
    )


# ------------------------------------------------------------------------------------------------------------- parts


def _fault(field: str, text: object) -> Outcome | None:
    """What is wrong with a text that should be strict JSON."""
    if not isinstance(text, str):
        return Outcome(Reason.BAD_RESULT, error=f"{field} is missing or is not JSON text")
    if len(text) > RESULT_LIMIT_BYTES:
        return _too_large(field, len(text))
    try:
        if not large_json.is_costly(text) or not large_json.is_plain(text):
            value = strict_json.decode(text)
            if large_json.has_half_pair(text):
                json.dumps(value, ensure_ascii=False).encode()
        if not text.isascii() and len(text.encode()) > RESULT_LIMIT_BYTES:
            return _too_large(field, len(text.encode()))
    except RecursionError:
        return Outcome(Reason.BAD_RESULT, error=f"{field} is nested too deeply")
    except ValueError as error:
        return Outcome(Reason.BAD_RESULT, error=f"{field} is not strict JSON: {_text(str(error), 1000)}")
    return None


def _too_large(field: str, size_bytes: int) -> Outcome:
    return Outcome(Reason.RESULT_TOO_LARGE, error=f"{field} has {size_bytes} bytes, the limit is {RESULT_LIMIT_BYTES}")


def _brought(text: object) -> str | None:
    """What an exception brought along; nothing else of it is wrong where that is not what it should be."""
    return text if isinstance(text, str) and _fault("result", text) is None else None


#: What JSON calls a number; a bool is none.
_NUMERIC: Final = (int, float)


def _is_count(count: object) -> bool:
    return type(count) in _NUMERIC and 0 <= count <= COUNT_LIMIT  # type: ignore[operator]


def _seconds(value: object) -> float:
    if type(value) is float and 0.0 <= value <= SPEND_LIMIT_S:
        return value
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return 0.0
    return float(min(max(value, 0.0), SPEND_LIMIT_S))


def _small(value: object) -> int | None:
    return value if type(value) is int and -_INT_LIMIT <= value < _INT_LIMIT else None


def last_line(text: str | None) -> str:
    """Of a traceback or an explanation, what it comes down to."""
    lines = (text or "").strip().splitlines()
    return lines[-1].strip()[:LINE_LIMIT] if lines else ""


def _text(value: object, limit: int) -> str | None:
    """Text every database can hold: no lone surrogates, no NUL; the end of what is too long, where the error is."""
    if not isinstance(value, str) or not value:
        return None
    return value[-limit:].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


#: What is kept of a machine's state, and as what.
_NUMBERS: Final = ("load1", "memory_free_mb", "disk_free_mb")
_WORDS: Final = ("python", "runner")
_WORD_LIMIT: Final = 64


def _machine(said: object) -> str | None:
    """The known keys of it, checked; None where nothing is left."""
    if not isinstance(said, Mapping):
        return None
    numbers = {name: said[name] for name in _NUMBERS if _is_number(said.get(name))}
    words = {name: word for name in _WORDS if (word := _text(said.get(name), _WORD_LIMIT))}
    return json.dumps(numbers | words, ensure_ascii=False) if numbers or words else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= COUNT_LIMIT


def _log(log: object) -> str | None:
    if not isinstance(log, dict):
        return None
    streams = {name: _stream(log[name]) for name in ("stdout", "stderr") if isinstance(log.get(name), dict)}
    return json.dumps(streams, ensure_ascii=False) if streams else None


def _stream(stream: Mapping[str, Any]) -> dict[str, object]:
    head, tail, total = stream.get("head"), stream.get("tail"), stream.get("total")
    return {
        "head": _text(head[:LOG_HEAD_LIMIT], LOG_HEAD_LIMIT) or "" if isinstance(head, str) else "",
        "tail": _text(tail, LOG_TAIL_LIMIT) or "",
        "total": total if type(total) is int and total >= 0 else 0,
    }
