"""Put into words how an attempt failed: the body of its end record. Never raises, whatever the error does."""

import traceback
import types
from json.encoder import encode_basestring_ascii as _quote
from typing import Optional, Tuple

from remote_runner.call import BadResult, TooLarge

TEXT_LIMIT_BYTES = 64 * 1024
#: Of what an exception brings along besides its traceback.
CARRIED_LIMIT = 1024 * 1024

#: Of a traceback with more frames than so many, the last ones are told: putting a million into words takes a minute.
_FRAMES_LOOKED_AT = 300
_FRAMES_TOLD = -100

_format = traceback.format_exception


def describe(error: BaseException, spent_s: float) -> bytes:
    """The record's body for an exception that left work() or what came before and after it."""
    reason, text = _words(error)
    body = '{"ok":false,"reason":"%s","error":%s,"spend_s":%.6f' % (reason, _quote(shorten(text)), spent_s)
    body += _carried(error)
    if isinstance(error, SystemExit):
        body += ',"exit_code":%d' % _exit_code(error)
    return body.encode("ascii") + b"}"


def _carried(error: BaseException) -> str:
    """What main.py wants told with its exception: ``multijob_result``, JSON text; ``multijob_final``: no more tries."""
    told = ""
    try:
        text = getattr(error, "multijob_result", None)
        if type(text) is str and len(text) <= CARRIED_LIMIT:
            told += ',"result":%s' % _quote(text)
        if getattr(error, "multijob_final", None) is True:
            told += ',"final":true'
    except BaseException:  # noqa: BLE001, S110  # an exception may do anything when it is asked
        pass
    return told


def _words(error: BaseException) -> Tuple[str, str]:
    if isinstance(error, BadResult):
        return "bad_result", str(error)
    if isinstance(error, TooLarge):
        return "result_too_large", str(error)
    try:
        part = _users_part(error)
        return "error", "".join(_format(type(error), error, part, limit=_FRAMES_TOLD if _is_deep(part) else None))
    except BaseException:  # noqa: BLE001  # its own __str__ may fail, or the memory may be gone
        return "error", type(error).__name__


def _users_part(error: BaseException) -> Optional[types.TracebackType]:
    """The traceback below our own frames; the whole of it if nothing else is there."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_globals.get("__package__") == __package__:
        found = found.tb_next
    return found


def _is_deep(found: Optional[types.TracebackType]) -> bool:
    for _ in range(_FRAMES_LOOKED_AT):
        if found is None:
            return False
        found = found.tb_next
    return True


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
