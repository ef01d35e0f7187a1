"""Filters as people write them, in page, API, SDK and CLI alike. Pure: texts in, a JobFilter out, and back.

Commas mean "one of"; a "!" before the first means "none of them": ``status=failed,done``, ``machine_id=!gpu-3,gpu-4``.
``q`` is one thing to look for: a job's id, a batch, or the fingerprint of a failure. ``since`` and ``until`` bound the
latest move of a job: seconds since the epoch, a time as ISO 8601 writes it, or how long ago (``30m``, ``2h``, ``7d``).
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from jobs.errors import InvalidInput
from jobs.model import Choice, JobFilter, Sort
from jobs.names import check_label
from jobs.status import Status

#: Status words beside the manual's numbers.
STATUS_WORDS: Final = {status.name.lower(): status for status in Status} | {str(int(one)): one for one in Status}
#: Texts in one condition.
TEXTS_LIMIT: Final = 100
IDS_LIMIT: Final = 100_000
ID_LIMIT: Final = 2**53
#: Times people may name: up to the year 9999.
TIME_LIMIT_S: Final = 253_402_300_799.0
_AGO: Final = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse(asked: Mapping[str, Any], *, now: float | None = None) -> JobFilter:
    """The filter these conditions make; None is no condition. Raises InvalidInput, naming the first that is wrong.

    ``now``: what "ago" is counted from.
    """
    unknown = sorted(asked.keys() - _READERS.keys())
    if unknown:
        raise InvalidInput(unknown[0], f"is no filter; there are {', '.join(_READERS)}")
    at = time.time() if now is None else now
    given = {name: _ago(asked[name], at) if name in _TIMES else asked[name] for name in asked}
    read = {name: _READERS[name] for name in given if given[name] is not None}
    found = JobFilter(**{_FIELDS.get(name, name): reader(name, given[name]) for name, reader in read.items()})
    if found.since is not None and found.until is not None and found.since >= found.until:
        raise InvalidInput("until", "must be later than since")
    return found


def moment(field: str, text: str, now: float) -> float:
    """One time as ``since`` and ``until`` say it, in seconds since the epoch. Raises InvalidInput."""
    return _time(field, _ago(text, now))


def sort(text: str | None) -> Sort:
    """The order somebody asked for; the newest first when nobody did."""
    try:
        return Sort(text) if text is not None else Sort.ID_DOWN
    except ValueError:
        raise InvalidInput("sort", f"must be one of {', '.join(Sort)}") from None


def dump(chosen: JobFilter) -> dict[str, Any]:
    """The filter without its ids, as JSON that ``load`` understands."""
    values: dict[str, Any] = {}
    for name in ("job_type", "batch", "machine_id", "tag"):
        wanted = getattr(chosen, name)
        if wanted is not None:
            one = Choice(frozenset([wanted])) if isinstance(wanted, str) else wanted
            values[name] = {"texts": sorted(one.texts), "without": one.without}
    if chosen.status:
        values["status"] = sorted(int(status) for status in chosen.status)
    if chosen.versions is not None:
        values["versions"] = sorted(chosen.versions)
    for name in ("cleared", "q", "since", "until"):
        if getattr(chosen, name) is not None:
            values[name] = getattr(chosen, name)
    return values


def load(values: Mapping[str, Any]) -> JobFilter:
    """What ``dump`` wrote."""
    read: dict[str, Any] = dict(values)
    for name in ("job_type", "batch", "machine_id", "tag"):
        if name in read:
            read[name] = Choice(frozenset(read[name]["texts"]), read[name]["without"])
    if "status" in read:
        read["status"] = frozenset(Status(one) for one in read["status"])
    if "versions" in read:
        read["versions"] = frozenset(read["versions"])
    return JobFilter(**read)


def words(chosen: JobFilter) -> dict[str, str]:
    """The filter without its ids, as people would write it."""
    plain = dump(replace(chosen, ids=None))
    said = {
        name: ("!" if value["without"] else "") + ",".join(value["texts"])
        for name, value in plain.items()
        if isinstance(value, dict)
    }
    if chosen.status:
        said["status"] = ",".join(Status(one).name.lower() for one in plain["status"])
    if chosen.versions is not None:
        said["version"] = ",".join(map(str, plain["versions"]))
    if chosen.cleared is not None:
        said["cleared"] = str(int(chosen.cleared))
    if chosen.q is not None:
        said["q"] = chosen.q
    times = {name: value for name in _TIMES if (value := getattr(chosen, name)) is not None}
    return said | {name: repr(value) for name, value in times.items()}


def _split(field: str, value: Any) -> tuple[list[str], bool]:
    """(the texts, whether they are what must not be)."""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a text: one value, or several with commas, after a '!' to mean all others")
    without = value.startswith("!")
    texts = [text.strip() for text in value.removeprefix("!").split(",")]
    if without:
        texts = [text.removeprefix("!") for text in texts]
    elif any(text.startswith("!") for text in texts):
        raise InvalidInput(field, "a '!' stands before the first value and counts for all of them")
    if len(texts) > TEXTS_LIMIT:
        raise InvalidInput(field, f"must be at most {TEXTS_LIMIT} values")
    return texts, without


def _texts(field: str, value: Any) -> Choice:
    texts, without = _split(field, value)
    return Choice(frozenset(check_label(field, text) for text in texts), without)


def _status(field: str, value: Any) -> frozenset[Status]:
    words, without = _split(field, value)
    wrong = [word for word in words if word and word not in STATUS_WORDS]
    if wrong:
        raise InvalidInput(field, f"{wrong[0]!r} is none of {', '.join(STATUS_WORDS)}")
    named = frozenset(STATUS_WORDS[word] for word in words if word)
    if len(named) == len(Status) and without:
        raise InvalidInput(field, "leaves no status at all")
    return frozenset(Status) - named if without and named else named


def _versions(field: str, value: Any) -> frozenset[int]:
    texts, without = _split(field, value)
    if without:
        raise InvalidInput(field, "takes no '!'; name the versions")
    return frozenset(_number(field, text, -1) for text in texts)


def _ids(field: str, value: Any) -> list[int]:
    texts = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else [value]
    if len(texts) > IDS_LIMIT:
        raise InvalidInput(field, f"must be at most {IDS_LIMIT}")
    return [_number(field, text, 0) for text in texts]


def _number(field: str, text: Any, least: int) -> int:
    if type(text) is int:
        number = text
    elif isinstance(text, str) and len(text.strip()) <= 18 and text.strip().removeprefix("-").isdecimal():
        number = int(text)
    else:
        raise InvalidInput(field, f"{str(text)[:50]!a} is not a whole number")
    if not least <= number <= ID_LIMIT:
        raise InvalidInput(field, f"must be from {least} to {ID_LIMIT}")
    return number


def _yes_no(field: str, value: Any) -> bool:
    if value in (True, "1", "true"):
        return True
    if value in (False, "0", "false"):
        return False
    raise InvalidInput(field, "must be 0 or 1")


def _ago(value: Any, now: float) -> Any:
    """A time for how long ago; anything else as it is."""
    found = _AGO.fullmatch(value.strip()) if isinstance(value, str) else None
    return value if found is None else now - int(found[1]) * _UNITS_S[found[2]]


def _time(field: str, value: Any) -> float:
    seconds = value if type(value) in (int, float) else _seconds(value) if isinstance(value, str) else None
    if seconds is None or not math.isfinite(seconds) or not 0 <= seconds <= TIME_LIMIT_S:
        raise InvalidInput(
            field, "must be seconds since 1970, a time such as 2026-11-22T08:00:00Z, or how long ago: 30m, 2h, 7d"
        )
    return float(seconds)


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _one_text(field: str, value: Any) -> str:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not text.strip():
        raise InvalidInput(field, "must be one job id, one batch, or the fingerprint of a failure")
    return check_label(field, text.strip())


_TIMES: Final = ("since", "until")
_READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "status": _status,
    "job_type": _texts,
    "batch": _texts,
    "machine_id": _texts,
    "tag": _texts,
    "version": _versions,
    "ids": _ids,
    "cleared": _yes_no,
    "q": _one_text,
    "since": _time,
    "until": _time,
}
_FIELDS: Final = {"version": "versions"}
