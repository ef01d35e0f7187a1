"""Results for waiting clients: a stream by cursor, one line a finished job (architecture, decision 14).

The hot path of the web: a line is made with one format call, and the stored result goes into it as it is.
"""

import json
import time
from collections.abc import Iterable
from typing import Annotated, Final

from flask import Blueprint, Response
from pydantic import Field

from jobs.model import ResultPage, ResultRow
from web.accounts import Scope, needs
from web.api.answering import number
from web.api.asking import Body, body_of
from web.rooms import rooms, service

blueprint = Blueprint("results", __name__)

NDJSON_TYPE: Final = "application/x-ndjson"
#: A waiting request looks up this often whether the server is going away.
_SLICE_S: Final = 1.0


class Wanted(Body):
    """Which results, from where on, and how long to wait for the first."""

    #: Pairs of first and last id; JSON has no tuples, so this one field takes lists.
    ids: list[Annotated[tuple[int, int], Field(strict=False)]] | None = None
    batch: str | None = None
    cursor: int = 0
    wait_s: Annotated[float, Field(ge=0, le=25, allow_inf_nan=False)] = 0
    limit: int = 1000


@blueprint.post("/results")
@needs(Scope.READ)
def read() -> Response:
    """Jobs that finished after the cursor; waits for the first when there is none yet."""
    asked = body_of(Wanted)
    return Response(text_of(_page(asked)), content_type=NDJSON_TYPE)


def _page(asked: Wanted) -> ResultPage:
    """At once when something is there, nothing waits, or too many others wait already."""
    here = rooms()
    if asked.wait_s == 0 or not here.waiting.acquire(blocking=False):
        return service().results(asked.cursor, batch=asked.batch, ranges=asked.ids, limit=asked.limit)
    try:
        return _wait(asked)
    finally:
        here.waiting.release()


def _wait(asked: Wanted) -> ResultPage:
    cursor = asked.cursor
    deadline = time.monotonic() + asked.wait_s
    while True:
        left_s = max(0.0, deadline - time.monotonic())
        page = service().wait_results(
            cursor, batch=asked.batch, ranges=asked.ids, limit=asked.limit, timeout_s=min(_SLICE_S, left_s)
        )
        if page.rows or page.pending == 0 or left_s <= _SLICE_S or rooms().options.stopping.is_set():
            return page
        cursor = page.cursor


def text_of(page: ResultPage) -> str:
    """The page as lines; the last one says where to go on."""
    lines = _lines(page.rows)
    text = "\n".join(lines)
    if text.count("\n") >= max(1, len(lines)) or "\r" in text:
        text = "\n".join(_on_one_line(line) for line in lines)
    last = json.dumps({"cursor": page.cursor, "pending": page.pending})
    return f"{text}\n{last}\n" if lines else f"{last}\n"


def _lines(rows: Iterable[ResultRow]) -> list[str]:
    dumps = json.dumps
    return [
        f'{{"id":{job_id},"status":{status:d},"reason":"{reason}","attempt":{attempt},"machine_id":"{machine_id}"'
        f',"version":{version},"count":{number(count)},"spend_s":{spend_s},"result":{result or "null"}'
        f',"error":{"null" if error is None else dumps(error)}}}'
        for _, job_id, status, reason, attempt, machine_id, version, count, spend_s, result, error in rows
    ]


def _on_one_line(line: str) -> str:
    """Strict JSON has line breaks only between tokens: a node may send them, the stream must not."""
    return line.replace("\n", " ").replace("\r", " ")
