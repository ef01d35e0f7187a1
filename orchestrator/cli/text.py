"""Values as people read them, and text that a terminal may be given. Pure: no terminal, no clock but what is passed in.

Everything that came from a node is hostile: what could move a cursor, change a colour or turn the direction of writing
is shown as an escape, never obeyed.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

#: Control characters but newline and tab; characters that format, halves of pairs, separators of lines (the Unicode
#: categories Cc, Cf, Cs, Zl, Zp; a test compares).
_DANGEROUS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u2064\u2066-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_AGES: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def clean(text: str) -> str:
    """Text with its dangerous characters as escapes; lines stay lines."""
    return _DANGEROUS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def without_overwritten(text: str) -> str:
    """Of lines that were written over and over, such as a progress bar, what was to be seen last."""
    if "\r" not in text:
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(next((one for one in reversed(line.split("\r")) if one), "") for line in lines)


def one_line(text: str) -> str:
    """Clean, and on one line."""
    return clean(text).replace("\n", " ").replace("\t", " ")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON that is as harmless as it is exact: on one line, or indented."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, default=dict)
    return _DANGEROUS.sub(lambda found: json.dumps(found[0])[1:-1], text)


def excerpt(value: Any, limit: int = 200) -> str:
    """A value shortened to be looked at."""
    text = value if isinstance(value, str) else json_text(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def last_line(text: str | None) -> str:
    """Of a traceback: what was raised."""
    lines = (text or "").strip().splitlines()
    return excerpt(lines[-1]) if lines else ""


def call_text(job_type: str, given: Mapping[str, Any]) -> str:
    """A job's input as the call it stands for: ``crawl("a", depth=2)``."""
    args = [json_text(value) for value in given.get("args") or []]
    kwargs = [f"{name}={json_text(value)}" for name, value in (given.get("kwargs") or {}).items()]
    return f"{job_type}({', '.join([*args, *kwargs])})"


def moment(seconds: float | None) -> str:
    """A time of the server, here."""
    if not seconds:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(seconds: float | None, now: float) -> str:
    """How long ago a time of the server is."""
    if not seconds:
        return ""
    passed = max(0.0, now - seconds)
    for size, unit in _AGES:
        if passed >= size:
            return f"{passed // size:.0f} {unit} ago"
    return "now"


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if not seconds:
        return ""
    if seconds < 0.0995:
        return f"{seconds * 1000:.2g}ms"
    if seconds < 59.95:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24}d{hours % 24:02}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def size(size_bytes: float | None) -> str:
    """Bytes as people say them."""
    if size_bytes is None:
        return ""
    amount, unit = float(size_bytes), 0
    while amount >= 1023.95 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}" if unit == 0 or amount >= 99.95 else f"{amount:.1f} {_UNITS[unit]}"


def counted(number: int, noun: str = "job") -> str:
    """``1 job``, ``1,204 jobs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
