"""Checks of what people ask for, before the store is touched. Pure: a wrong value is an InvalidInput with its field."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from jobs import strict_json
from jobs.errors import InvalidInput
from jobs.model import JobSettings, Submission
from jobs.names import check_label, check_plain

INPUT_LIMIT_BYTES: Final = 16 * 1024 * 1024
JOBS_LIMIT: Final = 100_000
PRIORITY_LIMIT: Final = 1_000_000
LIMIT_COUNT_LIMIT: Final = 1_000
KEY_LIMIT: Final = 128
PAGE_LIMIT: Final = 1000
RESULTS_LIMIT: Final = 5000
RANGES_LIMIT: Final = 10_000
IDS_LIMIT: Final = 100_000
ID_LIMIT: Final = 2**53
#: What every database keeps in its smaller integers: attempts, versions.
INT_LIMIT: Final = 2**31 - 1
SCOPES: Final = frozenset({"read", "submit", "publish", "admin"})


class Checked(NamedTuple):
    """A submission that may be stored as it is."""

    job_type: str
    inputs: Sequence[str]
    batch: str
    tag: str
    rank: int
    limit_count: int
    #: Machines that are not asked; they are no part of what was submitted, only of where it may go.
    avoid: frozenset[str]
    #: Over all of the above; two submissions with the same are the same. Empty without an idempotency key.
    body_sha256: str


class Wanted(NamedTuple):
    """Which results are asked for: of a batch, of ranges of ids, or (neither) all."""

    cursor: int
    batch: str | None
    ranges: tuple[tuple[int, int], ...] | None
    limit: int


def check(
    submission: Submission, settings: JobSettings, key: str | None, *, today: str, avoid: frozenset[str] = frozenset()
) -> Checked:
    """The submission with the job type's defaults filled in."""
    tag = settings.tag if submission.tag is None else check_label("tag", submission.tag)
    limit = settings.limit_count if submission.limit_count is None else submission.limit_count
    checked = Checked(
        job_type=check_plain("job_type", submission.job_type),
        inputs=_check_inputs(submission.inputs),
        batch=check_label("batch", submission.batch) or today,
        tag=tag,
        rank=-check_priority(submission.priority),
        limit_count=check_number("limit_count", limit, 0, LIMIT_COUNT_LIMIT),
        avoid=avoid,
        body_sha256="",
    )
    return checked if key is None else checked._replace(body_sha256=_digest(_check_key(key), submission, checked))


def check_priority(priority: object) -> int:
    """A priority that a job may have."""
    return check_number("priority", priority, -PRIORITY_LIMIT, PRIORITY_LIMIT)


def check_number(field: str, number: object, least: int, most: int) -> int:
    """A whole number within bounds; True is not one."""
    if type(number) is not int or not least <= number <= most:
        raise InvalidInput(field, f"must be a whole number from {least} to {most}")
    return number


def _check_key(key: object) -> str:
    if not isinstance(key, str) or not 1 <= len(key) <= KEY_LIMIT or not key.isascii() or not key.isprintable():
        raise InvalidInput("Idempotency-Key", f"must be 1 to {KEY_LIMIT} printable ASCII characters")
    return key


def _digest(_key: str, submission: Submission, checked: Checked) -> str:
    # The batch as it was given: "today" must not turn a repeat after midnight into another body.
    head = [checked.job_type, submission.batch, checked.tag, checked.rank, checked.limit_count, len(checked.inputs)]
    head += [submission.machine_id] if submission.machine_id is not None else []
    digest = hashlib.sha256(json.dumps(head).encode())
    digest.update("\0".join(checked.inputs).encode())
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------------------------- inputs


_INPUT_KEYS = frozenset({"args", "kwargs"})


def _check_inputs(inputs: Sequence[str]) -> Sequence[str]:
    if not 1 <= len(inputs) <= JOBS_LIMIT:
        raise InvalidInput("inputs", f"must be a list of 1 to {JOBS_LIMIT} inputs")
    for at, text in enumerate(inputs):
        _check_input(at, text)
    return inputs


def _check_input(at: int, text: str) -> None:
    try:
        value = strict_json.decode(text)
        if not text.isascii() or "\\u" in text:
            _check_text(text, value)
    except RecursionError:
        raise InvalidInput(f"inputs[{at}]", "is nested too deeply") from None
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"inputs[{at}]", f"is not strict JSON: {error}") from None
    if len(text) > INPUT_LIMIT_BYTES:
        raise InvalidInput(f"inputs[{at}]", f"is over {INPUT_LIMIT_BYTES} bytes")
    if type(value) is not dict or not value.keys() <= _INPUT_KEYS:
        raise InvalidInput(f"inputs[{at}]", 'must be an object with "args" and "kwargs" only')
    if type(value.get("args", [])) is not list:
        raise InvalidInput(f"inputs[{at}].args", "must be a list")
    if type(value.get("kwargs", {})) is not dict:
        raise InvalidInput(f"inputs[{at}].kwargs", "must be an object")


def _check_text(text: str, value: Any) -> None:
    """Lone surrogates are no text: neither written out nor as an escape."""
    text.encode()
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode()


# ------------------------------------------------------------------------------------------------------------ questions


def check_page(size: int, after: int | None) -> None:
    """Bounds of a page of a list."""
    check_number("size", size, 1, PAGE_LIMIT)
    if after is not None:
        check_number("after", after, 0, ID_LIMIT)


def check_ids(ids: Sequence[int] | None, most: int = IDS_LIMIT) -> None:
    """A list of job ids."""
    if ids is None:
        return
    if len(ids) > most:
        raise InvalidInput("ids", f"must be at most {most}")
    for job_id in ids:
        check_number("ids", job_id, 0, ID_LIMIT)


def check_wanted(cursor: int, batch: str | None, ranges: Sequence[Sequence[int]] | None, limit: int) -> Wanted:
    """What results are asked for."""
    check_number("cursor", cursor, 0, ID_LIMIT)
    check_number("limit", limit, 1, RESULTS_LIMIT)
    if batch is not None and ranges is not None:
        raise InvalidInput("ids", "must not be given together with batch")
    if batch is not None:
        check_label("batch", batch)
    return Wanted(cursor, batch, None if ranges is None else _check_ranges(ranges), limit)


def _check_ranges(ranges: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    if not 1 <= len(ranges) <= RANGES_LIMIT:
        raise InvalidInput("ids", f"must be 1 to {RANGES_LIMIT} ranges of [first, last]")
    for one in ranges:
        if not isinstance(one, list | tuple) or len(one) != 2:
            raise InvalidInput("ids", "must be a list of [first, last]")
        first = check_number("ids", one[0], 0, ID_LIMIT)
        check_number("ids", one[1], first, ID_LIMIT)
    return merged(ranges)


def merged(ranges: Iterable[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """The same ids in as few ranges as possible, ascending, none twice."""
    out: list[tuple[int, int]] = []
    for first, last in sorted((one[0], one[1]) for one in ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return tuple(out)


def check_scopes(name: str, scopes: Iterable[str]) -> frozenset[str]:
    """A token's name and what it may do."""
    check_plain("name", name)
    wanted = frozenset(scopes)
    if not wanted or not wanted <= SCOPES:
        raise InvalidInput("scopes", f"must be some of {', '.join(sorted(SCOPES))}")
    return wanted
