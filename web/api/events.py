"""What changes, as it changes: server-sent events, numbered, so that a page that comes back misses nothing.

A stream holds one of the threads that waiting requests share, so there are never more of them than leave half of the
threads to everybody else; who finds none free is told to poll. Each message names a kind and the subjects that changed;
all that happens between two messages becomes one.
"""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Final

from flask import Blueprint, Response, request, stream_with_context

from jobs import happenings
from jobs.errors import InvalidInput
from jobs.happenings import Happenings, News
from jobs.status import Status
from web import gate
from web.accounts import Scope, needs
from web.api.asking import Query, query_of
from web.problems import Problem
from web.rooms import Rooms, rooms, service

blueprint = Blueprint("events", __name__)

EVENTS_TYPE: Final = "text/event-stream"
#: A stream ends after this; the page comes back with the number it has seen.
LIFE_S: Final = 15 * 60.0
#: Each message is followed by so much silence: two a second at most.
PAUSE_S: Final = 0.5
#: After how long the page comes back, and when it should try again where no thread is free.
COME_BACK_MS: Final = 2000
RETRY_AFTER_S: Final = 5
#: A waiting stream looks up this often whether the server is going away.
_SLICE_S: Final = 1.0


class EventsQuery(Query):
    """Which kinds, with commas (all, when none are named), and what was seen, for who cannot send Last-Event-ID."""

    kinds: str | None = None
    after: int | None = None


@blueprint.get("/events")
@needs(Scope.READ)
def follow() -> Response:
    """A stream of events that lasts, until either side ends it."""
    asked = query_of(EventsQuery)
    here = rooms()
    stream = Stream(here, service().happenings, _kinds(asked.kinds), _seen(asked.after))
    if not here.waiting.acquire(blocking=False):
        raise Problem(503, "too many streams are open; ask again every few seconds", retry_after_s=RETRY_AFTER_S)
    response = Response(stream_with_context(stream.lines()), content_type=EVENTS_TYPE)
    response.call_on_close(here.waiting.release)
    response.headers["X-Accel-Buffering"] = "no"  # a proxy that gathers would hold everything back
    return response


def _kinds(text: str | None) -> frozenset[str]:
    if text is None:
        return frozenset(happenings.KINDS)
    named = frozenset(text.split(","))
    for unknown in sorted(named - frozenset(happenings.KINDS)):
        raise InvalidInput("kinds", f"{unknown[:50]!a} is none of {', '.join(happenings.KINDS)}")
    return named


def _seen(after: int | None) -> int | None:
    """The number the page has seen; whatever else its browser may send counts as nothing."""
    text = request.headers.get("Last-Event-ID", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else after


class Stream:
    """One page's stream: a generator of text, and what it has told so far."""

    def __init__(self, here: Rooms, source: Happenings, kinds: frozenset[str], seen: int | None) -> None:
        self._here = here
        self._source = source
        self._kinds = kinds
        self._seen = seen

    def lines(self) -> Iterator[str]:
        """Messages as they come; a comment where nothing does, so that both sides know the other is there."""
        ends_at = time.monotonic() + LIFE_S
        asked_at = time.monotonic()
        yield self._hello()
        while time.monotonic() < ends_at and not self._here.options.stopping.is_set():
            messages = self._messages(self._wait())
            if time.monotonic() - asked_at >= self._here.options.keep_alive_s:
                asked_at = time.monotonic()
                if not gate.still_allowed():
                    return
            for message in messages or [":\n\n"]:
                yield message
                self._here.options.stopping.wait(PAUSE_S if messages else 0)

    def _hello(self) -> str:
        """Where the stream begins; ``fresh``: what came before may have been missed."""
        newest = self._source.newest()
        fresh = self._seen is None or not newest - happenings.KEPT <= self._seen <= newest
        self._number = newest if self._seen is None or fresh else self._seen
        return f"retry: {COME_BACK_MS}\n" + _message("hello", {"fresh": fresh}, self._number)

    def _wait(self) -> News:
        """What came since the last message, or nothing once it is time for a sign of life."""
        ends_at = time.monotonic() + self._here.options.keep_alive_s
        while True:
            news = self._source.since(self._number)
            left_s = ends_at - time.monotonic()
            if news.kinds or left_s <= 0 or self._here.options.stopping.is_set():
                return news
            self._source.wait(self._number, min(left_s, _SLICE_S))

    def _messages(self, news: News) -> list[str]:
        """One a kind; only the last carries the number, so that a page cut off before it hears of all again."""
        self._number = news.number
        told = [kind for kind in happenings.KINDS if kind in news.kinds and kind in self._kinds]
        last = len(told) - 1
        return [
            _message(kind, self._facts(kind, news), news.number if at == last else None) for at, kind in enumerate(told)
        ]

    def _facts(self, kind: str, news: News) -> Mapping[str, object]:
        facts: dict[str, object] = {"kind": kind, "subjects": [one for one in news.kinds[kind] if one]}
        if kind == happenings.JOBS:
            jobs = self._source.totals().jobs
            facts["jobs"] = {status.name.lower(): jobs.get(status, 0) for status in Status}
        return facts


def _message(kind: str, facts: Mapping[str, object], number: int | None) -> str:
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {kind}\ndata: {json.dumps(facts, separators=(',', ':'))}\n\n"
