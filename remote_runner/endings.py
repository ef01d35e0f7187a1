"""Bodies of records that the runner writes itself. Values in, bytes out."""

import json
import os
from typing import Any, Dict, Optional, Tuple

from remote_runner.logs import Log


def back(why: str, *, failed: bool) -> bytes:
    """Work() was not entered; ``failed``: because it cannot be run here."""
    return _text({"why": why, "failed": True} if failed else {"why": why})


def unstarted(reason: str) -> bytes:
    """Ended before it began."""
    return _text({"ok": False, "reason": reason, "started": False})


def died(status: Optional[int], kill_reason: str, why: str, spent_s: float) -> bytes:
    """The process ended under the attempt: by our doing (``kill_reason``) or its own. No status: nobody saw it."""
    body: Dict[str, Any] = {"ok": False, "reason": kill_reason or "died", "spend_s": round(spent_s, 6)}
    body.update(_how(status))
    error = why if kill_reason else _words(status)
    if error:
        body["error"] = error
    return _text(body)


def _how(status: Optional[int]) -> Dict[str, int]:
    if status is None:
        return {}
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    return {"exit_code": os.WEXITSTATUS(status)}


def _words(status: Optional[int]) -> str:
    if status is None:
        return "the worker was killed"
    if os.WIFSIGNALED(status):
        return "the process was ended by signal %d" % os.WTERMSIG(status)
    return "the process ended itself with exit code %d" % os.WEXITSTATUS(status)


def with_logs(body: bytes, logs: Tuple[Log, Log]) -> bytes:
    """The body with what the attempt printed."""
    return _with(body, b"log", {"stdout": logs[0].record(), "stderr": logs[1].record()})


def is_failure(body: bytes) -> bool:
    """Whether this is the end of an attempt that went wrong."""
    return body.startswith(b'{"ok":false')


def with_machine(body: bytes, snapshot: Dict[str, Any]) -> bytes:
    """The body of a failure with how the machine was."""
    return _with(body, b"machine", snapshot)


def _with(body: bytes, key: bytes, value: Dict[str, Any]) -> bytes:
    return body[:-1] + (b"," if len(body) > 2 else b"") + b'"' + key + b'":' + _text(value) + b"}"


def _text(value: Dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
