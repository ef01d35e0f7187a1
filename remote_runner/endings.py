"""Bodies of records that the runner writes itself. Values in, bytes out."""

import json
import os
from typing import Any, Dict, Optional, Tuple

from remote_runner.logs import Log


def back(why: str) -> bytes:
    """Given back, work() was not entered."""
    return _text({"why": why})


def unstarted(reason: str) -> bytes:
    """Ended before it began."""
    return _text({"ok": False, "reason": reason, "started": False})


def died(status: Optional[int], kill_reason: str, spent_s: float) -> bytes:
    """The process ended under the attempt: by our doing (``kill_reason``) or its own. No status: nobody saw it."""
    body: Dict[str, Any] = {"ok": False, "reason": kill_reason or "died", "spend_s": round(spent_s, 6)}
    body.update(_how(status))
    if not kill_reason:
        body["error"] = _words(status)
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
    record = {"stdout": logs[0].record(), "stderr": logs[1].record()}
    return body[:-1] + (b"," if len(body) > 2 else b"") + b'"log":' + _text(record) + b"}"


def _text(value: Dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
