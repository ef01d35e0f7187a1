"""What a job prints, followed as it comes: attempt by attempt, each byte once. Over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from .errors import NotFound
from .row import JsonObject
from .values import FINAL, Printed

if TYPE_CHECKING:
    from .client import Client

STREAMS: Final = ("stdout", "stderr")
#: Between two looks at a job that does not run.
PAUSE_S: Final = 0.5
#: How long the server may wait for something new: of one stream, and of each where there are two.
WAIT_S: Final = 10.0
WAIT_OF_TWO_S: Final = 0.3
#: Who prints faster than that can be followed is not followed byte by byte: so far behind, all but the end is left out.
BEHIND_BYTES: Final = 1024 * 1024
RESUME_BYTES: Final = 64 * 1024


def follow(client: Client, job_id: int, attempt: int | None, streams: Sequence[str]) -> Iterator[Printed]:
    """All attempts until the job has ended, or one of them until that has."""
    number = attempt or 1
    while True:
        job = row_of(client, job_id)
        if int(job["attempt"] or 0) >= number:
            yield from _attempt(client, job_id, number, streams)
            if number == attempt:
                return
            number += 1
        elif job["status"] in FINAL:
            return
        else:
            time.sleep(PAUSE_S)


def row_of(client: Client, job_id: int) -> JsonObject:
    """The job without its texts, which may be long. Raises NotFound."""
    rows = client.jobs_page(size=1, ids=[job_id])["jobs"]
    if not rows:
        raise NotFound(f"job {job_id} does not exist", remedy="it may have been deleted; client.jobs() lists jobs")
    row: JsonObject = rows[0]
    return row


def _attempt(client: Client, job_id: int, attempt: int, streams: Sequence[str]) -> Iterator[Printed]:
    """One attempt until it has ended and all of it was handed out."""
    places = {stream: _Place() for stream in streams}
    wait_s = 0.0
    while places:
        quiet = True
        for stream, place in list(places.items()):
            try:
                part = client.log(job_id, attempt=attempt, stream=stream, offset=place.offset, wait_s=wait_s)
            except NotFound:  # it was given back before it began
                return
            text = place.take(part)
            if text:
                quiet = False
                yield Printed(attempt, stream, text, place.told())
            if not part["running"] and place.offset >= part["total"]:
                del places[stream]
            elif part["running"] and not part["live"] and not text:
                time.sleep(PAUSE_S)
        wait_s = 0.0 if not quiet else WAIT_S if len(places) == 1 else WAIT_OF_TWO_S


class _Place:
    """How far one stream was read, and how many bytes were left out since that was told."""

    def __init__(self) -> None:
        self.offset = 0
        self._left_out = 0

    def take(self, part: JsonObject) -> str:
        """The text of a part; where the next one is to begin."""
        self._left_out += int(part.get("left_out") or 0)
        self.offset = int(part["next_offset"])
        behind = int(part["total"]) - self.offset
        if part["running"] and behind > BEHIND_BYTES:
            self._left_out += behind - RESUME_BYTES
            self.offset += behind - RESUME_BYTES
        return str(part["text"])

    def told(self) -> int:
        """How many bytes were left out, once."""
        left_out, self._left_out = self._left_out, 0
        return left_out
