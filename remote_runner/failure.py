"""Put into words how an attempt failed: the body of its end record. Never raises, whatever the error does."""

import traceback
import types
from json.encoder import encode_basestring_ascii as _quote
from typing import Optional, Tuple

from remote_runner.call import BadResult, TooLarge

TEXT_LIMIT_BYTES = 64 * 1024

_format = traceback.format_exception


def describe(error: BaseException, spent_s: float) -> bytes:
    """The record's body for an exception that left work() or what came before and after it."""
    reason, text = _words(error)
    body = '{"ok":false,"reason":"%s","error":%s,"spend_s":%.6f' % (reason, _quote(shorten(text)), spent_s)
    if isinstance(error, SystemExit):
        body += ',"exit_code":%d' % _exit_code(error)
    return body.encode("ascii") + b"}"


def _words(error: BaseException) -> Tuple[str, str]:
    if isinstance(error, BadResult):
        return "bad_result", str(error)
    if isinstance(error, TooLarge):
        return "result_too_large", str(error)
    try:
        return "error", "".join(_format(type(error), error, _users_part(error)))
    except BaseException:  # noqa: BLE001  # its own __str__ may fail, or the memory may be gone
        return "error", type(error).__name__


def _users_part(error: BaseException) -> Optional[types.TracebackType]:
    """The traceback below our own frames; the whole of it if nothing else is there."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_globals.get("__package__") == __package__:
        found = found.tb_next
    return found


def _exit_code(error: SystemExit) -> int:
    """What the process would have ended with."""
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1


def shorten(text: str) -> str:
    """At most TEXT_LIMIT_BYTES once encoded, the ends kept: the last lines say most."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= TEXT_LIMIT_BYTES:
        return data.decode("utf-8")
    half = TEXT_LIMIT_BYTES // 2 - 50
    cut = "\n… %d bytes left out …\n" % (len(data) - 2 * half)
    return data[:half].decode("utf-8", "ignore") + cut + data[-half:].decode("utf-8", "ignore")
