"""Filters as people write them, in page, API, SDK and CLI alike. Pure: texts in, a JobFilter out.

Commas mean "one of"; a "!" before the first means "none of them": ``status=failed,done``, ``machine_id=!gpu-3,gpu-4``.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from jobs.errors import InvalidInput
from jobs.model import Choice, JobFilter
from jobs.names import check_label
from jobs.status import Status

#: Status words beside the manual's numbers.
STATUS_WORDS: Final = {status.name.lower(): status for status in Status} | {str(int(one)): one for one in Status}
#: Texts in one condition.
TEXTS_LIMIT: Final = 100
IDS_LIMIT: Final = 100_000
ID_LIMIT: Final = 2**53


def parse(asked: Mapping[str, Any]) -> JobFilter:
    """The filter these conditions make; None is no condition. Raises InvalidInput, naming the first that is wrong."""
    unknown = sorted(asked.keys() - _READERS.keys())
    if unknown:
        raise InvalidInput(unknown[0], f"is no filter; there are {', '.join(_READERS)}")
    read = {name: _READERS[name] for name in asked if asked[name] is not None}
    return JobFilter(**{_FIELDS.get(name, name): reader(name, asked[name]) for name, reader in read.items()})


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


_READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "status": _status,
    "job_type": _texts,
    "batch": _texts,
    "machine_id": _texts,
    "tag": _texts,
    "version": _versions,
    "ids": _ids,
    "cleared": _yes_no,
}
_FIELDS: Final = {"version": "versions"}
